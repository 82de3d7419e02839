//! Upstreams: endpoints, balancing, TLS and caps.

use std::num::NonZeroU16;

use super::inherit::{Inheritance, Level, built_in, within};
use super::listener::versions;
use super::{at, on, refuse};
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{FileRef, Located, Location, Origin, Sourced};
use crate::model::{
    BalancePolicy, Concurrency, EndpointSource, EndpointTarget, HashKey, KeepAlive, LoadBalancer,
    TrustAnchors, Upstream, UpstreamProtocol, UpstreamTls,
};
use crate::raw::{self, Address, Balancing, UpstreamTlsMode};

pub(super) fn lower(
    raw: &Located<raw::Upstream>,
    inheritance: &Inheritance<'_>,
    report: &mut Report,
) -> Option<Upstream> {
    let raw = &raw.value;
    let endpoints = raw.endpoints.as_ref().and_then(|listed| endpoints(listed, report));
    let load_balancer = load_balancer(raw, inheritance, report);
    let tls = match &raw.tls {
        Some(tls) => lower_tls(tls, alpn(raw), report).map(Some),
        None => Some(None),
    };
    if let (Some(tls), Some(endpoints)) = (&raw.tls, &endpoints) {
        name_unix_endpoints(&tls.value, endpoints, report);
    }
    let concurrency = concurrency(raw, inheritance);
    let keep_alive = keep_alive(raw, inheritance);
    let connect_timeout = inheritance.pick(
        raw.connect_timeout.as_ref(),
        Origin::Upstream,
        |defaults| defaults.connect_timeout.as_ref(),
        built_in::CONNECT,
    );
    let shared = refuse_sharing(raw, report);
    let name = raw.name.as_ref().filter(|_| shared.is_none())?;
    Some(Upstream {
        name: name.value.clone(),
        location: name.location.clone(),
        endpoints: endpoints?,
        load_balancer: load_balancer?,
        tls: tls?,
        protocol: raw.protocol.as_ref().map_or_else(Default::default, |one| one.value),
        concurrency,
        keep_alive,
        connect_timeout,
        proxy_protocol: raw.proxy_protocol.as_ref().and_then(|one| one.value),
    })
}

fn endpoints(
    listed: &Located<Vec<Located<raw::Endpoint>>>,
    report: &mut Report,
) -> Option<Vec<EndpointSource>> {
    if listed.value.is_empty() {
        refuse(Some(&listed.location), "an upstream needs at least one endpoint", report)?;
    }
    let endpoints = super::collect(&listed.value, |one| endpoint(one, report))?;
    let mut seen: std::collections::HashMap<_, &Location> = std::collections::HashMap::new();
    for endpoint in &endpoints {
        let key = format!("{:?}", endpoint.target);
        if let Some(first) = seen.insert(key, &endpoint.location) {
            report.push(
                Diagnostic::warning(endpoint.location.clone(), "this endpoint stands twice")
                    .related(first.clone(), "it stands here first")
                    .help("its `weight` gives it a larger share"),
            );
        }
    }
    Some(endpoints)
}

fn endpoint(raw: &Located<raw::Endpoint>, report: &mut Report) -> Option<EndpointSource> {
    let one = &raw.value;
    let target = match (&one.address, &one.dns) {
        (Some(address), None) => {
            refuse(at(&one.port), "`port` is for `dns`: an address holds its port", report)?;
            match &address.value {
                Address::Tcp(address) => EndpointTarget::Address(*address),
                Address::Unix(path) => EndpointTarget::Unix(path.clone()),
            }
        }
        (None, Some(dns)) => {
            if one.spoiled.contains(&"port") {
                return None;
            }
            let Some(port) = &one.port else {
                refuse(Some(&dns.location), "`dns` needs `port`", report);
                return None;
            };
            EndpointTarget::Dns { host: dns.value.clone(), port: port.value }
        }
        _ if !one.spoiled.is_empty() => return None,
        _ => {
            let message = "an endpoint has either an `address` or a `dns` name";
            refuse(Some(&raw.location), message, report);
            return None;
        }
    };
    let weight = one.weight.as_ref().map_or(NonZeroU16::MIN, |weight| weight.value);
    let location = at(&one.address).or(at(&one.dns)).unwrap_or(&raw.location).clone();
    Some(EndpointSource { target, weight, location })
}

fn load_balancer(
    raw: &raw::Upstream,
    inheritance: &Inheritance<'_>,
    report: &mut Report,
) -> Option<LoadBalancer> {
    let own = raw.load_balancer.as_ref();
    let policy = match own {
        Some(own) => policy(&own.value, Origin::Upstream, report)?,
        None => None,
    };
    let slow_start = within(own, |one| &one.slow_start).map(|one| one.value);
    Some(LoadBalancer {
        policy: policy.unwrap_or_else(|| inheritance.policy()),
        slow_start: slow_start.or_else(|| inheritance.slow_start()),
    })
}

