//! Routes from the first bytes, a request from the rest: the table takes the route that the
//! written precedence gives, `explain` agrees, and a decision made twice is the same.
#![no_main]

use std::cmp::Reverse;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use portcullis_config::model::{Config, ListenerId, Match, Route as Written};
use portcullis_config::parse_str;
use portcullis_config::values::{HostPattern, MethodName, PathPattern};
use portcullis_proxy::decide::{DecisionScratch, Facts, Site, Step, decide};
use portcullis_proxy::message::{Field, Known, RequestHead, RequestParts, Span};
use portcullis_proxy::route::matcher::{HostTest, PathTest};
use portcullis_proxy::route::table::RouteVerdict;
use portcullis_proxy::route::{Normalised, Route, RouteId, Table, compile};
use portcullis_proxy::target::host;
use portcullis_proxy::target::path::{self, EncodedSlash};

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    let Some(config) = routes(&mut bytes) else { return };
    // Some rewrites want a prefix to replace.
    let Ok(routes) = compile(&config, &[]) else { return };
    let table = Table::for_listener(&routes, ListenerId(0));
    let (head, parts) = request(&mut bytes);
    let head = RequestHead { bytes: &head, parts: &parts };

    let (mut path_scratch, mut host_scratch) = (Vec::new(), Vec::new());
    let path = path::normalise(head.path(), &mut path_scratch, EncodedSlash::Keep);
    let authority = host::normalise(head.authority(), &mut host_scratch);
    let taken = match (path, authority) {
        (Ok(path), Ok(authority)) => {
            let (method, query, fields) = (head.method(), head.query(), head.fields());
            let seen = Normalised { host: authority.host, path, method, query, fields };
            check_table(&config, &routes, &table, &seen)
        }
        _ => None,
    };
    check_decisions(&table, head, taken);
});

fn check_table(
    config: &Config,
    routes: &[Arc<Route>],
    table: &Table,
    seen: &Normalised<'_>,
) -> Option<RouteId> {
    let found = table.find(seen).map(|route| route.id);
    assert_eq!(found, table.find(seen).map(|route| route.id));
    assert_eq!(found, by_precedence(config, routes, seen), "not what precedence says");
    let told = table.explain(seen);
    let taken = told.iter().filter(|(_, verdict)| matches!(verdict, RouteVerdict::Taken));
    assert_eq!(taken.map(|(route, _)| route.id).collect::<Vec<_>>(), Vec::from_iter(found));
    found
}

/// Twice with buffers that are not clean, once with clean ones.
fn check_decisions(table: &Table, head: RequestHead<'_>, taken: Option<RouteId>) {
    let facts = Facts { local_port: Some(8080), random: 7, ..Facts::of(head) };
    let mut used = DecisionScratch::default();
    let first = made(table, &facts, &mut used);
    assert_eq!(first, made(table, &facts, &mut used));
    assert_eq!(first, made(table, &facts, &mut DecisionScratch::default()));
    assert!(first.route.is_none() || first.route == taken, "another route than the table's");
    let refused = first.status >= 400 && first.bytes.is_empty();
    assert!(refused || first.route.is_some());
    assert!(first.bytes.iter().all(u8::is_ascii_graphic), "{:?}", first.bytes.escape_ascii());
}

#[derive(Debug, PartialEq, Eq)]
struct Made {
    route: Option<RouteId>,
    status: u16,
    /// The path that goes on, or the location of a redirect.
    bytes: Vec<u8>,
}

fn made(table: &Table, facts: &Facts<'_>, scratch: &mut DecisionScratch) -> Made {
    let site = Site::bare(table);
    match decide(&site, facts, scratch) {
        Step::Reject(it) => {
            let route = it.route.map(|route| route.id);
            Made { route, status: it.cause.reason.status(), bytes: Vec::new() }
        }
        Step::Respond(it) => {
            let (route, status, redirect) =
                (it.route.map(|route| route.id), it.status, it.has_location);
            let bytes = if redirect { scratch.location().to_vec() } else { Vec::new() };
            Made { route, status, bytes }
        }
        Step::Ask(_) => unreachable!("no route has a policy that asks"),
        Step::Plan(plan) => {
            let sent = plan.path(&facts.head, scratch);
            let mut again = Vec::new();
            let normal = path::normalise(sent, &mut again, EncodedSlash::Keep);
            assert_eq!(normal, Ok(sent), "a path went on that is not in its normal form");
            Made { route: Some(plan.route.id), status: 0, bytes: sent.to_vec() }
        }
    }
}

/// The written precedence, one route after the other.
fn by_precedence(config: &Config, routes: &[Arc<Route>], seen: &Normalised<'_>) -> Option<RouteId> {
    let holds = routes.iter().filter(|route| route.matcher.verdict(seen).is_ok());
    let rank = |route: &&Arc<Route>| {
        let host = route.matcher.hosts.iter().filter(|it| it.matches(seen.host));
        let host = host.map(|it| match it {
            HostTest::Exact(_) => (2, 0),
            HostTest::Suffix(suffix) => (1, suffix.len()),
        });
        let path = match &route.matcher.path {
            PathTest::Exact(_) => (2, 0),
            PathTest::Regex(_) => (1, 0),
            PathTest::Prefix(prefix) => (0, prefix.len()),
        };
        let Match { methods, headers, query, cookies, .. } = &config.routes[route.id.0].matcher;
        let conditions = (!methods.is_empty(), headers.len(), query.len(), cookies.len());
        (host.max().unwrap_or((0, 0)), path, conditions, Reverse(route.id))
    };
    holds.max_by_key(rank).map(|route| route.id)
}

