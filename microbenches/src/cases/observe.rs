//! What is left of a request: its counts and its line.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_config::model::{AccessLog as LogConfig, AccessLogSink};
use portcullis_config::values::HeaderName;
use portcullis_proxy::message::Version;
use portcullis_proxy::observe::{
    AccessLog, Answerer, Clock, LogFormat, Metrics, OpenSink, Record, RequestOutcome, Stage,
    Timeline, WorkerId,
};

use super::repeat;
use crate::case::Work;
use crate::fixture;

const WORKER: WorkerId = WorkerId(0);

/// Everything that is counted of a request: listener, upstream, endpoint, route and histogram.
pub(super) fn count_request() -> Work {
    let metrics = metrics();
    let listener = metrics.listener("public");
    let upstream = metrics.upstream("products");
    let endpoint = metrics.endpoint("products", "192.0.2.1:80");
    let route = metrics.route("products");
    let outcome = RequestOutcome {
        status: 200,
        reason: None,
        duration: Some(Duration::from_micros(1_234)),
        request_body_bytes: 0,
        response_body_bytes: 128,
    };
    repeat(move || {
        listener.of(WORKER).requests.increment();
        let checked_out = upstream.of(WORKER).active.hold();
        let attempted = endpoint.of(WORKER);
        attempted.requests.increment();
        let in_flight = attempted.in_flight.hold();
        route.record(WORKER, black_box(&outcome));
        drop((black_box(checked_out), black_box(in_flight)));
    })
}

/// With timeline and one header; the batch is handed over each eighty lines or so.
pub(super) fn write_line() -> Work {
    let config = LogConfig {
        sink: AccessLogSink::Stdout,
        timeline: true,
        headers: vec![HeaderName::parse("user-agent").expect("a name")],
        ..fixture::config("policy: random", 1).access_log
    };
    let metrics = metrics();
    let sink = OpenSink::open(&AccessLogSink::Disabled).expect("nothing is opened");
    let log = AccessLog::start(sink, metrics.access_log()).expect("a thread can be started");
    let worker = log.worker(WORKER, 7);
    let format = LogFormat::new(&config);
    let clock = Clock::system();
    let started = Instant::now();
    let mut timeline = Timeline::of_request(started);
    Stage::ALL.into_iter().for_each(|stage| timeline.mark(stage, started));
    let parts = fixture::request_parts();
    repeat(move || {
        let head = fixture::request_head(&parts);
        let record = Record {
            request_id: b"01936f2e7c0a4b51a6d2f0c4b8e97d13",
            trace_id: None,
            generation: 1,
            listener: "public",
            forwarded_for: None,
            peer: "192.0.2.7:50123",
            tls: None,
            connection_request: 2,
            method: head.method(),
            host: head.authority(),
            path: head.path(),
            normalized_path: None,
            query: head.query(),
            upgrade: false,
            version: Version::Http11,
            route: Some("products"),
            upstream: Some("products"),
            endpoint: Some("192.0.2.1:80"),
            attempts: 1,
            status: 200,
            answered_by: Some(Answerer::Origin),
            reason: None,
            detail: None,
            grpc_status: None,
            request_body_bytes: 0,
            response_body_bytes: 128,
            timeline: &timeline,
            duration: Duration::from_micros(1_234),
            headers: Some(head.fields()),
        };
        worker.record(&format, &clock, black_box(&record));
    })
}

fn metrics() -> Arc<Metrics> {
    Metrics::new(1, &prometheus::Registry::new()).expect("the registry is empty")
}
