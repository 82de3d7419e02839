//! Distribution, disruption and memory of the six policies, on seeded chance and paused time.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use portcullis_config::location::Sourced;
use portcullis_config::model::{HashKey, Upstream};
use proptest::prelude::*;

use super::*;
use crate::upstream::fixture::{named, numbered, upstream};

fn policies() -> [BalancePolicy; 6] {
    [
        BalancePolicy::RoundRobin,
        BalancePolicy::LeastRequest,
        BalancePolicy::P2cEwma,
        BalancePolicy::Random,
        BalancePolicy::RingHash(HashKey::Path),
        BalancePolicy::Maglev(HashKey::Path),
    ]
}

/// Endpoints 0, 1, ... with these weights.
fn config(policy: BalancePolicy, weights: &[u16]) -> Upstream {
    upstream(policy, (0..).map(numbered).zip(weights.iter().copied()))
}

fn cluster(policy: BalancePolicy, weights: &[u16]) -> Arc<Cluster> {
    Cluster::build(&config(policy, weights), None)
}

fn key(n: u64) -> PickKey {
    PickKey { hash: Some(super::super::hash::remix(n)), sticky: None }
}

/// How many of `picks` keyed requests each endpoint of the set gets, one at a time.
fn shares(cluster: &Cluster, balancer: &Balancer, picks: u64, now: Instant) -> Vec<u64> {
    let mut counts = HashMap::new();
    for n in 0..picks {
        *counts.entry(balancer.pick(&key(n), &[], now).unwrap().id).or_default() += 1;
    }
    let set = cluster.endpoints();
    set.endpoints.iter().map(|endpoint| counts.remove(&endpoint.id).unwrap_or(0)).collect()
}

/// Pearson's statistic against shares by weight.
fn chi_square(counts: &[u64], weights: &[u16]) -> f64 {
    let picks: u64 = counts.iter().sum();
    let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    counts
        .iter()
        .zip(weights)
        .map(|(count, weight)| {
            let expected = picks as f64 * f64::from(*weight) / total;
            (*count as f64 - expected).powi(2) / expected
        })
        .sum()
}

#[test]
fn idle_endpoints_are_picked_by_weight() {
    const PICKS: u64 = 50_000;
    // The statistic of n endpoints has the mean n - 1; 30 is far out for at most 10 of them
    // (below one in two thousand). The two hash policies place points, not draws, so they are
    // held to a relative error instead.
    let cases: [&[u16]; 5] = [&[1, 1], &[1, 1, 1, 1, 1], &[5, 1, 1], &[1, 2, 3, 4], &[100, 50, 1]];
    let now = Instant::now();
    for policy in policies() {
        for weights in cases {
            let cluster = cluster(policy.clone(), weights);
            let counts = shares(&cluster, &Balancer::new(&cluster, 7), PICKS, now);
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            let worst = counts.iter().zip(weights).map(|(count, weight)| {
                (*count as f64 * total / (f64::from(*weight) * PICKS as f64) - 1.0).abs()
            });
            let worst = worst.fold(0.0, f64::max);
            match policy {
                BalancePolicy::RoundRobin => {
                    for (count, weight) in counts.iter().zip(weights) {
                        let exact = PICKS as f64 * f64::from(*weight) / total;
                        assert!((*count as f64 - exact).abs() <= 2.0, "{weights:?}: {counts:?}");
                    }
                }
                // 160 points for a unit of weight: a share's deviation is a twelfth or so.
                BalancePolicy::RingHash(_) => assert!(worst < 0.35, "{weights:?}: {counts:?}"),
                BalancePolicy::Maglev(_) => assert!(worst < 0.12, "{weights:?}: {counts:?}"),
                _ => {
                    let statistic = chi_square(&counts, weights);
                    assert!(statistic < 30.0, "{policy:?} {weights:?}: {counts:?} {statistic}");
                }
            }
        }
    }
}

#[test]
fn round_robin_spreads_a_heavy_endpoint_out() {
    let cluster = cluster(BalancePolicy::RoundRobin, &[5, 1, 1]);
    let balancer = Balancer::new(&cluster, 1);
    let heavy = cluster.endpoints().endpoints[0].id;
    let now = Instant::now();
    let picks: Vec<_> =
        (0..700).map(|_| balancer.pick(&PickKey::default(), &[], now).unwrap().id).collect();
    for window in picks.windows(7) {
        assert!((4..=6).contains(&window.iter().filter(|id| **id == heavy).count()));
    }
    let longest = picks.chunk_by(|a, b| a == b).map(<[u64]>::len).max();
    assert!(longest <= Some(4), "{longest:?} in a row");
}

