use portcullis_config::location::Sourced;
use portcullis_config::model::{BalancePolicy, Upstream};

use super::*;
use crate::upstream::balance::PickKey;
use crate::upstream::cluster::Cluster;
use crate::upstream::fixture::{numbered, upstream};

fn config(policy: BalancePolicy) -> Upstream {
    upstream(policy, (0..5).map(|n| (numbered(n), 1)))
}

fn metrics() -> Arc<Metrics> {
    Metrics::new(1, &prometheus::Registry::new()).unwrap()
}

fn live(
    config: &Upstream,
    previous: Option<&LocalUpstream>,
    metrics: &Arc<Metrics>,
) -> Arc<LiveUpstream> {
    Arc::new(LiveUpstream {
        name: config.name.as_str().into(),
        cluster: Cluster::build(config, previous.map(|previous| &previous.live.cluster)),
        tls: None,
        metrics: metrics.upstream(&config.name),
    })
}

fn pick(local: &LocalUpstream) -> u64 {
    local.balancer.pick(&PickKey::default(), &[], Instant::now()).unwrap().id
}

/// With a new start at each reload, a run of them would send request after request to wherever
/// chance has it.
#[test]
fn turns_go_on_over_reloads_that_change_nothing_of_the_balancing() {
    let metrics = metrics();
    let mut config = config(BalancePolicy::RoundRobin);
    let mut local =
        LocalUpstream::new(live(&config, None, &metrics), Arc::clone(&metrics), WorkerId(0), 1);
    let turn: Vec<u64> = (0..5).map(|_| pick(&local)).collect();
    for (reload, expected) in (1..).zip(turn.iter().cycle().take(20)) {
        config.keep_alive.max_idle = Sourced::built_in(reload);
        let next = local.succeed(live(&config, Some(&local), &metrics));
        // Requests of the old generation take their turns among those of the new one.
        assert_eq!(pick(&local), *expected);
        local = next;
    }
}

#[test]
fn another_policy_serves_from_the_reload_on() {
    let metrics = metrics();
    let live = |policy, previous| live(&config(policy), previous, &metrics);
    let before = live(BalancePolicy::RoundRobin, None);
    let before = LocalUpstream::new(before, Arc::clone(&metrics), WorkerId(0), 1);
    let after = before.succeed(live(BalancePolicy::Random, Some(&before)));
    let mut picks: Vec<u64> = (0..50).map(|_| pick(&after)).collect();
    let in_turn = picks.windows(5).all(|five| !five[1..].contains(&five[0]));
    assert!(!in_turn, "chance repeats itself, turns do not");
    picks.sort_unstable();
    picks.dedup();
    assert_eq!(picks.len(), 5);
}
