//! A decision costs no allocation once its buffers are warm, with one route or ten thousand; nor
//! does learning who the client is.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::location::{Location, Sourced};
use portcullis_config::model::*;
use portcullis_config::networks::Networks;
use portcullis_config::values::{HeaderName, HostPattern, PathPattern, Share};
use portcullis_proxy::decide::{DecisionScratch, Facts, Site, Step, decide};
use portcullis_proxy::http1::{RequestRules, parse_request};
use portcullis_proxy::message::{Field, Known, RequestHead, RequestParts, Span};
use portcullis_proxy::policy::forwarded::Forwarded;
use portcullis_proxy::policy::provenance::{Peer, Provenance};
use portcullis_proxy::policy::request_id::RequestId;
use portcullis_proxy::route::{Table, compile};
use portcullis_testkit::allocations::{self, Counting};

#[test]
fn decisions_do_not_allocate() {
    let requests = [
        ("host-7.example", "/segment-7/a/b"),
        ("HOST-7.example:80", "//segment-7/%61/../b"),
        ("x.y.wild.example", "/segment-3/x"),
        ("other", "/nowhere"),
    ];
    for count in [1, 10, 10_000] {
        let table = Table::build(&compile(&config(count), &[]).expect("routes are valid"));
        let site = Site::bare(&table);
        let mut scratch = DecisionScratch::default();
        for round in 0..3 {
            for (host, path) in requests {
                let (bytes, parts) = head(host, path);
                let head = RequestHead { bytes: &bytes, parts: &parts };
                let facts = Facts { local_port: Some(80), random: 7, ..Facts::of(head) };
                let before = allocations::here();
                let step = decide(&site, &facts, &mut scratch);
                let after = allocations::here();
                if count > 10 && path != "/nowhere" {
                    assert!(matches!(step, Step::Plan(_)), "{host}{path}: {step:?}");
                }
                // The first round sizes the buffers.
                assert!(round == 0 || before == after, "{count} routes, {host}{path}");
            }
        }
    }
}

#[test]
fn learning_who_the_client_is_does_not_allocate() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let text = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 203.0.113.5, 10.1.1.1\r\n\
         x-forwarded-for: 10.2.2.2\r\nx-forwarded-proto: https\r\nx-request-id: given\r\n\
         traceparent: {parent}\r\ntracestate: a=1\r\n\r\n"
    );
    let rules = RequestRules {
        head_bytes: 4096,
        uri_bytes: 1024,
        headers: 50,
        underscores: Underscores::Reject,
    };
    let mut parts = RequestParts::default();
    parse_request(text.as_bytes(), &rules, &mut parts).expect("it is in order");
    let head = RequestHead { bytes: text.as_bytes(), parts: &parts };
    let network = "10.0.0.0/8".parse().expect("a network");
    let peer = Peer { address: Some([10, 0, 0, 9].into()), tls: false };
    for trust in [Trust::None, Trust::Proxies(Networks::new(vec![network]))] {
        let before = allocations::here();
        let provenance = Provenance::judge(&head, &trust, peer, || (1, 2));
        let id = provenance.request_id(&head).unwrap_or(RequestId::from_random(7));
        let told = Forwarded::new(&provenance, &head, b"10.0.0.9", &id);
        let lines = told.lines().len();
        let after = allocations::here();
        assert_eq!(before, after, "{trust:?}");
        assert_eq!(provenance.forwarded_for.is_some(), trust != Trust::None);
        assert_eq!(lines, 4);
    }
}

fn head(host: &str, path: &str) -> (Vec<u8>, RequestParts) {
    let mut bytes = Vec::new();
    let mut put = |text: &str| {
        let start = u32::try_from(bytes.len()).expect("short");
        bytes.extend_from_slice(text.as_bytes());
        Span { start, end: u32::try_from(bytes.len()).expect("short") }
    };
    let mut parts = RequestParts {
        method: put("GET"),
        path: put(path),
        query: Some(put("q=%31&r=2")),
        authority: put(host),
        ..RequestParts::default()
    };
    for (name, value, known) in [
        ("x-a", "1", Known::Other),
        ("x-a", "2", Known::Other),
        ("cookie", "a=b; c=d", Known::Cookie),
    ] {
        parts.fields.push(Field { name: put(name), value: put(value), known });
    }
    (bytes, parts)
}

fn location() -> Location {
    Location { file: Arc::from(Path::new("a.yaml")), line: 1, column: 1, start: 0, end: 0 }
}

fn config(count: usize) -> Config {
    let routes = (0..count).map(|index| {
        let host = match index % 3 {
            0 => HostPattern::Suffix("wild.example".to_owned()),
            _ => HostPattern::Exact(format!("host-{index}.example")),
        };
        let tested = |name: &str, value: &str| ValueMatch {
            name: name.to_owned(),
            test: ValueTest::Exact(value.to_owned()),
        };
        Route {
            name: format!("route-{index}"),
            location: location(),
            listeners: vec![ListenerId(0)],
            matcher: Match {
                hosts: vec![host],
                path: PathPattern::Prefix(format!("/segment-{index}")),
                methods: Vec::new(),
                headers: vec![ValueMatch {
                    name: HeaderName::parse("x-a").expect("valid"),
                    test: ValueTest::Exact("1, 2".to_owned()),
                }],
                query: vec![tested("q", "1")],
                cookies: vec![tested("c", "d")],
            },
            action: Action::Forward(Box::new(forward())),
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            allow_encoded_slash: false,
            body_limit: None,
            policies: Default::default(),
        }
    });
    Config {
        workers: Workers::Auto,
        listeners: Vec::new(),
        upstreams: vec![upstream()],
        routes: routes.collect(),
        stream_routes: Vec::new(),
        limits: Limits { memory: Sourced::built_in(MemoryLimit::Disabled) },
        access_log: AccessLog {
            sink: AccessLogSink::Disabled,
            timeline: false,
            sample: Share::ALL,
            headers: Vec::new(),
        },
        admin: None,
        shutdown: Shutdown { drain_timeout: second() },
    }
}

fn forward() -> Forward {
    Forward {
        backends: vec![Backend { upstream: UpstreamId(0), weight: 1, location: location() }],
        sticky: Some(StickyCookie { cookie: "pin".to_owned(), max_age: None }),
        rewrite: Some(Rewrite::Prefix("/inside".to_owned())),
        host: HostHandling::Preserve,
        timeouts: RouteTimeouts { response: second(), per_try: second(), idle: second() },
        retry: Retry { retries: Sourced::built_in(1) },
        grpc_web: None,
        websocket: Default::default(),
    }
}

fn upstream() -> Upstream {
    Upstream {
        name: "upstream".to_owned(),
        location: location(),
        endpoints: Vec::new(),
        load_balancer: LoadBalancer {
            policy: Sourced::built_in(BalancePolicy::Random),
            slow_start: None,
        },
        tls: None,
        protocol: Default::default(),
        concurrency: Concurrency {
            max_connections: Sourced::built_in(NonZeroU32::MIN),
            max_pending: Sourced::built_in(1),
        },
        keep_alive: KeepAlive { max_idle: Sourced::built_in(1), idle_timeout: second() },
        connect_timeout: second(),
        proxy_protocol: None,
    }
}

fn second() -> Sourced<Duration> {
    Sourced::built_in(Duration::from_secs(1))
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
