//! Endpoints and the sets that they form: immutable, shared by every worker.
//!
//! An endpoint's identity is its cluster, its address and its host name. Modules that keep state per
//! endpoint (pools, latency estimates) key it by [`Endpoint::id`], which stays
//! the same when a weight changes, over reloads, restarts and replicas. This module knows neither
//! how addresses are found nor who picks among them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;

use super::balance::maglev::Maglev;
use super::balance::ring::Ring;
use super::hash;

/// More endpoints of one cluster than this are not used.
pub const MAX_ENDPOINTS: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl std::fmt::Display for EndpointAddress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub address: EndpointAddress,
    /// The DNS name it was found by, else its address without port or brackets; `localhost` for a
    /// Unix socket. What SNI says and a certificate is checked against.
    pub host: String,
    /// The host as it stands in `Host`: bracketed if need be, with the port unless it is the
    /// scheme's own.
    pub authority: String,
    pub weight: u16,
    /// Identity, see the module's words. Opaque, but derived without a secret: one who can guess
    /// an address can confirm it.
    pub id: u64,
    /// When it joined a set that was serving already; `None` for those that were there at first,
    /// which need no slow start.
    pub added_at: Option<Instant>,
}

/// The endpoints of a cluster at one time. Its order depends on the configuration and the
/// addresses alone, not on the order in which a name server listed them.
#[derive(Debug, Default)]
pub struct EndpointSet {
    /// Grows with every change of the cluster's endpoints, over reloads too.
    pub generation: u64,
    pub endpoints: Vec<Arc<Endpoint>>,
    pub(super) table: HashTable,
}

/// What a consistent-hash policy looks its keys up in.
#[derive(Debug, Default)]
pub(super) enum HashTable {
    #[default]
    None,
    Ring(Ring),
    Maglev(Maglev),
}

/// Which table a policy wants prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableKind {
    None,
    Ring,
    Maglev,
}

/// An endpoint before it is known whether it was there already.
#[derive(Debug, Clone)]
pub(super) struct ResolvedEndpoint {
    pub(super) address: EndpointAddress,
    pub(super) host: String,
    pub(super) authority: String,
    pub(super) weight: u16,
    pub(super) added_at: Option<Instant>,
}

impl EndpointSet {
    /// Makes the set that follows `previous`: endpoints that were there keep their identity and
    /// age. One that is named twice counts once, with both weights.
    pub(super) fn following(
        previous: &Self,
        cluster: &str,
        candidates: impl IntoIterator<Item = ResolvedEndpoint>,
        table: TableKind,
    ) -> Self {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for candidate in candidates {
            let id = identity(cluster, &candidate);
            if let Some(place) = places.get(&id) {
                let twin: &mut Endpoint = &mut endpoints[*place];
                twin.weight = twin.weight.saturating_add(candidate.weight);
            } else if endpoints.len() < MAX_ENDPOINTS {
                places.insert(id, endpoints.len());
                let ResolvedEndpoint { address, host, authority, weight, added_at } = candidate;
                endpoints.push(Endpoint { address, host, authority, weight, id, added_at });
            } else {
                tracing::warn!(
                    cluster,
                    limit = MAX_ENDPOINTS,
                    "endpoints over the limit are not used"
                );
                break;
            }
        }
        let mut known: std::collections::HashMap<u64, &Arc<Endpoint>> =
            previous.endpoints.iter().map(|endpoint| (endpoint.id, endpoint)).collect();
        let endpoints: Vec<_> = endpoints
            .into_iter()
            .map(|mut endpoint| match known.remove(&endpoint.id) {
                Some(old) => {
                    endpoint.added_at = old.added_at;
                    if **old == endpoint { Arc::clone(old) } else { Arc::new(endpoint) }
                }
                None => Arc::new(endpoint),
            })
            .collect();
        let table = match table {
            TableKind::None => HashTable::None,
            TableKind::Ring => HashTable::Ring(Ring::new(&endpoints)),
            TableKind::Maglev => HashTable::Maglev(Maglev::new(&endpoints)),
        };
        Self { generation: previous.generation + 1, endpoints, table }
    }
}

fn identity(cluster: &str, candidate: &ResolvedEndpoint) -> u64 {
    let address = candidate.address.to_string();
    hash::stable(&[cluster.as_bytes(), address.as_bytes(), candidate.host.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(address: &str, weight: u16) -> ResolvedEndpoint {
        ResolvedEndpoint {
            address: EndpointAddress::Tcp(address.parse().unwrap()),
            host: "api".to_owned(),
            authority: "api".to_owned(),
            weight,
            added_at: None,
        }
    }

    #[test]
    fn identity_survives_a_change_of_weight_and_the_unchanged_are_shared() {
        let all = [candidate("10.0.0.1:80", 1), candidate("10.0.0.2:80", 1)];
        let first = EndpointSet::following(&EndpointSet::default(), "c", all, TableKind::None);
        let mut late = candidate("10.0.0.2:80", 5);
        late.added_at = Some(Instant::now());
        let all = [candidate("10.0.0.1:80", 1), late];
        let second = EndpointSet::following(&first, "c", all, TableKind::None);
        assert!(Arc::ptr_eq(&first.endpoints[0], &second.endpoints[0]));
        assert_eq!(first.endpoints[1].id, second.endpoints[1].id);
        assert_eq!(second.endpoints[1].weight, 5);
        assert_eq!(second.endpoints[1].added_at, None, "its age is that of its identity");
        assert_eq!((first.generation, second.generation), (1, 2));
    }

    #[test]
    fn twins_are_one_endpoint_with_both_weights() {
        let all = [candidate("10.0.0.1:80", 2), candidate("10.0.0.1:80", 3)];
        let set = EndpointSet::following(&EndpointSet::default(), "c", all, TableKind::None);
        assert_eq!(set.endpoints.len(), 1);
        assert_eq!(set.endpoints[0].weight, 5);
    }

    #[test]
    fn identity_distinguishes_clusters_and_names() {
        let id = |cluster: &str, host: &str| {
            identity(
                cluster,
                &ResolvedEndpoint { host: host.to_owned(), ..candidate("10.0.0.1:80", 1) },
            )
        };
        assert_ne!(id("a", "api"), id("b", "api"));
        assert_ne!(id("a", "api"), id("a", "web"));
    }

    #[test]
    fn too_many_are_cut() {
        let all = (0..5000u32).map(|n| {
            let [_, _, high, low] = n.to_be_bytes();
            candidate(&format!("10.0.{high}.{low}:80"), 1)
        });
        let set = EndpointSet::following(&EndpointSet::default(), "c", all, TableKind::None);
        assert_eq!(set.endpoints.len(), MAX_ENDPOINTS);
    }
}
