//! The endpoints of one cluster as they change: what discovery writes and balancers follow.
//!
//! A store lives as long as some configuration generation (or worker) holds its cluster; when
//! the last one lets go, the tasks that feed it end. It knows no resolver.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use portcullis_config::model::{EndpointTarget, Upstream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::cluster::SourceStatus;
use super::discovery::ResolveError;
use super::endpoint::{EndpointAddress, EndpointSet, ResolvedEndpoint, TableKind};

/// What the set depends on; a store is carried over to the next generation when it is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoreKey {
    sources: Vec<(EndpointTarget, NonZeroU16)>,
    table: TableKind,
    /// Decides which port a `Host` need not name.
    secure: bool,
}

impl StoreKey {
    pub(super) fn new(upstream: &Upstream, table: TableKind) -> Self {
        let sources =
            upstream.endpoints.iter().map(|source| (source.target.clone(), source.weight));
        Self { sources: sources.collect(), table, secure: upstream.tls.is_some() }
    }
}

#[derive(Debug)]
pub(super) struct Store {
    cluster: String,
    key: StoreKey,
    current: Arc<ArcSwap<EndpointSet>>,
    /// Of each source; only the control side takes the lock.
    sources: Mutex<Vec<SourceState>>,
    ready: watch::Sender<bool>,
    followed: AtomicBool,
    unresolved: ArcSwapOption<String>,
    stop: DropGuard,
}

#[derive(Debug, Clone, Default)]
struct SourceState {
    /// Sorted and without doubles; `None` before the first answer.
    addresses: Option<Vec<IpAddr>>,
    /// Whether addresses that appear from now on start slowly, because others serve already.
    warm_up_new: bool,
    failures: u32,
    last_error: Option<ResolveError>,
}

/// A DNS source that discovery must keep resolving.
#[derive(Debug)]
pub(super) struct NameToResolve {
    pub(super) source: usize,
    pub(super) host: String,
    /// The last good answer, when there is one.
    pub(super) known: Option<Vec<IpAddr>>,
}

impl Store {
    /// A store for this key; names that `previous` has resolved already keep their addresses
    /// until they are asked for again.
    pub(super) fn new(cluster: &str, key: StoreKey, previous: Option<&Self>) -> Self {
        let sources: Vec<_> = key
            .sources
            .iter()
            .map(|(target, _)| match (target, previous) {
                (EndpointTarget::Dns { .. }, Some(previous)) => previous.state_of(target),
                _ => SourceState { warm_up_new: previous.is_some(), ..SourceState::default() },
            })
            .collect();
        let before = previous.map(|previous| previous.current.load_full()).unwrap_or_default();
        let set = assemble(cluster, &key, &sources, &before, previous.is_some().then(Instant::now));
        let store = Self {
            cluster: cluster.to_owned(),
            current: Arc::new(ArcSwap::from_pointee(set)),
            ready: watch::Sender::new(is_ready(&key, &sources)),
            key,
            sources: Mutex::new(sources),
            followed: AtomicBool::new(false),
            unresolved: ArcSwapOption::empty(),
            stop: CancellationToken::new().drop_guard(),
        };
        store.update_unresolved(&store.lock());
        store
    }

    pub(super) fn key(&self) -> &StoreKey {
        &self.key
    }

    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(super) fn current(&self) -> &Arc<ArcSwap<EndpointSet>> {
        &self.current
    }

    pub(super) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// The names to resolve. Only the first caller gets them, and resolves them until the token is
    /// cancelled.
    pub(super) fn follow(&self) -> Option<(Vec<NameToResolve>, CancellationToken)> {
        if self.followed.swap(true, Ordering::Relaxed) {
            return None;
        }
        let states = self.lock();
        let questions = self.key.sources.iter().zip(states.iter()).enumerate();
        let questions = questions.filter_map(|(source, ((target, _), state))| match target {
            EndpointTarget::Dns { host, .. } => {
                Some(NameToResolve { source, host: host.clone(), known: state.addresses.clone() })
            }
            EndpointTarget::Address(_) | EndpointTarget::Unix(_) => None,
        });
        Some((questions.collect(), self.stop_token()))
    }

    /// Takes over a good answer, sorted and without doubles; true when it changed the set.
    pub(super) fn publish(&self, source: usize, addresses: &[IpAddr], now: Instant) -> bool {
        let mut states = self.lock();
        let Some(state) = states.get_mut(source) else { return false };
        state.failures = 0;
        let failed = state.last_error.take().is_some();
        let same = state.addresses.as_deref() == Some(addresses);
        if same {
            if failed {
                self.update_unresolved(&states);
            }
            return false;
        }
        state.addresses = Some(addresses.to_vec());
        let added_at = std::mem::replace(&mut state.warm_up_new, true).then_some(now);
        self.update_unresolved(&states);
        let before = self.current.load();
        let set = assemble(&self.cluster, &self.key, &states, &before, added_at);
        self.current.store(Arc::new(set));
        let ready = is_ready(&self.key, &states);
        self.ready.send_if_modified(|was| std::mem::replace(was, ready) != ready);
        true
    }