/// What a route may do, and what it may ask for beyond host, path and method.
const PARTS: &str = r#"
version: v1
listeners: [{name: public, address: "127.0.0.1:8080"}]
upstreams: [{name: a, endpoints: [{address: "127.0.0.1:1"}]}, {name: b, endpoints: [{address: "127.0.0.1:2"}]}]
routes:
  - {name: forward, match: {path: {prefix: /0}}, backends: [{upstream: a}]}
  - {name: canary, match: {path: {prefix: /1}, headers: [{name: h, exact: "1"}]}, backends: [{upstream: a, weight: 1}, {upstream: b, weight: 9}], sticky: {cookie: pin}}
  - {name: prefix, match: {path: {prefix: /2}, headers: [{name: h, present: false}]}, rewrite: {prefix: /v1/x}, backends: [{upstream: a}]}
  - {name: bare, match: {path: {prefix: /3}, query: [{name: q, exact: "1"}]}, rewrite: {prefix: /}, backends: [{upstream: a}]}
  - {name: path, match: {path: {prefix: /4}, cookies: [{name: c, present: true}]}, rewrite: {path: /fixed}, backends: [{upstream: a}]}
  - {name: regex, match: {path: {prefix: /5}, headers: [{name: h, prefix: x}, {name: i, present: false}]}, rewrite: {regex: "/([xy]+)", replacement: "/$1/$1"}, backends: [{upstream: a}]}
  - {name: dots, match: {path: {prefix: /6}}, rewrite: {regex: "x", replacement: "."}, backends: [{upstream: a}]}
  - {name: slash, match: {path: {prefix: /7}}, allowEncodedSlash: true, backends: [{upstream: a}]}
  - {name: moved, match: {path: {prefix: /8}, query: [{name: q, regex: "[0-9]+"}]}, redirect: {scheme: https}}
  - {name: away, match: {path: {prefix: /9}}, redirect: {host: other.example, prefix: /z, status: 308}}
  - {name: reply, match: {path: {prefix: /10}}, reply: {status: 200, body: ok}}
"#;

static BASE: LazyLock<Config> = LazyLock::new(|| match parse_str("parts.yaml", PARTS) {
    Ok(loaded) => loaded.config,
    Err(failed) => panic!("{}", failed.report.render(&failed.sources, false)),
});

/// Bytes that choose; when they are used up, the first of everything.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn next(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first)
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.next() % from.len()]
    }

    /// What stands before the next line feed.
    fn line(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\n").unwrap_or(rest);
        line
    }
}

fn routes(bytes: &mut Bytes<'_>) -> Option<Config> {
    let count = bytes.next() % 12;
    let mut config = BASE.clone();
    config.routes = (0..count).map(|_| route(bytes)).collect::<Option<_>>()?;
    Some(config)
}

const SEGMENTS: [&str; 6] = ["x", "y", "xx", ".x", "caf\u{e9}", "x%2Fy"];

fn route(bytes: &mut Bytes<'_>) -> Option<Written> {
    let mut route = bytes.pick(&BASE.routes).clone();
    let conditions = bytes.pick(&BASE.routes).matcher.clone();
    let exact = |host: &str| HostPattern::Exact(host.to_owned());
    let under = |host: &str| HostPattern::Suffix(host.to_owned());
    let hosts = [
        vec![],
        vec![exact("a.b.c")],
        vec![exact("b.c")],
        vec![under("b.c")],
        vec![under("c")],
        vec![under("c"), exact("a.b.c")],
        vec![under("b.c"), under("c"), exact("d")],
        vec![exact("[::1]")],
    ];
    let mut path = String::new();
    for _ in 0..bytes.next() % 4 {
        path.push('/');
        path.push_str(SEGMENTS[bytes.next() % SEGMENTS.len()]);
    }
    let path = match bytes.next() % 3 {
        0 => PathPattern::Prefix(path),
        1 if path.is_empty() => PathPattern::Exact("/".to_owned()),
        1 => PathPattern::Exact(path),
        _ => PathPattern::Regex(format!(r"\A(?:{path}.*)\z").parse().ok()?),
    };
    let methods: &[&[&str]] = &[&[], &["GET"], &["PUT", "POST"]];
    let methods = bytes.pick(methods).iter().map(|name| MethodName::parse(name).ok());
    route.matcher = Match {
        hosts: bytes.pick(&hosts).clone(),
        path,
        methods: methods.collect::<Option<_>>()?,
        ..conditions
    };
    Some(route)
}

/// Lines of the input as they are: path, host, query, and the values of three fields.
fn request(bytes: &mut Bytes<'_>) -> (Vec<u8>, RequestParts) {
    let method = ["GET", "PUT", "OPTIONS", "CONNECT"][bytes.next() % 4];
    let given = bytes.next();
    let mut head = Vec::new();
    let mut put = |text: &[u8]| {
        let start = head.len() as u32;
        head.extend_from_slice(text);
        Span { start, end: head.len() as u32 }
    };
    let mut parts = RequestParts { method: put(method.as_bytes()), ..RequestParts::default() };
    parts.path = put(bytes.line());
    parts.authority = put(bytes.line());
    let query = bytes.line();
    parts.query = (given & 1 != 0).then(|| put(query));
    for (bit, name, known) in
        [(2, "h", Known::Other), (4, "cookie", Known::Cookie), (8, "I", Known::Other)]
    {
        let value = bytes.line();
        if given & bit != 0 {
            let (name, value) = (put(name.as_bytes()), put(value));
            parts.fields.push(Field { name, value, known });
        }
    }
    (head, parts)
}
