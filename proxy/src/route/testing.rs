//! Routes and requests in a line each, for the tests of routing, policies and decisions.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::location::{Location, Sourced};
use portcullis_config::model::*;
use portcullis_config::values::{HeaderName, HostPattern, MethodName, PathPattern, Share, Status};

use super::{Route, RouteError, Table, compile};

pub(crate) fn location(line: u32) -> Location {
    Location { file: Arc::from(Path::new("gate.yaml")), line, column: 5, start: 0, end: 0 }
}

/// A route whose conditions are written in words: `host:*.a.b path:/x prefix:/y regex:/z.*
/// method:GET header:x-a=1 header:x-a query:q=1 cookie:c=1 slash`. A value test is `name` (present),
/// `!name` (absent), `name=exact`, `name^=prefix` or `name~=regex`.
pub(crate) fn route(index: usize, words: &str) -> model_route::Route {
    let mut matcher = Match {
        hosts: Vec::new(),
        path: PathPattern::Prefix(String::new()),
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        cookies: Vec::new(),
    };
    let mut allow_encoded_slash = false;
    for word in words.split_whitespace() {
        match word.split_once(':').unwrap_or((word, "")) {
            ("host", host) => matcher.hosts.push(match host.strip_prefix("*.") {
                Some(suffix) => HostPattern::Suffix(suffix.to_owned()),
                None => HostPattern::Exact(host.to_owned()),
            }),
            ("path", path) => matcher.path = PathPattern::Exact(path.to_owned()),
            ("prefix", path) => {
                matcher.path = PathPattern::Prefix(path.trim_end_matches('/').to_owned());
            }
            ("regex", path) => matcher.path = PathPattern::Regex(path.parse().unwrap()),
            ("method", name) => matcher.methods.push(MethodName::parse(name).unwrap()),
            ("header", it) => {
                matcher.headers.push(value(it, |name| HeaderName::parse(name).unwrap()));
            }
            ("query", it) => matcher.query.push(value(it, str::to_owned)),
            ("cookie", it) => matcher.cookies.push(value(it, str::to_owned)),
            ("slash", _) => allow_encoded_slash = true,
            _ => panic!("no such word: {word}"),
        }
    }
    model_route::Route {
        name: format!("r{index}"),
        location: location(u32::try_from(index).unwrap() + 1),
        listeners: vec![ListenerId(0)],
        matcher,
        action: forward(&[(0, 1)]),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        allow_encoded_slash,
        body_limit: None,
        policies: Default::default(),
    }
}

/// The route of the configuration, not the live one.
pub(crate) mod model_route {
    pub(crate) use portcullis_config::model::Route;
}

fn value<N>(text: &str, name: impl Fn(&str) -> N) -> ValueMatch<N> {
    let (written, test) = if let Some(written) = text.strip_prefix('!') {
        (written, ValueTest::Absent)
    } else if let Some((written, it)) = text.split_once("^=") {
        (written, ValueTest::Prefix(it.to_owned()))
    } else if let Some((written, it)) = text.split_once("~=") {
        (written, ValueTest::Regex(it.parse().unwrap()))
    } else if let Some((written, it)) = text.split_once('=') {
        (written, ValueTest::Exact(it.to_owned()))
    } else {
        (text, ValueTest::Present)
    };
    ValueMatch { name: name(written), test }
}

/// Forwards to upstreams by index and weight.
pub(crate) fn forward(backends: &[(usize, u32)]) -> Action {
    let backend = |(upstream, weight): &(usize, u32)| Backend {
        upstream: UpstreamId(*upstream),
        weight: *weight,
        location: location(90),
    };
    let seconds = |seconds| Sourced::built_in(Duration::from_secs(seconds));
    Action::Forward(Box::new(Forward {
        backends: backends.iter().map(backend).collect(),
        sticky: None,
        rewrite: None,
        host: HostHandling::Preserve,
        timeouts: RouteTimeouts { response: seconds(15), per_try: seconds(5), idle: seconds(60) },
        retry: Retry { retries: Sourced::built_in(1) },
        grpc_web: None,
        websocket: Default::default(),
    }))
}

