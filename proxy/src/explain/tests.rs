use std::time::Duration;

use portcullis_config::location::{Origin, Sourced};
use portcullis_config::model::{self, Rewrite, StickyCookie};
use portcullis_config::text::Template;
use portcullis_config::values::HeaderName;

use super::*;
use crate::policy::sticky::{Affinity, upstream_key};
use crate::route::testing::{bare_redirect, config, forward, location, route};

/// A shop: a redirect, a canary with everything set, and routes that lose in every way.
fn shop() -> Config {
    let mut orders = route(0, "host:shop.example prefix:/orders method:POST");
    orders.action = forward(&[(0, 95), (1, 5)]);
    if let model::Action::Forward(forward) = &mut orders.action {
        forward.rewrite = Some(Rewrite::Prefix("/v2/orders".to_owned()));
        forward.sticky = Some(StickyCookie { cookie: "pin".to_owned(), max_age: None });
        forward.timeouts.response =
            Sourced { value: Duration::from_millis(2500), origin: Origin::Route(location(7)) };
        forward.retry.retries = Sourced { value: 2, origin: Origin::Defaults(location(3)) };
    }
    orders.request_headers.remove.push(HeaderName::parse("x-debug").unwrap());
    orders.request_headers.set.push(HeaderValueEdit {
        name: HeaderName::parse("x-key").unwrap(),
        value: Template::new("${env:KEY}", "secret"),
    });
    let mut old = route(3, "path:/old");
    old.action = model::Action::Redirect(bare_redirect());
    config(vec![
        orders,
        route(1, "host:shop.example prefix:/orders"),
        route(2, "prefix:/orders header:x-channel=app"),
        old,
        route(4, "host:other.example"),
    ])
}

const QUESTION: ExplainRequest<'_> = ExplainRequest {
    method: "GET",
    url: "",
    headers: &[],
    peer: None,
    listener: None,
    http2: false,
    server_name: None,
};

fn ask(config: &Config, method: &str, url: &str, headers: &[(&str, &str)]) -> Explanation {
    try_ask(config, method, url, headers, None).unwrap()
}

fn try_ask(
    config: &Config,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    listener: Option<&str>,
) -> Result<Explanation, ExplainError> {
    let world = World::build(config).unwrap();
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let bare = ExplainRequest { method, url, headers: &headers, ..QUESTION };
    explain(config, &world, &ExplainRequest { listener, ..bare })
}

#[test]
fn a_forward_is_explained_completely() {
    let found = ask(
        &shop(),
        "POST",
        "http://Shop.Example/x/../orders//7?q=1",
        &[("X-Forwarded-For", "1.2.3.4"), ("x-channel", "web")],
    );
    insta::assert_snapshot!("forward", found.to_string());
    assert!(!serde_json::to_string(&found).unwrap().contains("secret"));
}

#[test]
fn a_trusted_peer_names_its_client() {
    let mut config = shop();
    if let model::ListenerKind::Http(http) = &mut config.listeners[0].kind {
        http.trust = model::Trust::Proxies(portcullis_config::networks::Networks::new(vec![
            "10.0.0.0/8".parse().unwrap(),
        ]));
    }
    let world = World::build(&config).unwrap();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = [header("x-forwarded-for", "203.0.113.5"), header("x-forwarded-proto", "https")];
    let found = |peer: &str| {
        let peer = Some(peer.parse().unwrap());
        let question = ExplainRequest { url: "http://h/old", headers: &headers, peer, ..QUESTION };
        let found = explain(&config, &world, &question).unwrap();
        let claims = found.phases.iter().find(|found| found.phase == "client claims").unwrap();
        (claims.verdict.clone(), found.outcome.to_string())
    };
    let (claims, outcome) = found("10.0.0.1");
    assert_eq!(
        claims,
        "of a trusted peer, for `203.0.113.5`: `x-forwarded-for`, `x-forwarded-proto`"
    );
    assert!(outcome.contains("https://h/old"), "{outcome}");
    let (claims, outcome) = found("11.0.0.1");
    assert_eq!(claims, "removed: `x-forwarded-for`, `x-forwarded-proto`");
    assert!(outcome.contains("http://h:8080/old"), "{outcome}");
}

#[test]
fn the_document_is_stable() {
    let found = ask(&shop(), "GET", "http://h/old?q", &[]);
    insta::assert_snapshot!("document", serde_json::to_string_pretty(&found).unwrap());
}

#[test]
fn a_refusal_says_in_which_phase() {
    let found = ask(&shop(), "GET", "http://h/a%00", &[]);
    insta::assert_snapshot!("refused_path", found.to_string());
    let found = ask(&shop(), "GET", "http://h/nowhere", &[]);
    insta::assert_snapshot!("no_route", found.to_string());
}

