//! `explain` and the server say the same of every request: hundreds of requests, over plain
//! HTTP/1, TLS and HTTP/2, are sent and explained, and the two verdicts are compared.

use std::collections::BTreeSet;

use portcullis_proxy::error::Reason;
use portcullis_proxy::explain::{ExplainRequest, ExplainedOutcome, Explanation, World, explain};
use portcullis_testkit::ca::{Authority, PemDirectory};
use portcullis_testkit::client::RawClient;
use portcullis_testkit::h2::H2Client;
use portcullis_testkit::h2::frame::{END_HEADERS, END_STREAM, block, headers};
use portcullis_testkit::origin::ScriptedOrigin;
use portcullis_testkit::unverified::taking_any_certificate;
use serde_json::Value;

use crate::harness::{Gate, always};

/// What only happens while a gateway runs, or what no question can ask: no decision gives these.
const AT_RUN_TIME: [Reason; 27] = [
    // The request line and the way it comes.
    Reason::VersionUnsupported,
    Reason::HeadTimeout,
    Reason::BodyTimeout,
    Reason::ClientAborted,
    Reason::ClientSlow,
    // Tunnels.
    Reason::ClientHelloInvalid,
    Reason::TunnelIdle,
    Reason::MaxAge,
    Reason::ClientRevoked,
    Reason::RouteGone,
    // Upstreams.
    Reason::NoEndpoint,
    Reason::UpstreamConnectFailed,
    Reason::UpstreamConnectTimeout,
    Reason::UpstreamTlsFailed,
    Reason::UpstreamOverflow,
    Reason::PoolTimeout,
    Reason::UpstreamReset,
    Reason::UpstreamTruncated,
    Reason::UpstreamProtocol,
    Reason::UpstreamHeadTooLarge,
    Reason::UpgradeRefused,
    Reason::UpstreamTimeout,
    Reason::UpstreamIdle,
    // The process.
    Reason::AuthUnavailable,
    Reason::MemoryLimit,
    Reason::Draining,
    Reason::Internal,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Tls,
    Http2,
}

const WAYS: [Way; 3] = [Way::Plain, Way::Tls, Way::Http2];

/// One request, in the words of a question.
#[derive(Debug, Clone)]
struct Asked {
    method: &'static str,
    host: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    /// In the handshake; default: the host.
    server_name: &'static str,
    /// The ways by which it can be asked.
    ways: &'static [Way],
}

fn asked(method: &'static str, host: &'static str, target: impl Into<String>) -> Asked {
    let (headers, server_name) = (Vec::new(), "");
    Asked { method, host, target: target.into(), headers, server_name, ways: &WAYS }
}

impl Asked {
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn by(mut self, ways: &'static [Way]) -> Self {
        self.ways = ways;
        self
    }

    fn under(mut self, server_name: &'static str) -> Self {
        self.server_name = server_name;
        self
    }

    fn server_name(&self) -> &'static str {
        if self.server_name.is_empty() { "a.test" } else { self.server_name }
    }
}

const HTTP1: &[Way] = &[Way::Plain, Way::Tls];
const HTTP2: &[Way] = &[Way::Http2];

const HOSTS: [&str; 6] = ["a.test", "A.Test", "a.test.", "x.wild.test", "b.test", "nowhere.test"];
const TARGETS: [&str; 26] = [
    "/",
    "/api",
    "/api/",
    "/api/users?id=1",
    "/api//users",
    "/api/./users",
    "/api/../old",
    "/api/%75sers",
    "/API",
    "/apix",
    "/old",
    "/old/x?y=z",
    "/fixed",
    "/fixed/no",
    "/slash/a%2fb",
    "/api/a%2Fb",
    "/api/%00",
    "/api/a%5cb",
    "/../api",
    "/api/%zz",
    "/re/12",
    "/re/x",
    "/only/7",
    "/sub/path",
    "/header",
    "/api/..;/x",
];

