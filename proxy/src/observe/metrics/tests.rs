use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::error::Reason;
use crate::observe::exposition;
use crate::observe::failure::Failure;
use crate::observe::family::Family;
use crate::observe::series::{ConnectFailure, RequestOutcome};

fn started(workers: usize) -> (Arc<Metrics>, Registry) {
    let registry = Registry::new();
    let metrics = Metrics::new(workers, &registry).unwrap();
    (metrics, registry)
}

fn passed(status: u16, millis: u64) -> RequestOutcome {
    RequestOutcome {
        status,
        reason: None,
        duration: Some(Duration::from_millis(millis)),
        request_body_bytes: 10,
        response_body_bytes: 1_000,
    }
}

/// The value of the one line that starts with `series` and a space.
fn value(text: &str, series: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let found = lines.next().map(|value| value.parse().unwrap());
    assert!(lines.next().is_none(), "{series} stands twice");
    found
}

fn check(registry: &Registry, series: &str, expected: Option<f64>) {
    let text = exposition(registry).unwrap();
    assert_eq!(value(&text, series), expected, "{series} in\n{text}");
}

#[test]
fn the_whole_exposition() {
    let (metrics, registry) = started(2);
    let route = metrics.route("place-order");
    route.record(WorkerId(0), &passed(200, 3));
    route.record(WorkerId(1), &passed(201, 40));
    route.record(
        WorkerId(1),
        &RequestOutcome { reason: Some(Reason::UpstreamTimeout), ..passed(504, 15_000) },
    );
    metrics
        .unrouted()
        .record(WorkerId(0), &RequestOutcome { reason: Some(Reason::NoRoute), ..passed(404, 0) });
    let listener = metrics.listener("public");
    let shard = listener.of(WorkerId(0));
    shard.accepted.add(3);
    shard.active.add(2);
    shard.requests.add(4);
    for failure in [
        Failure::Descriptors,
        Failure::ConnectionLimit,
        Failure::NoCommonVersion,
        Failure::Flood,
        Failure::ProxyHeaderMissing,
    ] {
        listener.failed(WorkerId(0), failure);
    }
    let upstream = metrics.upstream("orders");
    let shard = upstream.of(WorkerId(1));
    shard.opened.add(5);
    shard.closed.add(2);
    shard.active.add(1);
    shard.idle.add(2);
    shard.connect_failed(ConnectFailure::Refused);
    shard.pending.add(7);
    shard.retries.increment();
    let endpoint = metrics.endpoint("orders", "127.0.0.1:7003");
    let shard = endpoint.of(WorkerId(0));
    shard.requests.add(4);
    shard.failures.increment();
    shard.in_flight.add(1);
    metrics.set_generation(3);
    metrics.reloaded(ReloadResult::Success);
    metrics.set_stale_files([Path::new("conf.d/orders.yaml")]);
    metrics.set_certificates([("shop.crt", 1_798_761_599)]);
    metrics.memory().observe(900, Some(1_000));
    metrics.set_draining();
    let text = exposition(&registry).unwrap();

    let named = |kind: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(kind)?.split(' ').next());
        lines.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let all: BTreeSet<_> = Family::ALL.iter().map(|family| family.name().to_owned()).collect();
    assert_eq!(named("# HELP "), all);
    assert_eq!(named("# TYPE "), all);
    insta::assert_snapshot!(text);
}

