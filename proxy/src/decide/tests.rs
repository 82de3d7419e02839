use std::time::Duration;

use portcullis_config::model::{
    self, HostHandling, Redirect, RedirectPath, Reply, Rewrite, Scheme, StickyCookie,
};
use portcullis_config::text::Template;
use portcullis_config::values::Status;
use proptest::prelude::*;

use super::*;
use crate::http1::edits::EditError;
use crate::http1::hypothetical::HypotheticalHead;
use crate::policy::PolicyFault;
use crate::policy::sticky::{Affinity, upstream_key};
use crate::route::testing::{bare_redirect, forward, live, request, route};
use crate::route::{RouteFault, Table};
use crate::target::TargetFault;

fn facts(head: &HypotheticalHead) -> Facts<'_> {
    Facts::of(head.view())
}

/// A decision as text: what a table of tests compares.
fn decided(table: &Table, words: &str, random: u64, tls: bool) -> String {
    let head = request(words);
    let local_port = Some(if tls { 443 } else { 80 });
    let facts = Facts { tls, local_port, random, ..facts(&head) };
    let mut scratch = DecisionScratch::default();
    match decide(&Site::bare(table), &facts, &mut scratch) {
        Step::Reject(it) => it.cause.reason.label().to_owned(),
        Step::Respond(it) if it.has_location => {
            format!("{} {}", it.status, String::from_utf8_lossy(scratch.location()))
        }
        Step::Respond(it) => format!(
            "{} {} {}",
            it.status,
            it.content_type.unwrap_or("-"),
            String::from_utf8_lossy(it.body)
        ),
        Step::Ask(_) => "a question".to_owned(),
        Step::Plan(it) => {
            let path = String::from_utf8_lossy(it.path(&facts.head, &scratch)).into_owned();
            format!("u{} {path}", it.upstream.0)
        }
    }
}

fn one(words: &str, action: model::Action) -> Result<Table, RouteFault> {
    let mut route = route(0, words);
    route.action = action;
    live(vec![route])
        .map(|routes| Table::build(&routes))
        .map_err(|errors| errors.into_iter().next().unwrap().fault)
}

fn edited(change: impl FnOnce(&mut model::Forward)) -> model::Action {
    let mut action = forward(&[(0, 1)]);
    if let model::Action::Forward(forward) = &mut action {
        change(forward);
    }
    action
}

fn check(table: &Table, rows: &[(&str, &str)]) {
    for (words, expected) in rows {
        assert_eq!(decided(table, words, 0, false), *expected, "{words}");
    }
}

#[test]
fn the_path_handed_on_is_the_path_that_matched() {
    let table = one("prefix:/a", forward(&[(0, 1)])).unwrap();
    check(
        &table,
        &[
            ("GET h/a", "u0 /a"),
            ("GET h/a/b?q=/../x", "u0 /a/b"),
            ("GET h//a///b", "u0 /a/b"),
            ("GET h/x/%2e%2e/%61/B", "u0 /a/B"),
            ("GET h/a/../b", "no-route"),
            ("GET h/a/%2e%2e/b", "no-route"),
            ("GET h/a/..;/b", "bad-path"),
            ("GET h/../a", "bad-path"),
            ("GET h/a%00", "bad-path"),
            ("GET h/a%2fb", "bad-path"),
            ("GET h/x%2fb", "bad-path"),
            ("GET h/a%5cb", "bad-path"),
            ("GET h/a/%252f..", "u0 /a/%252f.."),
            ("GET a..b/a", "bad-host"),
            ("GET user@h/a", "bad-host"),
            ("CONNECT h:443", "method-unsupported"),
        ],
    );
    let root = one("", forward(&[(0, 1)])).unwrap();
    check(&root, &[("GET h", "u0 /"), ("GET /x", "u0 /x")]);
}

