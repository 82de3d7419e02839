use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::http1::hypothetical::HypotheticalHead;
use crate::route::testing::{live, request, route, table};
use crate::target::path::{self, EncodedSlash};

/// What a request looks like to the table.
pub(super) fn with_normalised<R>(
    head: &HypotheticalHead,
    then: impl FnOnce(&Normalised<'_>) -> R,
) -> R {
    let head = head.view();
    let (mut path_scratch, mut host_scratch) = (Vec::new(), Vec::new());
    then(&Normalised {
        host: host::normalise(head.authority(), &mut host_scratch).unwrap().host,
        path: path::normalise(head.path(), &mut path_scratch, EncodedSlash::Keep).unwrap(),
        method: head.method(),
        query: head.query(),
        fields: head.fields(),
    })
}

fn found(table: &Table, words: &str) -> Option<usize> {
    with_normalised(&request(words), |seen| table.find(seen).map(|route| route.id.0))
}

/// The route each request takes, by its number in `routes`.
fn check(routes: &[&str], rows: &[(&str, Option<usize>)]) {
    let table = table(routes);
    for (words, expected) in rows {
        assert_eq!(found(&table, words), *expected, "{words} among {routes:?}");
    }
}

#[test]
fn hosts_exact_then_longest_wildcard_then_any() {
    check(
        &["", "host:*.example.com", "host:*.a.example.com", "host:b.a.example.com", "host:[::1]"],
        &[
            ("GET b.a.example.com/", Some(3)),
            ("GET B.A.Example.Com.:8080/", Some(3)),
            ("GET c.a.example.com/", Some(2)),
            ("GET x.b.a.example.com/", Some(2)),
            ("GET a.example.com/", Some(1)),
            ("GET x.y.example.com/", Some(1)),
            ("GET example.com/", Some(0)),
            ("GET notexample.com/", Some(0)),
            ("GET xexample.com/", Some(0)),
            ("GET com/", Some(0)),
            ("GET [0:0:0::1]:80/", Some(4)),
            ("GET [::2]/", Some(0)),
        ],
    );
    check(&["host:a.b"], &[("GET a.b/", Some(0)), ("GET b/", None), ("GET x.a.b/", None)]);
    check(
        &["host:a.b host:*.c host:d"],
        &[
            ("GET a.b/", Some(0)),
            ("GET x.c/", Some(0)),
            ("GET d/", Some(0)),
            ("GET c/", None),
            ("GET e/", None),
        ],
    );
    check(&["host:::1"], &[("GET [::1]/", Some(0))]);
}

#[test]
fn a_longer_wildcard_counts_characters() {
    check(
        &["host:*.com", "host:*.example.com", "host:*.shop.example.com"],
        &[
            ("GET a.com/", Some(0)),
            ("GET a.example.com/", Some(1)),
            ("GET shop.example.com/", Some(1)),
            ("GET a.shop.example.com/", Some(2)),
            ("GET a.b.shop.example.com/", Some(2)),
        ],
    );
}

#[test]
fn paths_exact_then_regex_then_longest_prefix() {
    check(
        &[
            "prefix:/",
            "prefix:/a",
            "prefix:/a/b",
            "path:/a/b",
            "regex:/a/[0-9]+",
            "path:/a",
            "prefix:/a/b/c/d",
            "path:/a/7",
        ],
        &[
            ("GET h/", Some(0)),
            ("GET h", Some(0)),
            ("GET h/x", Some(0)),
            ("GET h/ab", Some(0)),
            ("GET h/a", Some(5)),
            ("GET h/a/", Some(1)),
            ("GET h//a/", Some(1)),
            ("GET h/a/x", Some(1)),
            ("GET h/a/b", Some(3)),
            ("GET h/a/b/", Some(2)),
            ("GET h/a/b/c", Some(2)),
            ("GET h/a/b/c/dd", Some(2)),
            ("GET h/a/b/c/d", Some(6)),
            ("GET h/a/b/c/d/e/f", Some(6)),
            ("GET h/a/bb", Some(1)),
            ("GET h/a/12", Some(4)),
            ("GET h/a/12/", Some(1)),
            ("GET h/a/12x", Some(1)),
            ("GET h/x/a/12", Some(0)),
            ("GET h/a/7", Some(7)),
            ("GET h/A", Some(0)),
            ("GET h/x/../a", Some(5)),
            ("GET h/%61/b", Some(3)),
            ("GET h/a;x/b", Some(0)),
        ],
    );
}

#[test]
fn patterns_are_normalised_like_requests() {
    check(
        &["path:/caf\u{e9}", "prefix:/x//%79/", "path:/a|b"],
        &[
            ("GET h/caf%c3%a9", Some(0)),
            ("GET h/caf\u{e9}", Some(0)),
            ("GET h/x/y/z", Some(1)),
            ("GET h/a%7cb", Some(2)),
        ],
    );
    for bad in ["path:a", "path:/a/../..", "prefix:/a%2fb", "path:/a?b=1", "host:a..b"] {
        assert_eq!(live(vec![route(0, bad)]).unwrap_err().len(), 1, "{bad}");
    }
    assert!(live(vec![route(0, "prefix:/a%2fb slash")]).is_ok());
}

#[test]
fn regexes_cover_the_whole_path() {
    check(
        &["regex:/a|/ab", "regex:^/c.*$", "regex:/d/"],
        &[
            ("GET h/a", Some(0)),
            ("GET h/ab", Some(0)),
            ("GET h/abc", None),
            ("GET h/x/a", None),
            ("GET h/cxyz", Some(1)),
            ("GET h/d/", Some(2)),
            ("GET h/d/x", None),
        ],
    );
}

#[test]
fn the_server_itself_is_matched_by_the_root() {
    check(&["path:/", "prefix:/", "prefix:/a"], &[("OPTIONS h", Some(0))]);
    let head = HypotheticalHead::try_new("OPTIONS", "h", "*", None, &[]).unwrap();
    let table = table(&["path:/", "prefix:/", "prefix:/a", "regex:/.*"]);
    with_normalised(&head, |seen| assert_eq!(table.find(seen).unwrap().id.0, 1));
}

#[test]
fn methods_then_headers_then_query_then_cookies_then_order() {
    check(
        &[
            "prefix:/a",
            "prefix:/a cookie:c=1",
            "prefix:/a query:q=1",
            "prefix:/a header:x-a=1",
            "prefix:/a header:x-a=1 header:x-b=1",
            "prefix:/a method:GET",
            "prefix:/a method:GET header:x-a=1",
            "prefix:/a method:GET query:q=1 query:r=1",
            "prefix:/a method:GET query:q=1 cookie:c=1 cookie:d=1",
            "prefix:/a",
        ],
        &[
            ("POST h/a", Some(0)),
            ("POST h/a cookie=c=1", Some(1)),
            ("POST h/a?q=1", Some(2)),
            ("POST h/a?q=1 cookie=c=1", Some(2)),
            ("POST h/a?q=1 x-a=1", Some(3)),
            ("POST h/a x-a=1 x-b=1", Some(4)),
            ("POST h/a x-a=1 x-b=2", Some(3)),
            ("GET h/a", Some(5)),
            ("GET h/a x-a=1 x-b=1", Some(6)),
            ("GET h/a x-a=1", Some(6)),
            ("GET h/a?q=1", Some(5)),
            ("GET h/a?r=1&q=1", Some(7)),
            ("GET h/a?r=1&q=1 x-a=1", Some(6)),
            ("GET h/a?q=1 cookie=c=1;d=1", Some(8)),
            ("GET h/a?q=1&r=1 cookie=c=1;d=1", Some(7)),
            ("get h/a", Some(0)),
            ("HEAD h/a", Some(0)),
        ],
    );
}

#[test]
fn values_are_tested_in_every_way() {
    check(
        &[
            "path:/p header:x-a",
            "path:/n header:!x-a",
            "path:/e header:x-a=1",
            "path:/f header:x-a^=ab",
            "path:/r header:x-a~=[0-9]+",
            "path:/q query:q",
            "path:/nq query:!q",
            "path:/fq query:q^=ab",
            "path:/rq query:q~=a|ab",
            "path:/c cookie:c",
            "path:/nc cookie:!c",
            "path:/rc cookie:c~=[a-z]*",
        ],
        &[
            ("GET h/p", None),
            ("GET h/p x-a=", Some(0)),
            ("GET h/p X-A=1", Some(0)),
            ("GET h/n", Some(1)),
            ("GET h/n x-a=", None),
            ("GET h/e x-a=1", Some(2)),
            ("GET h/e x-a=11", None),
            ("GET h/e x-a=1 x-a=1", None),
            ("GET h/f x-a=abc", Some(3)),
            ("GET h/f x-a=ab", Some(3)),
            ("GET h/f x-a=xab", None),
            ("GET h/r x-a=123", Some(4)),
            ("GET h/r x-a=123x", None),
            ("GET h/r x-a=x123", None),
            ("GET h/r", None),
            ("GET h/q", None),
            ("GET h/q?q", Some(5)),
            ("GET h/q?q=", Some(5)),
            ("GET h/q?Q=1", None),
            ("GET h/nq", Some(6)),
            ("GET h/nq?q", None),
            ("GET h/fq?q=%61b", Some(7)),
            ("GET h/fq?q=a", None),
            ("GET h/rq?q=ab", Some(8)),
            ("GET h/rq?q=abc", None),
            ("GET h/c", None),
            ("GET h/c cookie=c=", Some(9)),
            ("GET h/nc", Some(10)),
            ("GET h/nc cookie=c=1", None),
            ("GET h/nc cookie=C=1", Some(10)),
            ("GET h/rc cookie=c=abc", Some(11)),
            ("GET h/rc cookie=c=ABC", None),
        ],
    );
}

#[test]
fn what_fails_falls_through_to_the_less_specific() {
    check(
        &[
            "host:a.b.c path:/x/y method:PUT",
            "host:a.b.c regex:/x/.* method:DELETE",
            "host:a.b.c prefix:/x/y header:v=2",
            "host:a.b.c prefix:/x method:POST",
            "host:*.b.c prefix:/x query:q=1",
            "host:*.c path:/x/y cookie:c=1",
            "prefix:/x/y method:GET",
            "",
        ],
        &[
            ("PUT a.b.c/x/y", Some(0)),
            ("DELETE a.b.c/x/y", Some(1)),
            ("POST a.b.c/x/y v=2", Some(2)),
            ("POST a.b.c/x/y", Some(3)),
            ("GET a.b.c/x/y?q=1", Some(4)),
            ("GET a.b.c/x/y cookie=c=1", Some(5)),
            ("GET a.b.c/x/y", Some(6)),
            ("PATCH a.b.c/x/y", Some(7)),
            ("PUT a.b.c/x/z", Some(7)),
            ("GET other/x/y/z", Some(6)),
        ],
    );
}

#[test]
fn an_empty_table_finds_nothing() {
    check(&[], &[("GET h/", None), ("GET a.b.c/x", None)]);
}

#[test]
fn listeners_carry_their_own_routes() {
    let mut routes = vec![route(0, ""), route(1, "")];
    routes[0].listeners = vec![ListenerId(1)];
    routes[1].listeners = vec![ListenerId(1), ListenerId(2)];
    let routes = live(routes).unwrap();
    for (listener, expected) in [(0, None), (1, Some(0)), (2, Some(1))] {
        let table = Table::for_listener(&routes, ListenerId(listener));
        assert_eq!(found(&table, "GET h/"), expected);
    }
}

/// Hundreds of rows: every pair of kinds, each in both orders of the file.
#[test]
fn a_kind_beats_every_kind_behind_it() {
    let hosts = ["host:a.b.c", "host:*.b.c", "host:*.c", ""];
    let paths = ["path:/x/y/z", "regex:/x/.*", "prefix:/x/y", "prefix:/x", ""];
    let conditions = [
        "method:GET header:h=1 header:i=1",
        "method:GET header:h=1",
        "method:GET query:q=1",
        "method:GET cookie:c=1",
        "method:GET",
        "header:h=1",
        "query:q=1 query:r=1",
        "query:q=1",
        "cookie:c=1",
        "",
    ];
    let ranked: Vec<_> = hosts
        .iter()
        .flat_map(|host| paths.iter().map(move |path| (host, path)))
        .flat_map(|(host, path)| conditions.iter().map(move |it| format!("{host} {path} {it}")))
        .collect();
    assert_eq!(ranked.len(), 200);
    let all = "GET a.b.c/x/y/z?q=1&r=1 h=1 i=1 cookie=c=1";
    // Neighbours in rank, and pairs far apart.
    for step in [1, 3, 10, 50, 101] {
        for (better, worse) in ranked.iter().zip(&ranked[step..]) {
            assert_eq!(found(&table(&[better, worse]), all), Some(0), "{better} > {worse}");
            assert_eq!(found(&table(&[worse, better]), all), Some(1), "{better} > {worse}");
        }
    }
    // All of them at once, the best one last.
    let backwards: Vec<_> = ranked.iter().rev().map(String::as_str).collect();
    assert_eq!(found(&table(&backwards), all), Some(199));
    // Two of the same rank: the order of the file.
    for same in &ranked {
        assert_eq!(found(&table(&[same, same]), all), Some(0), "{same}");
    }
}

#[test]
fn explain_lists_every_candidate_once() {
    let table = table(&["host:a.b host:*.b prefix:/x method:PUT", "prefix:/x", "", "path:/y"]);
    with_normalised(&request("GET a.b/x"), |seen| {
        let explained =
            table.explain(seen).iter().fold(String::new(), |mut text, (route, verdict)| {
                let _ = match verdict {
                    RouteVerdict::Taken => write!(text, "{} taken; ", route.name),
                    RouteVerdict::Outranked(by) => {
                        write!(text, "{} behind {}; ", route.name, by.name)
                    }
                    RouteVerdict::Lost(mismatch) => write!(text, "{}: {mismatch}; ", route.name),
                };
                text
            });
        assert_eq!(explained, "r0: another method; r1 taken; r2 behind r1; ");
    });
}

/// Precedence as it is defined, one route after the other: what the table must agree with.
fn reference(routes: &[Arc<Route>], seen: &Normalised<'_>) -> Option<usize> {
    let rank = |route: &Arc<Route>| {
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
        (host.max().unwrap_or((0, 0)), path)
    };
    let holds = routes.iter().filter(|route| route.matcher.verdict(seen).is_ok());
    let best = holds.min_by(|one, other| {
        rank(other)
            .cmp(&rank(one))
            .then_with(|| one.matcher.precedence().cmp(&other.matcher.precedence()))
            .then_with(|| one.id.cmp(&other.id))
    });
    best.map(|route| route.id.0)
}

fn route_words() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        3 => Just(""),
        1 => Just("host:a.b.c"),
        1 => Just("host:b.c"),
        1 => Just("host:*.b.c"),
        1 => Just("host:*.c"),
        1 => Just("host:*.c host:a.b.c"),
        1 => Just("host:*.b.c host:*.c host:d"),
    ];
    let segments = proptest::collection::vec(prop_oneof!["[xy]", Just("xx".to_owned())], 0..4);
    let path = (0..3u8, segments).prop_map(|(kind, segments)| {
        let path = format!("/{}", segments.join("/"));
        match kind {
            0 => format!("path:{path}"),
            1 => format!("prefix:{path}"),
            _ => format!("regex:{path}.*"),
        }
    });
    let conditions = prop_oneof![
        4 => Just(""),
        1 => Just("method:GET"),
        1 => Just("method:PUT method:POST"),
        1 => Just("header:h=1"),
        1 => Just("header:!h"),
        1 => Just("method:GET header:h^=1 header:i"),
        1 => Just("query:q=1"),
        1 => Just("query:q~=[0-9] cookie:c=1"),
        1 => Just("cookie:c"),
    ];
    (host, path, conditions).prop_map(|(host, path, it)| format!("{host} {path} {it}"))
}