    /// Records a failed lookup; returns the number of failures in a row.
    pub(super) fn fail(&self, source: usize, error: ResolveError) -> u32 {
        let mut states = self.lock();
        let Some(state) = states.get_mut(source) else { return 0 };
        state.failures = state.failures.saturating_add(1);
        state.last_error = Some(error);
        let failures = state.failures;
        self.update_unresolved(&states);
        failures
    }

    /// Why the first unresolved name does not resolve. Requests that find no endpoint log it, so it can
    /// be read without a lock.
    pub(super) fn unresolved(&self) -> &ArcSwapOption<String> {
        &self.unresolved
    }

    fn update_unresolved(&self, states: &[SourceState]) {
        let failing = self.key.sources.iter().zip(states).find_map(|((target, _), state)| {
            let EndpointTarget::Dns { host, .. } = target else { return None };
            match (&state.last_error, &state.addresses) {
                (Some(error), _) => Some(format!("the name {host} does not resolve: {error}")),
                (None, None) => Some(format!("the name {host} has not been answered for yet")),
                (None, Some(_)) => None,
            }
        });
        self.unresolved.store(failing.map(Arc::new));
    }

    pub(super) fn status(&self) -> Vec<SourceStatus> {
        let states = self.lock();
        let sources = self.key.sources.iter().zip(states.iter());
        let sources = sources.filter_map(|((target, _), state)| match target {
            EndpointTarget::Dns { host, .. } => Some(SourceStatus {
                host: host.clone(),
                addresses: state.addresses.clone(),
                failures: state.failures,
                last_error: state.last_error,
            }),
            EndpointTarget::Address(_) | EndpointTarget::Unix(_) => None,
        });
        sources.collect()
    }

    fn state_of(&self, target: &EndpointTarget) -> SourceState {
        let states = self.lock();
        let place = self.key.sources.iter().position(|(known, _)| same_name(known, target));
        let state = place.and_then(|place| states.get(place)).cloned().unwrap_or_default();
        SourceState { warm_up_new: true, ..state }
    }

    fn stop_token(&self) -> CancellationToken {
        self.stop.token().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SourceState>> {
        // Every writer leaves the list whole, so a panic elsewhere does not spoil it.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn same_name(one: &EndpointTarget, other: &EndpointTarget) -> bool {
    match (one, other) {
        (EndpointTarget::Dns { host, .. }, EndpointTarget::Dns { host: other, .. }) => {
            host == other
        }
        _ => false,
    }
}

fn is_ready(key: &StoreKey, states: &[SourceState]) -> bool {
    key.sources.iter().zip(states).all(|((target, _), state)| match target {
        EndpointTarget::Address(_) | EndpointTarget::Unix(_) => true,
        EndpointTarget::Dns { .. } => state.addresses.is_some(),
    })
}

fn assemble(
    cluster: &str,
    key: &StoreKey,
    states: &[SourceState],
    before: &EndpointSet,
    added_at: Option<Instant>,
) -> EndpointSet {
    let mut candidates = Vec::new();
    for ((target, weight), state) in key.sources.iter().zip(states) {
        let weight = weight.get();
        match target {
            EndpointTarget::Address(address) => {
                let host = address.ip().to_string();
                let authority = authority(&host, address.port(), key.secure);
                let address = EndpointAddress::Tcp(*address);
                candidates.push(ResolvedEndpoint { address, host, authority, weight, added_at });
            }
            EndpointTarget::Unix(path) => candidates.push(ResolvedEndpoint {
                address: EndpointAddress::Unix(path.clone()),
                host: "localhost".to_owned(),
                authority: "localhost".to_owned(),
                weight,
                added_at,
            }),
            EndpointTarget::Dns { host, port } => {
                let authority = authority(host, port.get(), key.secure);
                for ip in state.addresses.iter().flatten() {
                    candidates.push(ResolvedEndpoint {
                        address: EndpointAddress::Tcp(SocketAddr::new(*ip, port.get())),
                        host: host.clone(),
                        authority: authority.clone(),
                        weight,
                        added_at,
                    });
                }
            }
        }
    }
    EndpointSet::following(before, cluster, candidates, key.table)
}

fn authority(host: &str, port: u16, secure: bool) -> String {
    let host = host.strip_suffix('.').unwrap_or(host);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match (port, secure) {
        (80, false) | (443, true) => host,
        _ => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_names_the_port_unless_it_is_the_schemes_own() {
        for (host, port, secure, expected) in [
            ("api.shop", 80, false, "api.shop"),
            ("api.shop", 80, true, "api.shop:80"),
            ("api.shop.", 443, true, "api.shop"),
            ("10.0.0.1", 7003, false, "10.0.0.1:7003"),
            ("fd00::1", 7003, false, "[fd00::1]:7003"),
            ("fd00::1", 443, true, "[fd00::1]"),
        ] {
            assert_eq!(authority(host, port, secure), expected);
        }
    }
}