/// A redirect that changes nothing yet.
pub(crate) fn bare_redirect() -> Redirect {
    Redirect {
        scheme: None,
        host: None,
        port: None,
        path: None,
        status: Status::parse(302).unwrap(),
    }
}

/// A configuration of these routes, with upstreams `u0`, `u1` and `u2` and a listener on 8080.
pub(crate) fn config(routes: Vec<model_route::Route>) -> Config {
    let some = |value| std::num::NonZeroU32::new(value).unwrap();
    let seconds = |seconds| Sourced::built_in(Duration::from_secs(seconds));
    let upstream = |name: &str| Upstream {
        name: name.to_owned(),
        location: location(50),
        endpoints: Vec::new(),
        load_balancer: LoadBalancer {
            policy: Sourced::built_in(BalancePolicy::RoundRobin),
            slow_start: None,
        },
        tls: None,
        protocol: Default::default(),
        concurrency: Concurrency {
            max_connections: Sourced::built_in(some(1)),
            max_pending: Sourced::built_in(1),
        },
        keep_alive: KeepAlive { max_idle: Sourced::built_in(1), idle_timeout: seconds(1) },
        connect_timeout: seconds(1),
        proxy_protocol: None,
    };
    let http = HttpListener {
        tls: None,
        protocols: Default::default(),
        request_limits: RequestLimits {
            header_bytes: Sourced::built_in(8192),
            headers: Sourced::built_in(50),
            uri: Sourced::built_in(1024),
            body: Sourced::built_in(1_000_000),
        },
        connection_limits: ConnectionLimits { max: Sourced::built_in(some(1)), max_age: None },
        timeouts: ListenerTimeouts {
            head: seconds(1),
            idle: seconds(1),
            body: seconds(1),
            handshake: seconds(1),
        },
        header_underscores: Underscores::Reject,
        trust: Trust::None,
        proxy_protocol: portcullis_config::model::ProxyProtocol::Disabled,
        upgrades: Default::default(),
    };
    Config {
        workers: Workers::Auto,
        listeners: vec![Listener {
            name: "public".to_owned(),
            location: location(40),
            address: ListenAddress::Tcp { address: ([0, 0, 0, 0], 8080).into(), v6only: false },
            kind: ListenerKind::Http(Box::new(http)),
            policies: Default::default(),
        }],
        upstreams: ["u0", "u1", "u2"].map(upstream).into(),
        routes,
        stream_routes: Vec::new(),
        limits: Limits { memory: Sourced::built_in(MemoryLimit::Disabled) },
        access_log: AccessLog {
            sink: AccessLogSink::Disabled,
            timeline: false,
            sample: Share::ALL,
            headers: Vec::new(),
        },
        admin: None,
        shutdown: Shutdown { drain_timeout: seconds(1) },
    }
}

pub(crate) fn live(routes: Vec<model_route::Route>) -> Result<Vec<Arc<Route>>, Vec<RouteError>> {
    compile(&config(routes), &[])
}

/// The table of routes in words.
pub(crate) fn table(routes: &[&str]) -> Table {
    let routes = routes.iter().enumerate().map(|(index, words)| route(index, words)).collect();
    Table::build(&live(routes).unwrap())
}

/// A request in words: `GET a.example/path?query x-a=1 cookie=c=1`.
pub(crate) fn request(words: &str) -> crate::http1::hypothetical::HypotheticalHead {
    let mut words = words.split_whitespace();
    let (method, url) = (words.next().unwrap(), words.next().unwrap());
    let (authority, target) = url.split_at(url.find('/').unwrap_or(url.len()));
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let pair = |word: &str| {
        let (name, value) = word.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    let headers: Vec<_> = words.map(pair).collect();
    crate::http1::hypothetical::HypotheticalHead::try_new(method, authority, path, query, &headers)
        .unwrap()
}