fn request_words() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        Just("a.b.c"),
        Just("b.c"),
        Just("x.b.c"),
        Just("x.y.c"),
        Just("c"),
        Just("d"),
        Just("e")
    ];
    let segments = proptest::collection::vec(
        prop_oneof!["[xyz]", Just("xx".to_owned()), Just(String::new())],
        0..5,
    );
    let method = prop_oneof![Just("GET"), Just("PUT"), Just("HEAD")];
    let query = prop_oneof![Just(""), Just("?q=1"), Just("?q=x&q=1"), Just("?r")];
    let headers = prop_oneof![
        Just(""),
        Just("h=1"),
        Just("h=12 i="),
        Just("cookie=c=1"),
        Just("h=1 cookie=c=2;d=1")
    ];
    (method, host, segments, query, headers).prop_map(|(method, host, segments, query, headers)| {
        format!("{method} {host}/{}{query} {headers}", segments.join("/"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_table_agrees_with_a_linear_search(
        routes in proptest::collection::vec(route_words(), 0..24),
        requests in proptest::collection::vec(request_words(), 1..24),
    ) {
        let configured = routes.iter().enumerate().map(|(index, it)| route(index, it)).collect();
        let live = live(configured).unwrap();
        let table = Table::build(&live);
        for words in &requests {
            let head = request(words);
            let (found, expected, explained) = with_normalised(&head, |seen| {
                let mut explained: Vec<_> = table.explain(seen).iter().map(|(it, _)| it.id).collect();
                explained.sort();
                let by_path = live.iter().filter(|it| !matches!(
                    it.matcher.verdict(seen), Err(Mismatch::Host | Mismatch::Path)
                ));
                let candidates: Vec<_> = by_path.map(|it| it.id).collect();
                assert_eq!(explained, candidates, "{words} among {routes:?}");
                let taken = table.explain(seen).into_iter()
                    .find(|(_, verdict)| matches!(verdict, RouteVerdict::Taken))
                    .map(|(route, _)| route.id.0);
                (table.find(seen).map(|it| it.id.0), reference(&live, seen), taken)
            });
            prop_assert_eq!(found, expected, "{} among {:?}", words, routes);
            prop_assert_eq!(found, explained);
        }
    }
}

#[test]
fn the_order_that_is_shown_is_the_order_that_is_tried() {
    let routes = [
        "",
        "prefix:/a",
        "prefix:/a/b",
        "regex:/.*",
        "path:/a/b/c",
        "prefix:/a method:GET",
        "host:*.b.c prefix:/a",
        "host:*.a.b.c",
        "host:*.x.y host:x.a.b.c regex:/a.*",
        "host:x.a.b.c prefix:/a/b",
    ];
    let table = table(&routes);
    let shown: Vec<_> = table.in_order().iter().map(|route| route.id.0).collect();
    assert_eq!(shown, [8, 9, 7, 6, 4, 3, 2, 5, 1, 0]);
    let tried = with_normalised(&request("GET x.a.b.c/a/b/c"), |seen| {
        table.explain(seen).iter().map(|(route, _)| route.id.0).collect::<Vec<_>>()
    });
    assert_eq!(tried, shown, "a request that meets them all");
}
