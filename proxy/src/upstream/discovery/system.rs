//! Names as the system resolves them: `/etc/hosts` first, then the servers, search domains and
//! options of `/etc/resolv.conf`, with both families asked for at once.
//!
//! The search list is walked here and not in the library, so that both families of an answer
//! belong to the same name, and a server that keeps silent about one name does not lead to the
//! addresses of another.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use tokio::time::timeout;

use super::{AddressFamily, Resolve, ResolveError, ResolvedAddresses, Resolving};

/// How long the hosts file is cached.
const HOSTS_TTL: Duration = Duration::from_secs(30);
/// How long one family is waited for when the other has answered: some servers never answer for
/// addresses of version 6.
const GRACE: Duration = Duration::from_secs(1);

pub struct SystemResolver {
    resolver: TokioResolver,
    /// In the order in which they are tried.
    suffixes: Vec<Name>,
    ndots: usize,
    pub(super) grace: Duration,
}

impl SystemResolver {
    /// With the system's own settings; where there are none, a server on this machine, as
    /// resolv.conf(5) has it.
    pub fn from_system() -> Result<Self, ResolveError> {
        match hickory_resolver::system_conf::read_system_conf() {
            Ok((config, options)) => Self::build(config, options),
            Err(error) => {
                tracing::warn!(%error, "no resolver configuration; asking a name server on this machine");
                Self::with_name_servers(&[SocketAddr::from(([127, 0, 0, 1], 53))])
            }
        }
    }

    /// Asks these servers, by UDP and, for what does not fit, by TCP.
    pub fn with_name_servers(servers: &[SocketAddr]) -> Result<Self, ResolveError> {
        let servers = servers.iter().map(|server| {
            let connections =
                [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
            NameServerConfig::new(server.ip(), true, connections.to_vec())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        Self::build(config, ResolverOpts::default())
    }

    fn build(config: ResolverConfig, mut options: ResolverOpts) -> Result<Self, ResolveError> {
        // When to ask again is for discovery to say, and the hosts file is read anew each time.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let ndots = options.ndots;
        let mut suffixes = config.search().to_vec();
        suffixes.extend(config.domain().filter(|domain| !suffixes.contains(domain)).cloned());
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let resolver = builder.build().map_err(|error| {
            tracing::warn!(%error, "the resolver cannot be set up");
            ResolveError::Unreachable
        })?;
        Ok(Self { resolver, suffixes, ndots, grace: GRACE })
    }

    async fn lookup(&self, host: &str) -> Result<ResolvedAddresses, ResolveError> {
        if let Ok(address) = host.parse() {
            return Ok(ResolvedAddresses {
                addresses: vec![address],
                ttl: Duration::MAX,
                missing: None,
            });
        }
        let name = Name::from_str_relaxed(host).map_err(|_| ResolveError::BadName)?;
        if let Some(answer) = from_hosts(&name).await {
            return Ok(answer);
        }
        let mut failure = ResolveError::NoAddresses;
        for name in self.candidates(name) {
            match self.ask(name).await {
                Ok(mut answer) => {
                    answer.addresses = drop_unroutable(answer.addresses);
                    return Ok(answer);
                }
                Err(ResolveError::NoAddresses) => {}
                Err(ResolveError::Refused) => failure = ResolveError::Refused,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    /// The full names that a name may stand for, in order: resolv.conf(5), `search` and `ndots`.
    fn candidates(&self, mut name: Name) -> Vec<Name> {
        if name.is_fqdn() {
            return vec![name];
        }
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let whole_first = dots >= self.ndots || name.is_localhost();
        let suffixes = self.suffixes.iter();
        let mut names: Vec<_> =
            suffixes.filter_map(|suffix| name.clone().append_domain(suffix).ok()).collect();
        name.set_fqdn(true);
        names.insert(if whole_first { 0 } else { names.len() }, name);
        names.iter_mut().for_each(|name| name.set_fqdn(true));
        names
    }

    /// Both families of one full name.
    async fn ask(&self, name: Name) -> Result<ResolvedAddresses, ResolveError> {
        let mut v4 = std::pin::pin!(self.ask_for(name.clone(), RecordType::A));
        let mut v6 = std::pin::pin!(self.ask_for(name, RecordType::AAAA));
        let (v4, v6) = tokio::select! {
            first = &mut v4 => {
                let second = self.second(&first, v6).await;
                (first, second)
            }
            first = &mut v6 => {
                let second = self.second(&first, v4).await;
                (second, first)
            }
        };
        let missing =
            match (&v4, &v6) {
                (Ok(_), Ok(_))
                | (Err(ResolveError::NoAddresses), Err(ResolveError::NoAddresses)) => None,
                (Err(error), Err(ResolveError::NoAddresses))
                | (Err(ResolveError::NoAddresses), Err(error)) => {
                    return Err(*error);
                }
                (Err(error), Err(_)) => return Err(*error),
                (Err(ResolveError::NoAddresses), Ok(_))
                | (Ok(_), Err(ResolveError::NoAddresses)) => None,
                (Err(_), Ok(_)) => Some(AddressFamily::V4),
                (Ok(_), Err(_)) => Some(AddressFamily::V6),
            };
        let found: Vec<_> = [v4, v6].into_iter().flatten().collect();
        let ttl = found.iter().map(|(_, ttl)| *ttl).min().ok_or(ResolveError::NoAddresses)?;
        let addresses = found.into_iter().flat_map(|(addresses, _)| addresses).collect();
        Ok(ResolvedAddresses { addresses, ttl, missing })
    }

    async fn second(
        &self,
        first: &Result<Found, ResolveError>,
        second: impl Future<Output = Result<Found, ResolveError>>,
    ) -> Result<Found, ResolveError> {
        match first {
            Ok(_) => timeout(self.grace, second).await.unwrap_or(Err(ResolveError::TimedOut)),
            Err(_) => second.await,
        }
    }

    async fn ask_for(&self, name: Name, kind: RecordType) -> Result<Found, ResolveError> {
        let found = self.resolver.lookup(name, kind).await.map_err(|error| judge(&error))?;
        let addresses: Vec<_> =
            found.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
        let ttl = found.answers().iter().map(|record| record.ttl).min();
        match ttl {
            Some(ttl) if !addresses.is_empty() => Ok((addresses, Duration::from_secs(ttl.into()))),
            _ => Err(ResolveError::NoAddresses),
        }
    }
}

type Found = (Vec<IpAddr>, Duration);

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        Box::pin(self.lookup(host))
    }
}

/// What the hosts file says. Read each time: it is short, and an edit should count.
async fn from_hosts(name: &Name) -> Option<ResolvedAddresses> {
    let hosts = tokio::task::spawn_blocking(Hosts::from_system).await.ok()?.ok()?;
    let addresses: Vec<_> = [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)))
        .flat_map(|found| {
            found.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>()
        })
        .collect();
    (!addresses.is_empty()).then_some(ResolvedAddresses {
        addresses,
        ttl: HOSTS_TTL,
        missing: None,
    })
}

/// Leaves out addresses of version 6 that no route leads to, unless there are no others: on a
/// machine without version 6 every second connect would fail.
fn drop_unroutable(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (kept, dropped): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() || has_route(*address));
    if kept.is_empty() { dropped } else { kept }
}

/// Whether the kernel has a route: connecting a datagram socket asks it and sends nothing.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr = match AddressFamily::of(address) {
        AddressFamily::V4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 9))).is_ok()
}