/// The policy with what it hashes: `None` when it is wrong, `Some(None)` when none is named.
pub(super) fn policy(
    raw: &raw::LoadBalancer,
    level: Level,
    report: &mut Report,
) -> Option<Option<Sourced<BalancePolicy>>> {
    let Some(policy) = &raw.policy else {
        if raw.spoiled.contains(&"policy") {
            return None;
        }
        refuse(at(&raw.hash), "`hash` needs `policy: ring-hash` or `policy: maglev`", report)?;
        return Some(None);
    };
    let plain = match policy.value {
        Balancing::RoundRobin => Some(BalancePolicy::RoundRobin),
        Balancing::LeastRequest => Some(BalancePolicy::LeastRequest),
        Balancing::P2cEwma => Some(BalancePolicy::P2cEwma),
        Balancing::Random => Some(BalancePolicy::Random),
        Balancing::RingHash | Balancing::Maglev => None,
    };
    let value = match (plain, &raw.hash) {
        (Some(policy), None) => policy,
        (Some(_), Some(hash)) => {
            refuse(Some(&hash.location), "this policy does not hash", report)?;
            return None;
        }
        (None, None) if raw.spoiled.contains(&"hash") => return None,
        (None, None) => {
            report.push(
                Diagnostic::error(policy.location.clone(), "this policy needs `hash`")
                    .help("for example `hash: {header: x-user}` or `hash: {sourceIp: true}`"),
            );
            return None;
        }
        (None, Some(hash)) => {
            let key = hash_key(hash, report)?;
            match policy.value {
                Balancing::Maglev => BalancePolicy::Maglev(key),
                _ => BalancePolicy::RingHash(key),
            }
        }
    };
    Some(Some(Sourced { value, origin: level(policy.location.clone()) }))
}

fn hash_key(raw: &Located<raw::HashOn>, report: &mut Report) -> Option<HashKey> {
    let one = &raw.value;
    let given = [
        one.header.as_ref().map(|name| HashKey::Header(name.value.clone())),
        one.cookie.as_ref().map(|name| HashKey::Cookie(name.value.clone())),
        one.query.as_ref().map(|name| HashKey::Query(name.value.clone())),
        on(&one.source_ip).map(|_| HashKey::SourceIp),
        on(&one.path).map(|_| HashKey::Path),
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(key), None) => Some(key),
        _ if !one.spoiled.is_empty() => None,
        _ => {
            let message = "exactly one of `header`, `cookie`, `query`, `sourceIp` and `path`";
            refuse(Some(&raw.location), message, report);
            None
        }
    }
}

/// The protocols offered in a handshake. An upstream that is told of each client has a connection
/// for each, which HTTP/2 would share.
fn alpn(raw: &raw::Upstream) -> Vec<String> {
    let told = matches!(&raw.proxy_protocol, Some(one) if one.value.is_some());
    let protocol = raw.protocol.as_ref().map_or_else(Default::default, |one| one.value);
    let tokens: &[&str] = match protocol {
        UpstreamProtocol::Http2 => &["h2"],
        UpstreamProtocol::Auto if !told => &["h2", "http/1.1"],
        UpstreamProtocol::Auto | UpstreamProtocol::Http1 => &["http/1.1"],
    };
    tokens.iter().map(|token| (*token).to_owned()).collect()
}

/// A header names one client; a connection that many share cannot begin with it.
fn refuse_sharing(raw: &raw::Upstream, report: &mut Report) -> Option<()> {
    let told = raw.proxy_protocol.as_ref().filter(|one| one.value.is_some())?;
    let protocol = raw.protocol.as_ref().filter(|one| one.value == UpstreamProtocol::Http2)?;
    report.push(
        Diagnostic::error(
            told.location.clone(),
            "a PROXY protocol header names one client, and HTTP/2 shares connections",
        )
        .related(protocol.location.clone(), "the protocol is set here")
        .help("`protocol: http1` opens a connection for each client"),
    );
    Some(())
}