#[test]
fn a_route_may_take_encoded_slashes() {
    let table = one("prefix:/a slash", forward(&[(0, 1)])).unwrap();
    check(
        &table,
        &[
            ("GET h/a/x%2fy", "u0 /a/x%2Fy"),
            ("GET h/a/x%2Fy", "u0 /a/x%2Fy"),
            ("GET h/a%2fx", "bad-path"),
            ("GET h/a/..%2fx", "bad-path"),
            ("GET h/a/x%5cy", "bad-path"),
        ],
    );
}

#[test]
fn weights_share_the_traffic_out() {
    let table = one("", forward(&[(0, 90), (1, 0), (2, 10)])).unwrap();
    let mut counts = [0u32; 3];
    let steps = 1000;
    for step in 0..steps {
        let random = u64::MAX / steps * step;
        match decided(&table, "GET h/", random, false).as_str() {
            "u0 /" => counts[0] += 1,
            "u1 /" => counts[1] += 1,
            "u2 /" => counts[2] += 1,
            other => panic!("{other}"),
        }
    }
    assert!(counts[0].abs_diff(900) <= 1 && counts[1] == 0 && counts[2].abs_diff(100) <= 1);
    assert_eq!(decided(&table, "GET h/", u64::MAX, false), "u2 /");
    assert_eq!(one("", forward(&[(0, 0)])).unwrap_err(), RouteFault::NoWeight);
}