fn judge(error: &NetError) -> ResolveError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => ResolveError::NoAddresses,
            _ => ResolveError::Refused,
        },
        NetError::Dns(_) => ResolveError::Refused,
        NetError::Timeout => ResolveError::TimedOut,
        _ => ResolveError::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_list_is_walked_as_resolv_conf_says() {
        let config = ResolverConfig::from_parts(
            None,
            ["ns.svc.cluster.local", "svc.cluster.local"].map(|n| n.parse().unwrap()).to_vec(),
            Vec::new(),
        );
        let check = |ndots, name: &str, expected: &[&str]| {
            let mut options = ResolverOpts::default();
            options.ndots = ndots;
            let resolver = SystemResolver::build(config.clone(), options).unwrap();
            let names = resolver.candidates(Name::from_str_relaxed(name).unwrap());
            let names: Vec<_> = names.iter().map(Name::to_string).collect();
            assert_eq!(names, expected, "{name} with ndots {ndots}");
        };
        let searched = ["api.ns.svc.cluster.local.", "api.svc.cluster.local.", "api."];
        check(1, "api", &searched);
        check(5, "api", &searched);
        check(1, "api.", &["api."]);
        let dotted = ["a.b.ns.svc.cluster.local.", "a.b.svc.cluster.local."];
        check(1, "a.b", &["a.b.", dotted[0], dotted[1]]);
        check(5, "a.b", &[dotted[0], dotted[1], "a.b."]);
        check(5, "a.b.", &["a.b."]);
    }
}