#[test]
fn workers_do_not_march_in_step() {
    let now = Instant::now();
    for weights in [&[1u16; 8][..], &[9, 1, 1, 1, 1, 1, 1, 1]] {
        let cluster = cluster(BalancePolicy::RoundRobin, weights);
        let firsts: HashSet<_> = (0..32)
            .map(|seed| {
                Balancer::new(&cluster, seed).pick(&PickKey::default(), &[], now).unwrap().id
            })
            .collect();
        assert!(firsts.len() > 2, "{} of 8", firsts.len());
    }
}

#[test]
fn least_request_and_ewma_leave_the_busy_alone() {
    let now = Instant::now();
    for policy in [BalancePolicy::LeastRequest, BalancePolicy::P2cEwma] {
        let cluster = cluster(policy, &[1, 1, 1]);
        let balancer = Balancer::new(&cluster, 3);
        let busy = pick_id(&balancer, cluster.endpoints().endpoints[0].id, now);
        let held: Vec<_> = (0..50).map(|_| busy.start()).collect();
        assert_eq!(busy.in_flight(), 50);
        for n in 0..1000 {
            assert_ne!(balancer.pick(&key(n), &[], now).unwrap().id, busy.id);
        }
        drop(held);
        assert_eq!(busy.in_flight(), 0);
        assert!((0..1000).any(|n| balancer.pick(&key(n), &[], now).unwrap().id == busy.id));
    }
}

#[test]
fn least_request_fills_by_weight() {
    let cluster = cluster(BalancePolicy::LeastRequest, &[1, 3]);
    let balancer = Balancer::new(&cluster, 5);
    let now = Instant::now();
    let held: Vec<_> =
        (0..400).map(|n| balancer.pick(&key(n), &[], now).unwrap().start()).collect();
    let heavy = held.iter().filter(|one| one.picked().weight == 3).count();
    assert!((285..=315).contains(&heavy), "{heavy} of 400");
}

/// The endpoint itself, whatever the policy would say.
fn pick_id(balancer: &Balancer, id: u64, now: Instant) -> Picked {
    balancer.pick(&PickKey { hash: None, sticky: Some(id) }, &[], now).unwrap()
}

/// Answers every request at once. `answer` gives the latency of an endpoint, and whether it failed.
fn serve(
    balancer: &Balancer,
    picks: u64,
    start: Instant,
    answer: impl Fn(&Picked) -> (Duration, bool),
) -> HashMap<u64, u64> {
    let mut counts = HashMap::new();
    for n in 0..picks {
        let now = start + Duration::from_millis(n);
        let picked = balancer.pick(&key(n), &[], now).unwrap();
        let (latency, failed) = answer(&picked);
        picked.start().observe(Observation { latency: Some(latency), failed }, now);
        *counts.entry(picked.id).or_default() += 1;
    }
    counts
}

#[test]
fn ewma_prefers_the_fast() {
    let cluster = cluster(BalancePolicy::P2cEwma, &[1, 1, 1]);
    let balancer = Balancer::new(&cluster, 11);
    let slow = cluster.endpoints().endpoints[0].id;
    let counts = serve(&balancer, 9000, Instant::now(), |picked| {
        (Duration::from_millis(if picked.id == slow { 200 } else { 10 }), false)
    });
    let slow = counts.get(&slow).copied().unwrap_or(0);
    assert!(slow < 300, "{slow} of 9000 to the slow one");
    assert!(counts.values().filter(|count| **count > 3000).count() == 2, "{counts:?}");
}

#[test]
fn ewma_does_not_take_fast_failures_for_speed() {
    let cluster = cluster(BalancePolicy::P2cEwma, &[1, 1, 1]);
    let balancer = Balancer::new(&cluster, 13);
    let broken = cluster.endpoints().endpoints[1].id;
    let counts = serve(&balancer, 9000, Instant::now(), |picked| match picked.id == broken {
        true => (Duration::from_micros(50), true),
        false => (Duration::from_millis(20), false),
    });
    let broken = counts.get(&broken).copied().unwrap_or(0);
    assert!(broken < 30, "{broken} of 9000 to the broken one");
}

