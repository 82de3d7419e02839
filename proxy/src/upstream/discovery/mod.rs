//! Keeps the endpoints of clusters up to date with the name servers, from the control runtime.
//!
//! One task for each name asks again when the answer's time is over and publishes what changed.
//! An answer that is none (a failure, an empty one) changes nothing: the last good one serves on,
//! and the question is put again after a growing pause. Nothing here knows a DNS message; that is
//! behind [`Resolve`].

mod system;
mod task;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tracing::Instrument;

pub use self::system::SystemResolver;
use super::cluster::Cluster;

/// Addresses of one name that are used at most.
pub const MAX_ADDRESSES: usize = 256;

/// Questions that are open at a time, over all clusters.
const MAX_QUESTIONS: usize = 16;

/// Resolves a name to addresses.
pub trait Resolve: Send + Sync + 'static {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a>;
}

pub type Resolving<'a> =
    Pin<Box<dyn Future<Output = Result<ResolvedAddresses, ResolveError>> + Send + 'a>>;

/// The addresses of a name, of both families, in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedAddresses {
    pub addresses: Vec<IpAddr>,
    pub ttl: Duration,
    /// A family that could not be asked for, as opposed to one that the name does not have: its
    /// last good addresses stay.
    pub missing: Option<AddressFamily>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    V4,
    V6,
}

impl AddressFamily {
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("the name is not one that can be asked for")]
    BadName,
    #[error("the name does not exist or has no addresses")]
    NoAddresses,
    #[error("the name server could not answer")]
    Refused,
    #[error("no name server answered in time")]
    TimedOut,
    #[error("no name server could be reached")]
    Unreachable,
}

/// When to ask. The default is for production; tests shorten it.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Bounds for an answer's time to live.
    pub ttl_least: Duration,
    pub ttl_most: Duration,
    /// The first pause after a failure, and the longest; doubled in between.
    pub retry_first: Duration,
    pub retry_most: Duration,
    /// One question and all its attempts.
    pub deadline: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ttl_least: Duration::from_secs(1),
            ttl_most: Duration::from_secs(300),
            retry_first: Duration::from_secs(1),
            retry_most: Duration::from_secs(60),
            deadline: Duration::from_secs(15),
        }
    }
}

/// See the module. Cloned freely; the clones share their resolver.
#[derive(Clone)]
pub struct Discovery {
    resolver: Arc<dyn Resolve>,
    runtime: Handle,
    timing: Timing,
    turns: Arc<Semaphore>,
    seed: u64,
}

impl Discovery {
    /// The seed jitters when names are asked for again.
    pub fn new(resolver: Arc<dyn Resolve>, runtime: Handle, seed: u64) -> Self {
        Self::with_timing(resolver, runtime, seed, Timing::default())
    }

    pub fn with_timing(
        resolver: Arc<dyn Resolve>,
        runtime: Handle,
        seed: u64,
        timing: Timing,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(MAX_QUESTIONS));
        Self { resolver, runtime, timing, turns, seed }
    }

    /// Follows the names of a cluster until its endpoints are dropped. Does nothing for
    /// endpoints that are followed already, so it may be called for each generation.
    pub fn spawn(&self, cluster: &Cluster) {
        let store = cluster.store();
        let Some((questions, stop)) = store.follow() else { return };
        for question in questions {
            let span =
                tracing::info_span!("discovery", cluster = store.cluster(), host = question.host);
            let seed = self.seed
                ^ super::hash::stable(&[store.cluster().as_bytes(), question.host.as_bytes()]);
            let task = task::Task {
                store: Arc::downgrade(store),
                question,
                resolver: Arc::clone(&self.resolver),
                turns: Arc::clone(&self.turns),
                timing: self.timing,
                random: fastrand::Rng::with_seed(seed),
            };
            let following = stop.clone().run_until_cancelled_owned(task.run());
            self.runtime.spawn(async move { following.await.unwrap_or_default() }.instrument(span));
        }
    }
}

#[cfg(test)]
mod tests;