fn lower_tls(
    raw: &Located<raw::UpstreamTls>,
    alpn: Vec<String>,
    report: &mut Report,
) -> Option<UpstreamTls> {
    let tls = &raw.value;
    let mode = tls.mode.as_ref().map_or(UpstreamTlsMode::Tls, |mode| mode.value);
    let ca = trust(raw, mode, report);
    let client_certificate = client_certificate(raw, mode, report);
    let versions = versions(&tls.min_version, &tls.max_version, report);
    let identities = tls.identities.as_ref().map_or_else(Vec::new, |listed| listed.value.clone());
    for identity in &identities {
        if !identity.value.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "an identity is a DNS name or a URI";
            refuse(Some(&identity.location), message, report)?;
        }
    }
    let (min_version, max_version) = versions?;
    Some(UpstreamTls {
        location: raw.location.clone(),
        ca: ca?,
        client_certificate: client_certificate?,
        server_name: tls.server_name.as_ref().map(|name| name.value.clone()),
        identities: identities.into_iter().map(|one| one.value).collect(),
        min_version,
        max_version,
        alpn,
    })
}

fn trust(
    raw: &Located<raw::UpstreamTls>,
    mode: UpstreamTlsMode,
    report: &mut Report,
) -> Option<TrustAnchors> {
    let tls = &raw.value;
    if mode == UpstreamTlsMode::Insecure {
        refuse(at(&tls.ca_file), "`mode: insecure` verifies nothing: no `caFile`", report)?;
        refuse(at(&tls.identities), "`mode: insecure` verifies no `identities`", report)?;
        let at = at(&tls.mode).unwrap_or(&raw.location);
        report.push(
            Diagnostic::warning(at.clone(), "anybody can pose as this upstream")
                .help("give `caFile` the authority that vouches for it"),
        );
        return Some(TrustAnchors::InsecureNoVerify);
    }
    Some(match &tls.ca_file {
        Some(file) => TrustAnchors::File(file.value.clone()),
        None => TrustAnchors::System,
    })
}

fn client_certificate(
    raw: &Located<raw::UpstreamTls>,
    mode: UpstreamTlsMode,
    report: &mut Report,
) -> Option<Option<(FileRef, FileRef)>> {
    let tls = &raw.value;
    if ["certFile", "keyFile"].iter().any(|key| tls.spoiled.contains(key)) {
        return None;
    }
    match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => Some(Some((cert.value.clone(), key.value.clone()))),
        (None, None) if mode == UpstreamTlsMode::Mutual => {
            let message = "`mode: mutual` needs `certFile` and `keyFile`";
            refuse(at(&tls.mode), message, report)?;
            None
        }
        (None, None) => Some(None),
        (Some(one), None) | (None, Some(one)) => {
            refuse(Some(&one.location), "`certFile` and `keyFile` stand together", report)?;
            None
        }
    }
}

/// A socket's path is no name that a certificate could hold.
fn name_unix_endpoints(tls: &raw::UpstreamTls, endpoints: &[EndpointSource], report: &mut Report) {
    let insecure = tls.mode.as_ref().is_some_and(|mode| mode.value == UpstreamTlsMode::Insecure);
    if !tls.spoiled.is_empty() || insecure || tls.server_name.is_some() || tls.identities.is_some()
    {
        return;
    }
    for endpoint in endpoints {
        if matches!(endpoint.target, EndpointTarget::Unix(_)) {
            report.push(
                Diagnostic::error(endpoint.location.clone(), "TLS to a Unix socket needs a name")
                    .help("add `serverName` to `tls`"),
            );
        }
    }
}

fn concurrency(raw: &raw::Upstream, inheritance: &Inheritance<'_>) -> Concurrency {
    let own = raw.concurrency.as_ref();
    Concurrency {
        max_connections: inheritance.pick(
            within(own, |one| &one.max_connections),
            Origin::Upstream,
            |defaults| within(defaults.concurrency.as_ref(), |one| &one.max_connections),
            built_in::MAX_CONNECTIONS,
        ),
        max_pending: inheritance.pick(
            within(own, |one| &one.max_pending),
            Origin::Upstream,
            |defaults| within(defaults.concurrency.as_ref(), |one| &one.max_pending),
            built_in::MAX_PENDING,
        ),
    }
}

fn keep_alive(raw: &raw::Upstream, inheritance: &Inheritance<'_>) -> KeepAlive {
    let own = raw.keep_alive.as_ref();
    KeepAlive {
        max_idle: inheritance.pick(
            within(own, |one| &one.max_idle),
            Origin::Upstream,
            |defaults| within(defaults.keep_alive.as_ref(), |one| &one.max_idle),
            built_in::MAX_IDLE,
        ),
        idle_timeout: inheritance.pick(
            within(own, |one| &one.idle_timeout),
            Origin::Upstream,
            |defaults| within(defaults.keep_alive.as_ref(), |one| &one.idle_timeout),
            built_in::IDLE_TIMEOUT,
        ),
    }
}
