//! Configurations of upstreams for the tests of this module.

use std::num::{NonZeroU16, NonZeroU32};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::location::{Location, Sourced};
use portcullis_config::model::{
    BalancePolicy, Concurrency, EndpointSource, EndpointTarget, KeepAlive, LoadBalancer, Upstream,
};

use super::cluster::Cluster;
use super::local::LocalUpstream;
use crate::observe::counter::WorkerId;
use crate::observe::metrics::Metrics;
use crate::tls::ClientTls;
use crate::upstream::live::LiveUpstream;

pub(super) fn upstream(
    policy: BalancePolicy,
    endpoints: impl IntoIterator<Item = (EndpointTarget, u16)>,
) -> Upstream {
    let endpoints = endpoints.into_iter().map(|(target, weight)| EndpointSource {
        target,
        weight: NonZeroU16::new(weight).unwrap(),
        location: location(),
    });
    Upstream {
        name: "shop".to_owned(),
        location: location(),
        endpoints: endpoints.collect(),
        load_balancer: LoadBalancer { policy: Sourced::built_in(policy), slow_start: None },
        tls: None,
        protocol: Default::default(),
        concurrency: Concurrency {
            max_connections: Sourced::built_in(NonZeroU32::new(2).unwrap()),
            max_pending: Sourced::built_in(1),
        },
        keep_alive: KeepAlive {
            max_idle: Sourced::built_in(8),
            idle_timeout: Sourced::built_in(Duration::from_secs(30)),
        },
        connect_timeout: Sourced::built_in(Duration::from_secs(1)),
        proxy_protocol: None,
    }
}

/// Endpoint number `n`, at 10.0.x.y:80.
pub(super) fn numbered(n: u16) -> EndpointTarget {
    let [high, low] = n.to_be_bytes();
    EndpointTarget::Address(([10, 0, high, low], 80).into())
}

pub(super) fn named(host: &str) -> EndpointTarget {
    EndpointTarget::Dns { host: host.to_owned(), port: NonZeroU16::new(80).unwrap() }
}

/// The upstream as the only worker has it.
pub(super) fn local(config: &Upstream) -> LocalUpstream {
    local_over(config, None)
}

pub(super) fn local_over(config: &Upstream, tls: Option<Arc<ClientTls>>) -> LocalUpstream {
    let metrics = Metrics::new(1, &prometheus::Registry::new()).unwrap();
    let live = Arc::new(LiveUpstream {
        name: config.name.as_str().into(),
        cluster: Cluster::build(config, None),
        tls,
        metrics: metrics.upstream(&config.name),
    });
    LocalUpstream::new(live, metrics, WorkerId(0), 1)
}

fn location() -> Location {
    Location { file: Arc::from(Path::new("test.yaml")), line: 1, column: 1, start: 0, end: 0 }
}