#[test]
fn ewma_takes_one_back_that_has_recovered() {
    let cluster = cluster(BalancePolicy::P2cEwma, &[1, 1]);
    let balancer = Balancer::new(&cluster, 17);
    let once = cluster.endpoints().endpoints[0].id;
    let start = Instant::now();
    let well = |_: &Picked| (Duration::from_millis(10), false);
    serve(&balancer, 1000, start, well);
    let failed = Observation { latency: None, failed: true };
    pick_id(&balancer, once, start).start().observe(failed, start + Duration::from_secs(1));
    let soon = serve(&balancer, 1000, start + Duration::from_secs(1), well);
    assert!(soon.get(&once).copied().unwrap_or(0) < 10, "{soon:?}");
    let later = serve(&balancer, 1000, start + Duration::from_secs(40), well);
    assert!(later.get(&once).copied().unwrap_or(0) > 250, "{later:?}");
}

#[test]
fn a_key_keeps_its_endpoint_when_another_goes() {
    const KEYS: u64 = 20_000;
    let now = Instant::now();
    // The share of keys that may move though their own endpoint stayed.
    for (policy, most) in [
        (BalancePolicy::RingHash(HashKey::Path), 0.001),
        (BalancePolicy::Maglev(HashKey::Path), 0.03),
    ] {
        for gone in [0u16, 7, 19] {
            let all: Vec<_> = (0..20).map(|n| (numbered(n), 1)).collect();
            let fewer: Vec<_> = (0..20).filter(|n| *n != gone).map(|n| (numbered(n), 1)).collect();
            let before = Balancer::new(&Cluster::build(&upstream(policy.clone(), all), None), 1);
            let after = Balancer::new(&Cluster::build(&upstream(policy.clone(), fewer), None), 2);
            let (mut moved, mut orphans) = (0, 0);
            for n in 0..KEYS {
                let (was, is) = (
                    before.pick(&key(n), &[], now).unwrap(),
                    after.pick(&key(n), &[], now).unwrap(),
                );
                if was.host == format!("10.0.0.{gone}") {
                    orphans += 1;
                } else if was.id != is.id {
                    moved += 1;
                }
            }
            assert!(orphans > KEYS / 40, "{orphans} keys were its own");
            let share = f64::from(moved) / KEYS as f64;
            assert!(share <= most, "{policy:?}: {share} moved");
        }
    }
}

#[test]
fn a_key_finds_its_endpoint_whatever_the_order_of_the_file() {
    let now = Instant::now();
    for policy in [BalancePolicy::RingHash(HashKey::Path), BalancePolicy::Maglev(HashKey::Path)] {
        let forth: Vec<_> = (0..9).map(|n| (numbered(n), n + 1)).collect();
        let back: Vec<_> = forth.iter().rev().cloned().collect();
        let forth = Balancer::new(&Cluster::build(&upstream(policy.clone(), forth), None), 1);
        let back = Balancer::new(&Cluster::build(&upstream(policy, back), None), 2);
        // Maglev's slot is the remainder of the hash, so these are all of its slots: a claim that
        // came in another order changes a handful only.
        for n in 0..65_537 {
            let key = PickKey { hash: Some(n), sticky: None };
            let (one, other) = (forth.pick(&key, &[], now), back.pick(&key, &[], now));
            assert_eq!(one.unwrap().id, other.unwrap().id);
        }
    }
}

#[test]
fn huge_weights_do_not_make_huge_tables() {
    let now = Instant::now();
    for policy in policies() {
        let cluster = cluster(policy.clone(), &[u16::MAX, u16::MAX, 1]);
        let counts = shares(&cluster, &Balancer::new(&cluster, 1), 10_000, now);
        assert!(counts[0] > 4000 && counts[1] > 4000 && counts[2] < 100, "{policy:?} {counts:?}");
    }
}

#[test]
fn a_failed_over_key_goes_to_the_same_second_choice() {
    let now = Instant::now();
    for policy in [BalancePolicy::RingHash(HashKey::Path), BalancePolicy::Maglev(HashKey::Path)] {
        let cluster = cluster(policy, &[1; 6]);
        let (one, other) = (Balancer::new(&cluster, 1), Balancer::new(&cluster, 2));
        for n in 0..500 {
            let first = one.pick(&key(n), &[], now).unwrap();
            let second = one.pick(&key(n), &[first.id], now).unwrap();
            assert_ne!(first.id, second.id);
            assert_eq!(other.pick(&key(n), &[first.id], now).unwrap().id, second.id);
        }
    }
}