#[test]
fn a_cookie_keeps_the_backend_while_it_has_a_weight() {
    let mut action = forward(&[(0, 1), (1, 0), (2, 1)]);
    if let model::Action::Forward(forward) = &mut action {
        forward.sticky = Some(StickyCookie { cookie: "pin".to_owned(), max_age: None });
    }
    let table = one("", action).unwrap();
    let shown = |upstream: &str| {
        let affinity = Affinity { backend: upstream_key(upstream), endpoint: 9 };
        format!("GET h/ cookie=pin={}", String::from_utf8_lossy(&affinity.encode()))
    };
    for (upstream, random, expected, endpoint) in [
        ("u0", u64::MAX, "u0 /", Some(9)),
        ("u2", 0, "u2 /", Some(9)),
        ("u1", 0, "u0 /", None),
        ("unknown", 0, "u0 /", None),
    ] {
        let words = shown(upstream);
        assert_eq!(decided(&table, &words, random, false), expected, "{upstream}");
        let head = request(&words);
        let facts = Facts { random, ..facts(&head) };
        match decide(&Site::bare(&table), &facts, &mut DecisionScratch::default()) {
            Step::Plan(plan) => assert_eq!(plan.sticky.unwrap().endpoint, endpoint, "{upstream}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn hosts_are_handed_on_as_configured() {
    for (handling, words, expected) in [
        (HostHandling::Preserve, "GET H.example:80/", HostSource::Client),
        (HostHandling::Preserve, "GET /", HostSource::Endpoint),
        (HostHandling::Upstream, "GET h/", HostSource::Endpoint),
        (
            HostHandling::Set("in.example:81".to_owned()),
            "GET h/",
            HostSource::Fixed("in.example:81"),
        ),
    ] {
        let table = one("", edited(|it| it.host = handling.clone())).unwrap();
        let head = request(words);
        match decide(&Site::bare(&table), &facts(&head), &mut DecisionScratch::default()) {
            Step::Plan(plan) => assert_eq!(plan.host, expected),
            other => panic!("{other:?}"),
        }
    }
    let bad = edited(|it| it.host = HostHandling::Set("a\r\nb".to_owned()));
    assert_eq!(one("", bad).unwrap_err(), TargetFault::Host("a\r\nb".to_owned()).into());
}

#[test]
fn prefixes_are_replaced_as_the_gateway_api_says() {
    for (prefix, with, path, expected) in [
        ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz", "/foo", "/xyz"),
        ("/foo", "/xyz", "/foo/", "/xyz/"),
        ("/foo", "", "/foo/bar", "/bar"),
        ("/foo", "", "/foo/", "/"),
        ("/foo", "", "/foo", "/"),
        ("/foo", "/", "/foo/", "/"),
        ("/foo", "/", "/foo", "/"),
        ("/foo", "/", "/foo/bar", "/bar"),
        ("/", "/v1", "/", "/v1/"),
        ("/", "/v1", "/a", "/v1/a"),
        ("/", "/", "/a", "/a"),
        ("/foo", "/a b|c", "/foo", "error"),
        ("/foo", "/a|c", "/foo/x", "/a%7Cc/x"),
        ("/foo", "/a/../b", "/foo/x", "/b/x"),
        ("/foo", "/..", "/foo", "error"),
        ("/foo", "/a?b", "/foo", "error"),
    ] {
        let words = format!("prefix:{prefix}");
        let rewrite = edited(|it| it.rewrite = Some(Rewrite::Prefix(with.to_owned())));
        let to = Redirect { path: Some(RedirectPath::Prefix(with.to_owned())), ..bare_redirect() };
        let request = format!("GET h{path}");
        for (action, expected) in [
            (rewrite, format!("u0 {expected}")),
            (model::Action::Redirect(to), format!("302 http://h{expected}")),
        ] {
            match one(&words, action) {
                Ok(table) => check(&table, &[(&request, &expected)]),
                Err(RouteFault::Policy(PolicyFault::Target(TargetFault::Path(_)))) => {
                    assert!(expected.ends_with("error"), "{with}")
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    let rewrite = edited(|it| it.rewrite = Some(Rewrite::Prefix("/x".to_owned())));
    assert_eq!(one("path:/a", rewrite).unwrap_err(), PolicyFault::PrefixWithoutMatch.into());
}

#[test]
fn whole_paths_are_replaced() {
    let table = one("", edited(|it| it.rewrite = Some(Rewrite::Path("/new//x".to_owned()))));
    check(&table.unwrap(), &[("GET h/a/b?q=1", "u0 /new/x"), ("GET h/", "u0 /new/x")]);
}

#[test]
fn regexes_rewrite_paths_that_stay_normal() {
    let rewrite = |pattern: &str, replacement: &str| {
        let pattern = pattern.parse().unwrap();
        let rewrite = Rewrite::Regex { pattern, replacement: replacement.to_owned() };
        one("", edited(|it| it.rewrite = Some(rewrite))).unwrap()
    };
    for (pattern, replacement, path, expected) in [
        ("^/users/([0-9]+)$", "/u/$1", "/users/7", "u0 /u/7"),
        ("^/users/([0-9]+)$", "/u/$1", "/users/x", "u0 /users/x"),
        ("^/(?P<a>[^/]+)/(?P<b>[^/]+)", "/${b}/${a}", "/x/y/z", "u0 /y/x/z"),
        ("a", "b", "/aa/a", "u0 /bb/b"),
        ("x", "/", "/axxb", "u0 /a/b"),
        ("x", "..", "/a/x/b", "u0 /b"),
        ("x", "..", "/x/b", "bad-path"),
        ("x", "%2f", "/x", "bad-path"),
        ("x", "?a=1", "/x", "bad-path"),
        ("x", "\r\ny: z", "/x", "bad-path"),
        (".*", "", "/x", "bad-path"),
        ("^/", "", "/x", "bad-path"),
        ("^.*$", "*", "/x", "bad-path"),
    ] {
        check(&rewrite(pattern, replacement), &[(&format!("GET h{path}"), expected)]);
    }
    let long = format!("GET h/{}", "a".repeat(2000));
    let doubled = rewrite("a", &"b".repeat(100));
    assert_eq!(decided(&doubled, &long, 0, false), "uri-too-long");
}

#[test]
fn redirects_say_where_to() {
    let port = |port| std::num::NonZeroU16::new(port);
    let to = bare_redirect;
    let https = || Redirect { scheme: Some(Scheme::Https), ..to() };
    let full = |path: &str| Some(RedirectPath::Full(path.to_owned()));
    let host = |host: &str| Some(host.to_owned());
    for (redirect, tls, words, expected) in [
        (https(), false, "GET a.b/x/y?q=1&r", "302 https://a.b/x/y?q=1&r"),
        (https(), false, "GET a.b:8080/x", "302 https://a.b/x"),
        (https(), false, "GET A.b.:80/x?", "302 https://a.b/x?"),
        (https(), false, "GET a.b", "302 https://a.b/"),
        (https(), false, "GET [0::1]:80/x", "302 https://[::1]/x"),
        (https(), false, "GET /x", "bad-host"),
        (https(), false, "GET a.b//evil.example/x", "302 https://a.b/evil.example/x"),
        (https(), false, "GET a.b/x/%2e%2e/y", "302 https://a.b/y"),
        (https(), false, "GET a.b/x%0d%0ay", "302 https://a.b/x%0D%0Ay"),
        (https(), false, "GET a.b/x\\y", "bad-path"),
        (
            https(),
            false,
            "GET a.b/x?a=\"<>{}|^`\\#",
            "302 https://a.b/x?a=%22%3C%3E%7B%7D%7C%5E%60%5C%23",
        ),
        (https(), false, "GET a.b/x?a=%0d%0a", "302 https://a.b/x?a=%0d%0a"),
        (https(), false, "GET a.b/x?\u{e9}", "302 https://a.b/x?%C3%A9"),
        (https(), false, "GET a@b/x", "bad-host"),
        (Redirect { port: port(8443), ..https() }, false, "GET a.b/x", "302 https://a.b:8443/x"),
        (Redirect { port: port(443), ..https() }, false, "GET a.b/x", "302 https://a.b/x"),
        (Redirect { port: port(80), ..https() }, false, "GET a.b/x", "302 https://a.b:80/x"),
        (Redirect { port: port(8080), ..to() }, false, "GET a.b/x", "302 http://a.b:8080/x"),
        (Redirect { port: port(80), ..to() }, true, "GET a.b/x", "302 https://a.b:80/x"),
        (Redirect { scheme: Some(Scheme::Http), ..to() }, true, "GET a.b/x", "302 http://a.b/x"),
        (to(), true, "GET a.b/x", "302 https://a.b/x"),
        (Redirect { host: host("C.d"), ..to() }, false, "GET a.b/x?q", "302 http://c.d/x?q"),
        (Redirect { host: host("c.d"), ..https() }, false, "GET /x", "302 https://c.d/x"),
        (Redirect { path: full("/new"), ..to() }, false, "GET a.b/x?q=1", "302 http://a.b/new?q=1"),
        (Redirect { path: full("//new"), ..to() }, false, "GET a.b/x", "302 http://a.b/new"),
        (
            Redirect { status: Status::parse(308).unwrap(), ..to() },
            false,
            "POST a.b/x",
            "308 http://a.b/x",
        ),
    ] {
        let table = one("", model::Action::Redirect(redirect.clone())).unwrap();
        assert_eq!(decided(&table, words, 0, tls), expected, "{words} {redirect:?}");
    }
    for bad in ["a\r\nb", "a/b", "a:80", "a:", "", "a@b"] {
        let redirect = Redirect { host: host(bad), ..to() };
        let fault = one("", model::Action::Redirect(redirect)).unwrap_err();
        assert_eq!(fault, PolicyFault::from(TargetFault::Host(bad.to_owned())).into());
    }
    let redirect = Redirect { path: Some(RedirectPath::Prefix("/y".to_owned())), ..to() };
    let fault = one("regex:/x.*", model::Action::Redirect(redirect)).unwrap_err();
    assert_eq!(fault, PolicyFault::PrefixWithoutMatch.into());
}

#[test]
fn a_redirect_keeps_the_port_it_came_to() {
    let table = one("", model::Action::Redirect(bare_redirect())).unwrap();
    let head = request("GET a.b:81/x");
    for (local_port, tls, expected) in [
        (Some(8080), false, "http://a.b:8080/x"),
        (Some(80), false, "http://a.b/x"),
        (Some(443), true, "https://a.b/x"),
        (Some(80), true, "https://a.b:80/x"),
        (None, false, "http://a.b:81/x"),
    ] {
        let facts = Facts { tls, local_port, ..facts(&head) };
        let mut scratch = DecisionScratch::default();
        assert!(matches!(decide(&Site::bare(&table), &facts, &mut scratch), Step::Respond(_)));
        assert_eq!(String::from_utf8_lossy(scratch.location()), expected);
    }
}

#[test]
fn replies_are_fixed() {
    let reply = |content_type: Option<&str>| {
        model::Action::Reply(Reply {
            status: Status::parse(418).unwrap(),
            content_type: content_type.map(str::to_owned),
            body: Template::new("${env:X}", "teapot"),
        })
    };
    let table = one("prefix:/x", reply(Some("text/plain"))).unwrap();
    check(&table, &[("GET h/x?q", "418 text/plain teapot"), ("GET h/y", "no-route")]);
    check(&one("", reply(None)).unwrap(), &[("GET h/", "418 - teapot")]);
    let fault = one("", reply(Some("a\r\nb: c"))).unwrap_err();
    let expected = PolicyFault::from(EditError::Value("content-type".to_owned()));
    assert_eq!(fault, expected.into());
}

#[test]
fn a_refusal_after_routing_names_the_route() {
    let table = one("", forward(&[(0, 1)])).unwrap();
    for (words, named) in [("GET h/a%2fb", true), ("GET h/a%00", false)] {
        let head = request(words);
        match decide(&Site::bare(&table), &facts(&head), &mut DecisionScratch::default()) {
            Step::Reject(it) => {
                assert_eq!(
                    (it.cause.reason, it.route.is_some()),
                    (Reason::BadPath, named),
                    "{words}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn effective_values_are_the_routes() {
    let action = edited(|it| {
        it.timeouts.response.value = Duration::from_millis(1500);
        it.retry.retries.value = 3;
    });
    let table = one("", action).unwrap();
    let head = request("GET h/");
    match decide(&Site::bare(&table), &facts(&head), &mut DecisionScratch::default()) {
        Step::Plan(plan) => {
            assert_eq!(plan.timeouts().response, Duration::from_millis(1500));
            assert_eq!(plan.timeouts().per_try, Duration::from_secs(5));
            assert_eq!(plan.retries, 3);
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever the target, a location is one line of URL bytes on the host that was asked for.
    #[test]
    fn locations_cannot_be_injected(path in "/[ -~\\r\\n\\t]{0,20}", query in "[ -~\\r\\n\\t]{0,20}") {
        let table = one("", model::Action::Redirect(bare_redirect())).unwrap();
        let head = HypotheticalHead::try_new("GET", "h", &path, Some(&query), &[]);
        let head = head.unwrap();
        let mut scratch = DecisionScratch::default();
        if let Step::Respond(_) = decide(&Site::bare(&table), &facts(&head), &mut scratch) {
            let location = std::str::from_utf8(scratch.location()).unwrap();
            prop_assert!(location.starts_with("http://h/"));
            prop_assert!(!location.starts_with("http://h//"));
            prop_assert!(location.bytes().all(|it| it.is_ascii_graphic()), "{}", location);
        }
    }

    /// A second proxy would see the same path: handed on, it decides the same.
    #[test]
    fn what_is_handed_on_is_handed_on_again(path in "/[a-z./%0-9;]{0,16}") {
        let table = one("", forward(&[(0, 1)])).unwrap();
        let first = decided(&table, &format!("GET h{path}"), 0, false);
        if let Some(sent) = first.strip_prefix("u0 ") {
            prop_assert_eq!(decided(&table, &format!("GET h{sent}"), 0, false), first);
        }
    }
}