fn table() -> Vec<Asked> {
    let mut table = Vec::new();
    for host in HOSTS {
        table.extend(TARGETS.map(|target| asked("GET", host, target)));
    }
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "PROPFIND", "X-OWN"] {
        for target in ["/api", "/only/7", "/fixed", "/old", "/post"] {
            table.push(asked(method, "a.test", target).with("content-length", "0"));
        }
    }
    for (name, value) in [
        ("x-want", "yes"),
        ("x-want", "no"),
        ("X-Want", "yes"),
        ("x_want", "yes"),
        ("cookie", "pin=1"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-empty", ""),
    ] {
        for target in ["/header", "/api", "/old"] {
            table.push(asked("GET", "a.test", target).with(name, value));
        }
    }
    table.extend(heads());
    table.extend(bodies());
    table.extend(calls());
    table.extend(upgrades());
    table.extend(policies());
    table
}

/// What the policies of a route refuse or answer.
fn policies() -> Vec<Asked> {
    let mut policies = Vec::new();
    for (origin, method) in [
        ("https://shop.test", "PUT"),
        ("https://shop.test", "DELETE"),
        ("https://other.test", "PUT"),
        ("null", "GET"),
    ] {
        for target in ["/cors", "/api", "/nowhere"] {
            let preflight = asked("OPTIONS", "a.test", target).with("origin", origin);
            let preflight = preflight.with("access-control-request-method", method);
            policies.push(preflight.clone().with("access-control-request-headers", "x-own"));
            policies.push(preflight);
            policies.push(asked("PUT", "a.test", target).with("origin", origin));
        }
    }
    for target in ["/denied", "/unlisted", "/listed"] {
        policies.push(asked("GET", "a.test", target));
        policies.push(asked("GET", "a.test", target).with("x-forwarded-for", "10.0.0.1"));
    }
    for kind in ["text/plain", "", "application/json5"] {
        // What goes on would have to be sent.
        let post = asked("POST", "a.test", "/json").with("content-length", "9");
        policies.push(post.clone().with("content-type", kind));
        policies.push(post.with("content-type", kind).with("content-type", kind));
    }
    for authorization in
        ["", "Bearer x", "Basic YWRhOndyb25n", "Basic eDp5", "Basic YWRhOnNlY3JldA=="]
    {
        policies.push(asked("GET", "a.test", "/login").with("authorization", authorization));
    }
    policies.push(asked("GET", "a.test", "/login"));
    policies.push(asked("POST", "a.test", "/json").with("content-length", "9"));
    policies.push(asked("POST", "a.test", "/json").with("content-length", "0"));
    policies.push(asked("GET", "a.test", "/json"));
    policies
}

/// Heads that are refused while they are read.
fn heads() -> Vec<Asked> {
    let get = || asked("GET", "a.test", "/api");
    let mut heads = vec![
        asked("CONNECT", "a.test:443", "a.test:443").by(HTTP1),
        asked("GET", "a.test", format!("/{}", "u".repeat(2_000))),
        get().with("x-long", "v".repeat(9_000)),
        get().with("expect", "magic"),
        get().with("content-length", "1x").by(HTTP1),
        get().with("content-length", "1").with("content-length", "1").by(HTTP1),
        get().with("content-length", "1").with("transfer-encoding", "chunked").by(HTTP1),
        get().with("transfer-encoding", "gzip, chunked").by(HTTP1),
        get().with("transfer-encoding", "gzip").by(HTTP1),
        get().with("connection", "a b").by(HTTP1),
        asked("GET", "a..test", "/api"),
        asked("GET", "a.test:99999", "/api"),
        asked("GET", "user@a.test", "/api").by(HTTP1),
        asked("GET", "[::1]", "/api"),
        asked("GET", "[::1", "/api").by(HTTP1),
        asked("GET", "a.test:80", "/api"),
    ];
    for host in ["other.test", "a.test", "third.test"] {
        let under = asked("GET", host, "/api").by(&[Way::Tls]);
        heads.push(under.clone().under("other.test"));
        heads.push(under.under("a.test"));
    }
    let many = (0..60).fold(get(), |get, _| get.with("x-many", "1"));
    heads.push(many);
    heads
}

/// What is announced of a body, held against the limits of listener and route.
fn bodies() -> Vec<Asked> {
    let lengths = ["0", "1", "100", "101", "1000", "1001", "9223372036854775807"];
    let mut bodies = Vec::new();
    for target in ["/api", "/small", "/only/7", "/nowhere", "/fixed"] {
        for length in lengths {
            // Of what is accepted the body would have to be sent: nothing here is.
            let refused = matches!(length, "1001" | "9223372036854775807")
                || (target == "/small" && matches!(length, "101" | "1000"))
                || matches!(target, "/nowhere" | "/fixed");
            if refused || length == "0" {
                bodies.push(asked("POST", "a.test", target).with("content-length", length));
            }
        }
    }
    bodies
}