#[test]
fn a_cookie_shows_in_the_shares() {
    let affinity = Affinity { backend: upstream_key("u1"), endpoint: 1 };
    let cookie = format!("pin={}", text(&affinity.encode()));
    let found = ask(&shop(), "POST", "http://shop.example/orders", &[("Cookie", &cookie)]);
    match found.outcome {
        ExplainedOutcome::Forward { upstreams, kept_by_cookie: true, .. } => {
            let shares: Vec<_> = upstreams.iter().map(|it| it.share.as_str()).collect();
            assert_eq!(shares, ["0%", "100%"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn questions_that_could_not_be_sent_are_refused() {
    let config = shop();
    let bad =
        |method, url, headers: &[_]| try_ask(&config, method, url, headers, None).unwrap_err();
    assert_eq!(bad("get", "/", &[]), ExplainError::Method("get".to_owned()));
    assert_eq!(bad("GET", "ftp://h/", &[]), ExplainError::Url("ftp://h/".to_owned()));
    assert_eq!(bad("GET", "h/x", &[]), ExplainError::Url("h/x".to_owned()));
    assert_eq!(bad("GET", "/", &[("a b", "")]), ExplainError::Header("a b".to_owned()));
    assert_eq!(bad("GET", "/", &[("a", "b\r\nc")]), ExplainError::Header("a".to_owned()));
    let listener = try_ask(&config, "GET", "/", &[], Some("none")).unwrap_err();
    assert_eq!(listener, ExplainError::Listener("none".to_owned()));
}

#[test]
fn the_listener_follows_scheme_and_port() {
    let mut config = shop();
    for (name, port) in [("second", 80), ("third", 8081)] {
        let mut listener = config.listeners[0].clone();
        listener.name = name.to_owned();
        listener.address =
            ListenAddress::Tcp { address: ([0, 0, 0, 0], port).into(), v6only: false };
        config.listeners.push(listener);
    }
    for (url, expected) in [
        ("http://h/", "second"),
        ("http://h:8081/", "third"),
        ("http://h:8080/", "public"),
        ("http://h:9/", "public"),
        ("https://h/", "public"),
        ("/", "public"),
    ] {
        let url = Url::parse(url).unwrap();
        assert_eq!(choose_listener(&config, &QUESTION, &url).unwrap().1.name, expected);
    }
}

#[test]
fn the_wish_for_a_websocket_has_a_verdict() {
    let live = config(vec![route(0, "prefix:/live")]);
    let good = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let check = |headers: &[(&str, &str)], expected: Option<&str>| {
        let found = ask(&live, "GET", "http://h/live", headers);
        let verdict = found.phases.iter().find(|it| it.phase == "upgrade");
        assert_eq!(verdict.map(|it| it.verdict.as_str()), expected, "{headers:?}");
        found.to_string()
    };
    let found = check(&good, Some("websocket, if the upstream switches"));
    for setting in ["websocket.idleTimeout 300s", "websocket.drain.closeCode 1001"] {
        assert!(found.contains(setting), "{found}");
    }
    let found = check(&good[..3], Some("refused: websocket-handshake"));
    assert!(found.contains("400, refused: websocket-handshake"), "{found}");
    check(&[good[0], ("upgrade", "h2c")], Some("dropped: only `websocket` is passed on"));
    let found = check(&good[1..], None);
    assert!(!found.contains("websocket."), "{found}");
}

#[test]
fn a_translation_is_explained() {
    let mut found = route(0, "prefix:/a");
    let model::Action::Forward(forward) = &mut found.action else { unreachable!() };
    forward.grpc_web = Some(location(5));
    let calls = config(vec![found, route(1, "prefix:/b")]);
    let check = |path: &str, content_type: &str, accept: &str, expected: Option<&str>| {
        let headers = [("content-type", content_type), ("accept", accept)];
        let found = ask(&calls, "POST", path, &headers);
        let verdict = found.phases.iter().find(|it| it.phase == "grpc-web");
        assert_eq!(verdict.map(|it| it.verdict.as_str()), expected, "{content_type}");
    };
    let (binary, text) = ("application/grpc-web+proto", "application/grpc-web-text");
    check("/a/B.C", binary, "*/*", Some("translated to gRPC: binary in, binary out"));
    check("/a/B.C", text, binary, Some("translated to gRPC: base64 in, binary out"));
    check("/a/B.C", "application/grpc", "*/*", None);
    check("/b/C.D", binary, "*/*", None);
}
