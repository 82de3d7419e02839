//! What a request asks of its upstream's balancer: a pick, and to note how it ended.

use std::time::Duration;

use portcullis_proxy::upstream::balance::{Balancer, Observation, PickKey};
use portcullis_proxy::upstream::cluster::Cluster;
use tokio::time::Instant;

use super::repeat;
use crate::case::Work;
use crate::fixture;

/// `load_balancer` is the configuration's text.
pub(super) fn pick(load_balancer: &str, endpoints: usize) -> Work {
    let config = fixture::config(load_balancer, endpoints);
    let cluster = Cluster::build(&config.upstreams[0], None);
    let balancer = Balancer::new(&cluster, 7);
    assert_eq!(balancer.len(), endpoints);
    // A latency that has settled: every request takes a millisecond and is alone.
    let latency = Duration::from_millis(1);
    let outcome = Observation { latency: Some(latency), failed: false };
    let mut now = Instant::now();
    let mut hash = 7_u64;
    repeat(move || {
        now += latency;
        // Another client each time, by the constant of Knuth's multiplicative hashing.
        hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        let key = PickKey { hash: Some(hash), sticky: None };
        let picked = balancer.pick(&key, &[], now).expect("there are endpoints");
        let in_flight = picked.start();
        in_flight.observe(outcome, now);
        in_flight
    })
}