/// Calls of gRPC and of gRPC-Web, with time and without.
fn calls() -> Vec<Asked> {
    let mut calls = Vec::new();
    for kind in ["application/grpc", "application/grpc+proto", "application/grpc-web-text"] {
        for timeout in ["0n", "0S", "1x"] {
            for target in ["/api/Call", "/web/Call", "/nowhere/Call", "/fixed", "/old"] {
                // A call that goes on waits for an answer that no origin here gives.
                let over = timeout != "1x" && !(target == "/api/Call" && kind.contains("web"));
                if over || !matches!(target, "/api/Call" | "/web/Call") {
                    let call = asked("POST", "a.test", target).with("content-type", kind);
                    calls.push(call.with("grpc-timeout", timeout).with("content-length", "0"));
                }
            }
        }
    }
    calls
}

/// Wishes for a WebSocket that cannot be met.
fn upgrades() -> Vec<Asked> {
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    let wish = |version: &str, key: &str| {
        let wish = asked("GET", "a.test", "/api").by(HTTP1).with("connection", "upgrade");
        let wish = wish.with("upgrade", "websocket");
        wish.with("sec-websocket-version", version).with("sec-websocket-key", key)
    };
    let connect =
        |protocol: &str| asked("CONNECT", "a.test", "/api").by(HTTP2).with(":protocol", protocol);
    let mut upgrades = vec![
        wish("12", KEY),
        wish("13", "short"),
        wish("", KEY),
        wish("13", KEY).with("sec-websocket-key", KEY),
        wish("13", KEY).with("content-length", "5"),
        connect("connect-udp").with("sec-websocket-version", "13"),
        connect("websocket").with("sec-websocket-version", "12"),
        connect("websocket"),
    ];
    let mut posted = wish("13", KEY);
    posted.method = "POST";
    upgrades.push(posted);
    let mut fixed = wish("13", "short");
    fixed.target = "/fixed".to_owned();
    upgrades.push(fixed);
    let mut nowhere = wish("13", KEY);
    nowhere.target = "/nowhere".to_owned();
    upgrades.push(nowhere);
    upgrades
}

