//! A request's metrics and its access log line cost no allocation once a worker is warm.
//!
//! A binary of its own, because it replaces the allocator.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_config::location::{FileRef, Location};
use portcullis_config::model::{AccessLog as LogConfig, AccessLogSink};
use portcullis_config::values::{HeaderName, Share};
use portcullis_proxy::error::Reason;
use portcullis_proxy::message::{Field, FieldList, Fields, Known, Span, Version};
use portcullis_proxy::observe::{
    AccessLog, Answerer, Clock, LogFormat, Metrics, OpenSink, Record, RequestOutcome, Stage,
    Timeline, TlsRecord, WorkerId,
};
use portcullis_testkit::allocations::{self, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = allocations::here();
    work();
    allocations::here() - before
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn counting_a_request_allocates_nothing() {
    let registry = prometheus::Registry::new();
    let metrics = Metrics::new(2, &registry).unwrap();
    let route = metrics.route("catalogue");
    let upstream = metrics.upstream("products");
    let endpoint = metrics.endpoint("products", "127.0.0.1:7002");
    let listener = metrics.listener("public");
    let worker = WorkerId(1);
    let request = |millis: u64| {
        let shard = listener.of(worker);
        shard.requests.increment();
        let _open = shard.active.hold();
        let shard = upstream.of(worker);
        let _active = shard.active.hold();
        shard.retries.increment();
        endpoint.of(worker).requests.increment();
        let outcome = RequestOutcome {
            status: 200,
            reason: millis.is_multiple_of(2).then_some(Reason::UpstreamTruncated),
            duration: Some(Duration::from_millis(millis)),
            request_body_bytes: 1,
            response_body_bytes: 2,
        };
        route.record(worker, &outcome);
    };
    // The first request makes the worker's shards.
    request(0);
    assert_eq!(allocations_of(|| (0..10_000).for_each(request)), 0);
}

#[test]
fn a_line_allocates_nothing() {
    let registry = prometheus::Registry::new();
    let metrics = Metrics::new(1, &registry).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = LogConfig {
        sink: AccessLogSink::File(FileRef {
            path: directory.path().join("access.log"),
            location: Location {
                file: Path::new("a.yaml").into(),
                line: 1,
                column: 1,
                start: 0,
                end: 0,
            },
        }),
        timeline: true,
        sample: Share::from_millionths(900_000).unwrap(),
        headers: vec![HeaderName::parse("user-agent").unwrap()],
    };
    let log =
        AccessLog::start(OpenSink::open(&config.sink).unwrap(), metrics.access_log()).unwrap();
    let format = LogFormat::new(&config);
    let worker = log.worker(WorkerId(0), 7);
    let clock = Clock::system();

    let bytes = b"user-agentcurl/8.11 \"quoted\" \xff\xc3\xa9";
    let length = u32::try_from(bytes.len()).unwrap();
    let name = Span { start: 0, end: 10 };
    let mut fields = FieldList::default();
    fields.push(Field { name, value: Span { start: 10, end: length }, known: Known::Other });
    let headers = Some(Fields { bytes, fields: &fields });
    let forwarded: IpAddr = "2001:db8::1".parse().unwrap();
    let line = |at: u64| {
        // Spread over seconds, so that the clock makes new texts too.
        let started = clock.now() + Duration::from_millis(at * 100);
        let mut timeline = Timeline::of_connection(started);
        Stage::ALL.into_iter().for_each(|stage| timeline.mark(stage, started));
        let record = Record {
            request_id: b"0193-7e1f",
            trace_id: Some(b"0af7651916cd43dd8448eb211c80319c"),
            generation: at,
            listener: "public",
            forwarded_for: at.is_multiple_of(3).then_some(forwarded),
            peer: ["192.0.2.7:50123", "[2001:db8::1]:50123"][usize::try_from(at % 2).unwrap()],
            tls: Some(TlsRecord { version: "TLSv1.3", sni: Some("shop.example.com") }),
            connection_request: at,
            method: b"GET",
            host: b"shop.example.com",
            path: b"/products//7",
            normalized_path: Some(b"/products/7"),
            query: Some(b"page=2&token=x"),
            upgrade: false,
            version: Version::Http11,
            route: Some("catalogue"),
            upstream: Some("products"),
            endpoint: Some("127.0.0.1:7002"),
            attempts: 1,
            status: 200,
            answered_by: Some(Answerer::Origin),
            reason: Some(Reason::UpstreamTruncated),
            detail: Some("the endpoint reset the connection"),
            grpc_status: Some(0),
            request_body_bytes: at,
            response_body_bytes: at,
            timeline: &timeline,
            duration: Duration::from_micros(at),
            headers,
        };
        worker.record(&format, &clock, &record);
    };
    // A batch is some seventy lines. The writer is waited for between them, as an unloaded one
    // would have taken each batch before the next: what is measured is the worker's cost.
    let patience = Instant::now() + Duration::from_secs(60);
    let mut seen = 0;
    for round in 0..200 {
        let allocations = allocations_of(|| (0..70).for_each(|at| line(round * 70 + at)));
        log.sync(patience).unwrap();
        if round >= 4 {
            seen += allocations;
        }
    }
    assert_eq!(seen, 0);
    worker.flush();
    log.finish(patience).unwrap();
    assert_eq!(metrics.access_log().dropped(), (0, 0));
    let written = std::fs::read(directory.path().join("access.log")).unwrap();
    assert_eq!(written.split(|byte| *byte == b'\n').count(), 14_001);
}
