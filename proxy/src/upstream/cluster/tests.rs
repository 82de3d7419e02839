use portcullis_config::location::Sourced;
use portcullis_config::model::{EndpointTarget, HashKey};
use tokio::time::Instant;

use super::*;
use crate::upstream::endpoint::EndpointAddress;
use crate::upstream::fixture::{named, numbered, upstream};

#[test]
fn static_and_unix_endpoints_are_there_at_once() {
    let unix = EndpointTarget::Unix("/run/shop.sock".into());
    let config = upstream(BalancePolicy::Random, [(numbered(1), 3), (unix, 1)]);
    let cluster = Cluster::build(&config, None);
    let set = cluster.endpoints();
    assert!(cluster.is_ready());
    assert_eq!(set.endpoints.len(), 2);
    assert_eq!(set.endpoints[0].host, "10.0.0.1");
    assert_eq!(set.endpoints[0].weight, 3);
    assert_eq!(set.endpoints[1].address, EndpointAddress::Unix("/run/shop.sock".into()));
    assert_eq!(set.endpoints[1].authority, "localhost");
}

#[test]
fn what_is_unchanged_is_the_same_object_in_the_next_generation() {
    let config = upstream(BalancePolicy::Random, [(numbered(1), 1)]);
    let first = Cluster::build(&config, None);
    let mut config = config;
    config.connect_timeout = Sourced::built_in(std::time::Duration::from_secs(9));
    config.load_balancer.policy = Sourced::built_in(BalancePolicy::RoundRobin);
    let second = Cluster::build(&config, Some(&first));
    assert!(second.shares_endpoints_with(&first));
    assert_eq!(second.slot, first.slot);
    assert_eq!(second.config.connect_timeout.value.as_secs(), 9);
    assert!(Arc::ptr_eq(second.endpoint_source(), first.endpoint_source()));
    assert!(!second.balances_like(&first), "the policy is another");
    assert!(Cluster::build(&config, Some(&second)).balances_like(&second));
}

#[test]
fn changed_endpoints_leave_the_old_generation_alone() {
    let config = upstream(BalancePolicy::Random, [(numbered(1), 1), (numbered(2), 1)]);
    let first = Cluster::build(&config, None);
    let config = upstream(BalancePolicy::Random, [(numbered(2), 1), (numbered(3), 1)]);
    let second = Cluster::build(&config, Some(&first));
    assert!(!second.shares_endpoints_with(&first));
    assert_eq!(first.endpoints().endpoints.len(), 2);
    let (before, after) = (first.endpoints(), second.endpoints());
    assert!(Arc::ptr_eq(&before.endpoints[1], &after.endpoints[0]), "the one that stays is shared");
    assert_eq!(after.endpoints[0].added_at, None);
    assert!(after.endpoints[1].added_at.is_some(), "the one that comes starts slowly");
    assert!(after.generation > before.generation);
}

#[test]
fn a_policy_that_wants_a_table_gets_one_on_reload() {
    let config = upstream(BalancePolicy::Random, [(numbered(1), 1)]);
    let first = Cluster::build(&config, None);
    let config = upstream(BalancePolicy::Maglev(HashKey::Path), [(numbered(1), 1)]);
    let second = Cluster::build(&config, Some(&first));
    assert!(!second.shares_endpoints_with(&first));
    assert!(Arc::ptr_eq(&first.endpoints().endpoints[0], &second.endpoints().endpoints[0]));
}

#[test]
fn resolved_names_serve_on_when_other_endpoints_change() {
    let config = upstream(BalancePolicy::Random, [(named("api"), 1)]);
    let first = Cluster::build(&config, None);
    assert!(!first.is_ready());
    assert!(first.endpoints().endpoints.is_empty());
    first.store().publish(0, &["10.9.0.1".parse().unwrap()], Instant::now());
    assert!(first.is_ready());
    assert_eq!(first.endpoints().endpoints[0].added_at, None, "the first answer starts whole");

    let config =
        upstream(BalancePolicy::Random, [(numbered(1), 1), (named("api"), 5), (named("new"), 1)]);
    let second = Cluster::build(&config, Some(&first));
    let set = second.endpoints();
    assert_eq!(set.endpoints.len(), 2);
    assert_eq!(set.endpoints[1].id, first.endpoints().endpoints[0].id);
    assert_eq!(set.endpoints[1].weight, 5);
    assert!(!second.is_ready(), "one name is new");
    second.store().publish(2, &["10.9.0.2".parse().unwrap()], Instant::now());
    assert!(second.is_ready());
    assert!(second.endpoints().endpoints[2].added_at.is_some());
}

#[test]
fn another_upstreams_past_is_not_carried_over() {
    let config = upstream(BalancePolicy::Random, [(numbered(1), 1)]);
    let first = Cluster::build(&config, None);
    let mut config = config;
    config.name = "users".to_owned();
    let second = Cluster::build(&config, Some(&first));
    assert!(!second.shares_endpoints_with(&first));
    assert_ne!(first.slot, second.slot);
    assert_ne!(first.endpoints().endpoints[0].id, second.endpoints().endpoints[0].id);
}

#[test]
fn open_connections_count_over_generations() {
    let config = upstream(BalancePolicy::Random, [(numbered(1), 1)]);
    let first = Cluster::build(&config, None);
    let held = (first.try_connect().unwrap(), first.try_connect().unwrap());
    let mut config = upstream(BalancePolicy::Random, [(numbered(2), 1)]);
    let second = Cluster::build(&config, Some(&first));
    assert!(second.try_connect().is_none());
    config.concurrency.max_connections = Sourced::built_in(3.try_into().unwrap());
    let third = Cluster::build(&config, Some(&second));
    let extra = third.try_connect().unwrap();
    assert_eq!((first.open_connections(), third.open_connections()), (3, 3));
    drop((held, extra));
    assert_eq!(first.open_connections(), 0);
    let _waiting = first.try_pend().unwrap();
    assert!(third.try_pend().is_none());
    assert_eq!(third.pending_requests(), 1);
}