fn blocks(origin: &str, certificates: &str) -> String {
    let routes = [
        "{name: api, listeners: [plain, secure], match: {path: {prefix: /api}}, backends: [{upstream: back}]}",
        "{name: wild, match: {hosts: [\"*.wild.test\"], path: {prefix: /api}}, backends: [{upstream: back}], rewrite: {prefix: /v2}}",
        "{name: b, match: {hosts: [b.test]}, reply: {status: 204}}",
        "{name: old, match: {path: {prefix: /old}}, redirect: {scheme: https, host: new.test, status: 301}}",
        "{name: fixed, match: {path: {exact: /fixed}}, reply: {status: 418, body: tea}}",
        "{name: slash, match: {path: {prefix: /slash}}, allowEncodedSlash: true, backends: [{upstream: back}]}",
        "{name: re, match: {path: {regex: \"/re/[0-9]+\"}}, backends: [{upstream: back}], rewrite: {path: /number}}",
        "{name: only, match: {path: {prefix: /only}, methods: [GET, PUT]}, backends: [{upstream: back}]}",
        "{name: header, match: {path: {exact: /header}, headers: [{name: x-want, exact: \"yes\"}]}, backends: [{upstream: back}]}",
        "{name: small, match: {path: {exact: /small}}, requestLimits: {body: 100}, backends: [{upstream: back}]}",
        "{name: web, match: {path: {prefix: /web}}, grpcWeb: true, backends: [{upstream: calls}]}",
        "{name: cors, match: {path: {exact: /cors}, methods: [PUT]}, cors: {allowOrigins: [\"https://shop.test\"], allowMethods: [PUT]}, backends: [{upstream: back}]}",
        "{name: denied, match: {path: {exact: /denied}}, addressRules: {deny: [127.0.0.0/8]}, backends: [{upstream: back}]}",
        "{name: unlisted, match: {path: {exact: /unlisted}}, addressRules: {allow: [10.0.0.0/8]}, backends: [{upstream: back}]}",
        "{name: listed, match: {path: {exact: /listed}}, addressRules: {allow: [127.0.0.1]}, securityHeaders: {}, backends: [{upstream: back}]}",
        "{name: json, match: {path: {exact: /json}}, contentTypes: {allow: [application/json]}, backends: [{upstream: back}]}",
        "{name: login, match: {path: {exact: /login}}, basicAuth: {file: CERTIFICATES/users}, backends: [{upstream: back}]}",
        "{name: elsewhere, listeners: [other], match: {path: {exact: /sub/path}}, reply: {status: 200}}",
    ];
    format!(
        "listeners:\n\
         \x20 - {{name: plain, address: \"127.0.0.1:0\", requestLimits: {{body: 1000, uri: 1024, headerBytes: 8192, headers: 50}}}}\n\
         \x20 - {{name: secure, address: \"127.0.0.1:0\", requestLimits: {{body: 1000, uri: 1024, headerBytes: 8192, headers: 50}}, \
         tls: {{certificates: [{{certFile: {certificates}/a.crt, keyFile: {certificates}/a.key}}, {{certFile: {certificates}/other.crt, keyFile: {certificates}/other.key}}]}}}}\n\
         \x20 - {{name: other, address: \"127.0.0.1:0\"}}\n\
         upstreams:\n  - {{name: back, endpoints: [{{address: \"{origin}\"}}]}}\n\
         \x20 - {{name: calls, protocol: http2, endpoints: [{{address: \"{origin}\"}}]}}\n\
         routes:\n  - {}\n",
        routes.join("\n  - ").replace("CERTIFICATES", certificates)
    )
}

/// What the server made of a request, or what `explain` says that it will.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    route: Option<String>,
    /// The status and the reason of an answer that the proxy gives; `None` of a forward.
    answer: Option<(u64, String)>,
    detail: Option<String>,
    grpc_status: Option<u64>,
    upstream: Option<String>,
}

fn recorded(record: &Value) -> Made {
    let text = |name: &str| record[name].as_str().map(str::to_owned);
    let reason = text("reason");
    Made {
        route: text("route"),
        answer: reason.map(|reason| (record["status"].as_u64().unwrap(), reason)),
        detail: text("detail"),
        grpc_status: record["grpc_status"].as_u64(),
        upstream: text("upstream"),
    }
}

fn explained(told: &Explanation) -> Made {
    let mut made = Made {
        route: told.route.clone(),
        answer: None,
        detail: None,
        grpc_status: None,
        upstream: None,
    };
    match &told.outcome {
        ExplainedOutcome::Rejected { status, reason, detail, grpc_status } => {
            made.answer = Some((u64::from(*status), (*reason).to_owned()));
            made.detail = detail.map(str::to_owned);
            made.grpc_status = grpc_status.map(u64::from);
        }
        ExplainedOutcome::Redirect { status, .. } => {
            made.answer = Some((u64::from(*status), Reason::Redirected.label().to_owned()));
        }
        ExplainedOutcome::Reply { status, reason, .. } => {
            made.answer = Some((u64::from(*status), (*reason).to_owned()));
        }
        ExplainedOutcome::Forward { upstreams, .. } => {
            made.upstream = upstreams.first().map(|it| it.upstream.clone());
        }
    }
    made
}