#[test]
fn a_request_without_the_key_goes_anywhere() {
    let now = Instant::now();
    for policy in [BalancePolicy::RingHash(HashKey::Path), BalancePolicy::Maglev(HashKey::Path)] {
        let cluster = cluster(policy, &[1; 4]);
        let balancer = Balancer::new(&cluster, 1);
        let ids: HashSet<_> =
            (0..200).map(|_| balancer.pick(&PickKey::default(), &[], now).unwrap().id).collect();
        assert_eq!(ids.len(), 4);
    }
}

#[test]
fn the_tried_are_avoided_while_there_is_another() {
    let now = Instant::now();
    for policy in policies() {
        for weights in [&[1u16, 1, 1, 1][..], &[1000, 1, 1, 1]] {
            let cluster = cluster(policy.clone(), weights);
            let balancer = Balancer::new(&cluster, 23);
            let mut tried = Vec::new();
            for n in 0..4 {
                let picked = balancer.pick(&key(n), &tried, now).unwrap();
                assert!(!tried.contains(&picked.id), "{policy:?}");
                tried.push(picked.id);
            }
            assert!(
                balancer.pick(&key(9), &tried, now).is_some(),
                "{policy:?}: rather again than not"
            );
        }
    }
}

#[test]
fn none_and_one() {
    let now = Instant::now();
    for policy in policies() {
        let none = Cluster::build(&upstream(policy.clone(), [(named("later"), 1)]), None);
        let balancer = Balancer::new(&none, 1);
        assert!(balancer.is_empty());
        assert!(balancer.pick(&key(1), &[], now).is_none());
        none.store().publish(0, &["10.9.0.1".parse().unwrap()], now);
        let only = balancer.pick(&key(1), &[], now).unwrap();
        assert_eq!(balancer.pick(&key(2), &[only.id], now).unwrap().id, only.id);
        none.store().publish(0, &["10.9.0.1".parse().unwrap(), "10.9.0.2".parse().unwrap()], now);
        assert_ne!(balancer.pick(&key(2), &[only.id], now).unwrap().id, only.id);
    }
}

#[test]
fn a_sticky_key_goes_before_the_policy_unless_it_was_tried() {
    let now = Instant::now();
    for policy in policies() {
        let cluster = cluster(policy, &[1, 1, 1]);
        let balancer = Balancer::new(&cluster, 1);
        for endpoint in &cluster.endpoints().endpoints {
            let sticky = PickKey { sticky: Some(endpoint.id), ..key(4) };
            for _ in 0..5 {
                assert_eq!(balancer.pick(&sticky, &[], now).unwrap().id, endpoint.id);
            }
            assert_ne!(balancer.pick(&sticky, &[endpoint.id], now).unwrap().id, endpoint.id);
        }
        let unknown = PickKey { sticky: Some(1), ..key(4) };
        assert!(balancer.pick(&unknown, &[], now).is_some());
    }
}

#[test]
fn a_new_endpoint_grows_into_its_share() {
    let start = Instant::now();
    let address = |n: u8| std::net::IpAddr::from([10, 9, 0, n]);
    for policy in &policies()[..4] {
        let mut config = upstream(policy.clone(), [(named("api"), 1)]);
        config.load_balancer.slow_start = Some(Duration::from_secs(10));
        let cluster = Cluster::build(&config, None);
        cluster.store().publish(0, &[address(1), address(2), address(3)], start);
        let balancer = Balancer::new(&cluster, 29);
        assert!(chi_square(&shares(&cluster, &balancer, 3000, start), &[1, 1, 1]) < 20.0);
        cluster.store().publish(0, &[address(1), address(2), address(3), address(4)], start);
        for (seconds, factor) in [(0, 0.1), (5, 0.55), (10, 1.0), (60, 1.0)] {
            let now = start + Duration::from_secs(seconds);
            let counts = shares(&cluster, &balancer, 20_000, now);
            let expected = 20_000.0 * factor / (3.0 + factor);
            let found = counts[3] as f64;
            assert!(
                (found / expected - 1.0).abs() < 0.12,
                "{policy:?} {seconds} s: {found} for {expected}"
            );
        }
    }
}

#[test]
fn slow_start_holds_under_load_too() {
    let start = Instant::now();
    let address = |n: u8| std::net::IpAddr::from([10, 9, 0, n]);
    let mut config = upstream(BalancePolicy::LeastRequest, [(named("api"), 1)]);
    config.load_balancer.slow_start = Some(Duration::from_secs(60));
    let cluster = Cluster::build(&config, None);
    cluster.store().publish(0, &[address(1), address(2)], start);
    let balancer = Balancer::new(&cluster, 31);
    let held: Vec<_> =
        (0..40).map(|n| balancer.pick(&key(n), &[], start).unwrap().start()).collect();
    cluster.store().publish(0, &[address(1), address(2), address(3)], start);
    let counts = shares(&cluster, &balancer, 10_000, start);
    drop(held);
    assert!(counts[2] < 1200, "an idle newcomer gets {} of 10000", counts[2]);
}