#[test]
fn counts_of_all_workers_are_summed() {
    let (metrics, registry) = started(3);
    let route = metrics.route("catalogue");
    for worker in 0..3 {
        for _ in 0..=worker {
            route.record(WorkerId(worker), &passed(200, 1));
        }
    }
    check(&registry, r#"portcullis_requests_total{route="catalogue",code="200"}"#, Some(6.0));
    check(&registry, r#"portcullis_request_duration_seconds_count{route="catalogue"}"#, Some(6.0));
    check(
        &registry,
        r#"portcullis_request_duration_seconds_bucket{route="catalogue",le="0.0005"}"#,
        Some(0.0),
    );
    check(
        &registry,
        r#"portcullis_request_duration_seconds_bucket{route="catalogue",le="0.001"}"#,
        Some(6.0),
    );
    check(&registry, r#"portcullis_response_body_bytes_total{route="catalogue"}"#, Some(6_000.0));
}

#[test]
fn series_appear_when_used_and_leave_with_their_route() {
    let (metrics, registry) = started(1);
    let series = r#"portcullis_requests_total{route="old",code="200"}"#;
    let route = metrics.route("old");
    assert!(!exposition(&registry).unwrap().contains(r#"route="old""#));
    route.record(WorkerId(0), &passed(200, 1));
    check(&registry, series, Some(1.0));

    // A reload names it again before the old generation lets go of it.
    let carried = metrics.route("old");
    drop(route);
    carried.record(WorkerId(0), &passed(200, 1));
    check(&registry, series, Some(2.0));

    drop(carried);
    assert!(!exposition(&registry).unwrap().contains(r#"route="old""#));
    metrics.route("old").record(WorkerId(0), &passed(200, 1));
    assert!(!exposition(&registry).unwrap().contains(r#"route="old""#));
}

#[test]
fn endpoints_of_two_upstreams_are_two_series_at_one_address() {
    let (metrics, registry) = started(1);
    // `ab` with `c` and `a` with `bc` would meet if the labels were simply joined.
    let first = metrics.endpoint("ab", "c");
    let second = metrics.endpoint("a", "bc");
    first.of(WorkerId(0)).requests.add(1);
    second.of(WorkerId(0)).requests.add(2);
    check(
        &registry,
        r#"portcullis_endpoint_requests_total{upstream="ab",endpoint="c"}"#,
        Some(1.0),
    );
    check(
        &registry,
        r#"portcullis_endpoint_requests_total{upstream="a",endpoint="bc"}"#,
        Some(2.0),
    );
}

#[test]
fn names_that_need_escaping_stay_one_label() {
    let (metrics, registry) = started(1);
    let listener = metrics.listener("a\"b\\c\nd");
    listener.of(WorkerId(0)).accepted.increment();
    check(&registry, r#"portcullis_listener_connections_total{listener="a\"b\\c\nd"}"#, Some(1.0));
}

#[test]
fn files_and_certificates_are_replaced_as_a_whole() {
    let (metrics, registry) = started(1);
    metrics.set_stale_files([Path::new("a.yaml"), Path::new("b.yaml")]);
    metrics.set_stale_files([Path::new("b.yaml")]);
    check(&registry, r#"portcullis_config_stale{file="a.yaml"}"#, None);
    check(&registry, r#"portcullis_config_stale{file="b.yaml"}"#, Some(1.0));
    metrics.set_certificates([("one", 5), ("two", 6)]);
    metrics.set_certificates([("two", 7)]);
    check(&registry, r#"portcullis_certificate_expiry_timestamp_seconds{certificate="one"}"#, None);
    check(
        &registry,
        r#"portcullis_certificate_expiry_timestamp_seconds{certificate="two"}"#,
        Some(7.0),
    );
}

#[test]
fn a_table_does_not_grow_with_what_came_and_went() {
    let (metrics, _registry) = started(1);
    let kept = metrics.endpoint("upstream", "kept");
    for at in 0..10_000 {
        drop(metrics.endpoint("upstream", &at.to_string()));
    }
    assert!(locked(&metrics.endpoints.0).by_key.len() <= 2 * SMALLEST_SWEEP);
    assert!(Arc::ptr_eq(&kept, &metrics.endpoint("upstream", "kept")));
}

#[test]
fn two_sets_do_not_fit_into_one_registry() {
    let (_metrics, registry) = started(1);
    assert!(Metrics::new(1, &registry).is_err());
}

#[test]
fn the_documented_metrics_are_the_metrics() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/observability.md");
    let document = std::fs::read_to_string(path).unwrap();
    let rows = document.lines().filter(|row| row.starts_with("| `portcullis_"));
    let documented: BTreeSet<_> = rows
        .map(|row| {
            let mut cells = row.split('|').skip(1).map(|cell| cell.trim().trim_matches('`'));
            let mut cell = || cells.next().unwrap_or_default().to_owned();
            (cell(), cell(), cell())
        })
        .collect();
    let actual = Family::ALL.iter().map(|family| {
        let kind = format!("{:?}", family.kind()).to_lowercase();
        (family.name().to_owned(), kind, family.labels().join(", "))
    });
    assert_eq!(documented, actual.collect());

    let bounds = crate::observe::histogram::Distribution::default();
    let bounds: Vec<_> = bounds.cumulative().map(|(bound, _)| bound.to_string()).collect();
    assert!(document.contains(&format!("{}.", bounds.join(", "))));
}