#[tokio::test]
async fn explain_and_the_server_agree_on_every_request() {
    let authority = Authority::root("explained");
    let directory = PemDirectory::create();
    for name in ["a", "other"] {
        directory.write_leaf(name, &authority.server(&format!("{name}.test")).issue());
    }
    // Of `secret`.
    directory.write("users", "ada:{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=\n");
    let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let blocks = blocks(&origin.address().to_string(), &directory.path().display().to_string());
    let gate = Gate::of(&blocks).await;
    let text = format!("version: v1\n{blocks}");
    let config = portcullis_config::parse_str("explained.yaml", &text).unwrap().config;
    let world = World::build(&config).unwrap();
    assert!(world.faults().is_empty(), "{:?}", world.faults());

    let mut questions = Vec::new();
    for asked in table() {
        for way in asked.ways {
            send(&gate, &asked, *way).await;
            questions.push((asked.clone(), *way));
        }
    }
    assert!(questions.len() >= 300, "only {}", questions.len());
    let records = gate.records().await;
    assert_eq!(records.len(), questions.len());

    let (mut wrong, mut reasons) = (Vec::new(), BTreeSet::new());
    for ((asked, way), record) in questions.iter().zip(&records) {
        let told = ask(&config, &world, asked, *way);
        let (told, made) = (explained(&told), recorded(record));
        reasons.extend(told.answer.iter().map(|(_, reason)| reason.clone()));
        if told != made {
            wrong.push(format!("{way:?} {asked:?}\n  says {told:?}\n  did  {made:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} disagree:\n{}", wrong.len(), wrong.join("\n"));
    // Every reason is drawn, or is none that a decision can give.
    for reason in Reason::ALL {
        let drawn = reasons.contains(reason.label());
        assert_ne!(drawn, AT_RUN_TIME.contains(reason), "{}", reason.label());
    }
}

fn ask(
    config: &portcullis_config::model::Config,
    world: &World,
    asked: &Asked,
    way: Way,
) -> Explanation {
    let scheme = if way == Way::Tls { "https" } else { "http" };
    let tunnel = asked.method == "CONNECT" && way != Way::Http2;
    let target = if tunnel { "" } else { &asked.target };
    let url = format!("{scheme}://{}{target}", asked.host);
    let headers: Vec<_> =
        asked.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let question = ExplainRequest {
        method: asked.method,
        url: &url,
        headers: &headers,
        peer: Some([127, 0, 0, 1].into()),
        listener: Some(if way == Way::Tls { "secure" } else { "plain" }),
        http2: way == Way::Http2,
        server_name: Some(asked.server_name()),
    };
    explain(config, world, &question).unwrap_or_else(|error| panic!("{asked:?}: {error}"))
}

/// Sends the request and waits for what comes of it.
async fn send(gate: &Gate, asked: &Asked, way: Way) {
    if way == Way::Http2 {
        return send_http2(gate, asked).await;
    }
    let mut text =
        format!("{} {} HTTP/1.1\r\nhost: {}\r\n", asked.method, asked.target, asked.host);
    for (name, value) in &asked.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut client = match way {
        Way::Tls => {
            let tls = taking_any_certificate(asked.server_name()).unwrap();
            RawClient::connect_tls(gate.address_of("secure"), &tls).await.unwrap()
        }
        Way::Plain | Way::Http2 => RawClient::connect(gate.address_of("plain")).await.unwrap(),
    };
    client.send(text.as_bytes()).await.unwrap();
    let response = match asked.method {
        "HEAD" => client.response_to_head().await,
        _ => client.final_response().await,
    };
    response.unwrap_or_else(|error| panic!("{asked:?}: {error}"));
}

async fn send_http2(gate: &Gate, asked: &Asked) {
    let mut client = H2Client::open(gate.address_of("plain"), None, &[]).await.unwrap();
    let mut fields = vec![(":method".to_owned(), asked.method.to_owned())];
    let mut pseudo = |name: &str, value: &str| fields.push((name.to_owned(), value.to_owned()));
    pseudo(":scheme", "http");
    pseudo(":path", &asked.target);
    pseudo(":authority", asked.host);
    for (name, value) in &asked.headers {
        fields.push((name.to_ascii_lowercase(), value.clone()));
    }
    // The pseudo-header of a CONNECT goes before the others.
    fields.sort_by_key(|(name, _)| !name.starts_with(':'));
    // A length that is not 0 is of a body that never comes: the refusal does not wait for it.
    let body = asked.headers.iter().any(|(name, value)| *name == "content-length" && value != "0");
    let open = body || asked.method == "CONNECT";
    let flags = if open { END_HEADERS } else { END_HEADERS | END_STREAM };
    client.send(&headers(1, flags, block(&fields))).await.unwrap();
    let ended = client.until(|seen| seen.status().is_some() || seen.ended() == Some(1)).await;
    let seen = ended.unwrap_or_else(|error| panic!("{asked:?}: {error}"));
    assert!(seen.status().is_some(), "{asked:?}: {seen:?}");
}