#[test]
fn knowledge_stays_with_the_endpoint_over_reloads() {
    let now = Instant::now();
    let first = cluster(BalancePolicy::P2cEwma, &[1, 1, 1]);
    let balancer = Balancer::new(&first, 37);
    let slow = pick_id(&balancer, first.endpoints().endpoints[0].id, now);
    let in_flight = slow.start();
    in_flight.observe(Observation { latency: Some(Duration::from_secs(5)), failed: false }, now);
    for other in &first.endpoints().endpoints[1..] {
        let one = pick_id(&balancer, other.id, now).start();
        one.observe(Observation { latency: Some(Duration::from_millis(5)), failed: false }, now);
    }

    let mut next = config(BalancePolicy::P2cEwma, &[7, 1, 1, 1]);
    next.keep_alive.max_idle = Sourced::built_in(1);
    let second = Cluster::build(&next, Some(&first));
    let balancer = balancer.succeed(&second);
    let again = pick_id(&balancer, slow.id, now);
    assert_eq!((again.weight, again.in_flight()), (7, 1), "its new weight and its old request");
    drop(in_flight);
    assert_eq!(again.in_flight(), 0);
    assert!(again.0.state.latency.get().unwrap().now(now) > 4.9, "its old latency");
    let newcomer = pick_id(&balancer, second.endpoints().endpoints[3].id, now);
    assert!(newcomer.0.state.latency.get().is_none());
}

#[test]
fn an_endpoint_that_left_is_not_picked_and_its_request_ends_quietly() {
    let now = Instant::now();
    let cluster = Cluster::build(&upstream(BalancePolicy::RoundRobin, [(named("api"), 1)]), None);
    let (one, other) = ("10.9.0.1".parse().unwrap(), "10.9.0.2".parse().unwrap());
    cluster.store().publish(0, &[one, other], now);
    let balancer = Balancer::new(&cluster, 1);
    let leaving = balancer.pick(&PickKey::default(), &[], now).unwrap();
    let in_flight = leaving.start();
    let stays = if leaving.host == "api" && leaving.address.to_string() == "10.9.0.1:80" {
        other
    } else {
        one
    };
    cluster.store().publish(0, &[stays], now);
    for _ in 0..10 {
        assert_ne!(balancer.pick(&PickKey::default(), &[], now).unwrap().id, leaving.id);
    }
    drop(in_flight);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever happens to the set, a pick is of the set as it is, and there is one unless it is
    /// empty.
    #[test]
    fn a_pick_is_always_of_the_set(
        policy in 0..6usize,
        seed: u64,
        sets in prop::collection::vec(prop::collection::btree_set(0..40u8, 0..12), 1..6),
        weights in prop::collection::vec(1..20u16, 2),
        tried in prop::collection::vec(0..40u8, 0..4),
    ) {
        let start = Instant::now();
        let targets = [(named("api"), weights[0]), (named("web"), weights[1])];
        let mut config = upstream(policies()[policy].clone(), targets);
        config.load_balancer.slow_start = Some(Duration::from_secs(3));
        let cluster = Cluster::build(&config, None);
        let balancer = Balancer::new(&cluster, seed);
        for (round, set) in sets.iter().enumerate() {
            let now = start + Duration::from_secs(round as u64);
            let addresses: Vec<_> = set.iter().map(|n| [10, 9, 0, *n].into()).collect();
            cluster.store().publish(round % 2, &addresses, now);
            let set = cluster.endpoints();
            let tried: Vec<_> = set.endpoints.iter().filter(|endpoint| {
                tried.iter().any(|n| endpoint.address.to_string() == format!("10.9.0.{n}:80"))
            }).map(|endpoint| endpoint.id).collect();
            let mut held = Vec::new();
            for n in 0..20 {
                match balancer.pick(&key(seed ^ n), &tried, now) {
                    Some(picked) => {
                        prop_assert!(set.endpoints.iter().any(|one| Arc::ptr_eq(one, picked.endpoint())));
                        prop_assert!(!tried.contains(&picked.id) || tried.len() == set.endpoints.len());
                        held.push(picked.start());
                    }
                    None => prop_assert!(set.endpoints.is_empty()),
                }
            }
        }
    }
}
