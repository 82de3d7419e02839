//! One upstream as a generation of the configuration has it: its cluster, its TLS, its counters.

use std::sync::Arc;

use portcullis_config::model::{self, BalancePolicy, HashKey};

use super::cluster::Cluster;
use crate::observe::metrics::Metrics;
use crate::observe::series::UpstreamMetrics;
use crate::tls::ClientTls;
use crate::world::WorldError;

/// The live form of an upstream.
pub struct LiveUpstream {
    pub name: Arc<str>,
    pub cluster: Arc<Cluster>,
    pub tls: Option<Arc<ClientTls>>,
    pub metrics: Arc<UpstreamMetrics>,
}

impl LiveUpstream {
    /// `before` is the same upstream in the generation before: what its key leaves unchanged is
    /// carried over.
    pub(crate) fn build(
        config: &model::Upstream,
        before: Option<&Self>,
        metrics: &Metrics,
        faults: &mut Vec<WorldError>,
    ) -> Self {
        let tls = config.tls.as_ref().and_then(|tls| {
            let kept =
                before.and_then(|before| before.tls.as_ref()).filter(|kept| kept.is_for(tls));
            match kept {
                Some(kept) => match kept.reload() {
                    Ok(_) => Some(Arc::clone(kept)),
                    Err(errors) => {
                        faults.extend(errors);
                        None
                    }
                },
                None => ClientTls::build(tls, faults).map(Arc::new),
            }
        });
        Self {
            name: config.name.as_str().into(),
            cluster: Cluster::build(config, before.map(|before| &before.cluster)),
            tls,
            metrics: metrics.upstream(&config.name),
        }
    }

    /// What its balancing policy hashes, if it hashes.
    pub fn hash_key(&self) -> Option<&HashKey> {
        match &self.cluster.config.load_balancer.policy.value {
            BalancePolicy::RingHash(key) | BalancePolicy::Maglev(key) => Some(key),
            _ => None,
        }
    }

    /// Whether a connection made under `other` may be used under this.
    pub fn trusts_like(&self, other: &Self) -> bool {
        match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(this), Some(other)) => Arc::ptr_eq(this, other),
            _ => false,
        }
    }
}
