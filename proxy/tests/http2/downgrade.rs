//! Requests that would be two, or others, once they are written out as HTTP/1: what is no single
//! clear request is refused, and what passes means upstream what it meant here.

use std::time::Duration;

use portcullis_testkit::h2::Seen;
use portcullis_testkit::h2::frame::{
    END_HEADERS, END_STREAM, PADDED, WHOLE, block, data, headers, request,
};
use portcullis_testkit::http::Request;
use portcullis_testkit::origin::{Connection, ScriptedOrigin};

use crate::harness::{Gate, Kind, always};

const WITHIN: Duration = Duration::from_secs(10);

/// Fields by which a proxy tells of itself and of the client.
const OURS: [&str; 8] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
    "traceparent",
    "tracestate",
    "via",
];

struct Case {
    name: String,
    frames: Vec<u8>,
    /// What the origin sees, as [`told`] writes it; `None` when that is nothing.
    passes: Option<&'static str>,
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/");
const AUTHORITY: (&str, &str) = (":authority", "a.test");

fn refused(name: impl Into<String>, frames: Vec<Vec<u8>>) -> Case {
    Case { name: name.into(), frames: frames.concat(), passes: None }
}

fn passes(name: &str, frames: Vec<Vec<u8>>, seen: &'static str) -> Case {
    Case { passes: Some(seen), ..refused(name, frames) }
}

fn of<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<Vec<u8>> {
    vec![headers(1, WHOLE, block(fields))]
}

fn with(field: (&str, &str)) -> Vec<Vec<u8>> {
    of(&[METHOD, SCHEME, PATH, AUTHORITY, field])
}

fn post(fields: &[(&str, &str)], body: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut frames = vec![headers(1, END_HEADERS, request("POST", "/", fields))];
    frames.extend_from_slice(body);
    frames
}

/// Bytes that end or split a line, in every place of a head.
fn injections() -> Vec<Case> {
    let mut cases = Vec::new();
    let splits =
        ["\r", "\n", "\r\n", "\0", "\r\n\r\nGET /two HTTP/1.1\r\nhost: b\r\n\r\n", "\r\nx: y"];
    for split in splits {
        for place in [":method", ":scheme", ":path", ":authority", "name", "value"] {
            let text = |own: &str, base: &str| match own == place {
                true => format!("{base}{split}"),
                false => base.to_owned(),
            };
            let fields = [
                (":method".to_owned(), text(":method", "GET")),
                (":scheme".to_owned(), text(":scheme", "http")),
                (":path".to_owned(), text(":path", "/")),
                (":authority".to_owned(), text(":authority", "a.test")),
                (text("name", "x-name"), text("value", "value")),
            ];
            cases.push(refused(format!("{split:?} in {place}"), of(&fields)));
        }
    }
    for (place, value) in [
        (":method", "GET /two HTTP/1.1"),
        (":method", "GE T"),
        (":method", "GET:"),
        (":method", ""),
        (":path", "/ HTTP/1.1"),
        (":path", "/a b"),
        (":path", "/\t"),
        (":path", ""),
        (":path", "two"),
        (":path", "*"),
        (":path", "?a"),
        (":path", "http://b.test/"),
        (":path", "b.test:80"),
        (":authority", "a.test b.test"),
        (":authority", "a.test/two"),
        (":authority", "a.test?x"),
        (":authority", "user@a.test"),
        (":authority", "a.test:80:80"),
        (":authority", "a.test,b.test"),
        (":authority", "a.test:"),
        (":authority", ""),
        (":scheme", ""),
        (":scheme", "http://b.test/?"),
    ] {
        let fields = [METHOD, SCHEME, PATH, AUTHORITY]
            .map(|(name, base)| (name, if name == place { value } else { base }));
        cases.push(refused(format!("{place} of {value:?}"), of(&fields)));
    }
    cases
}

fn names_and_values() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in [
        "x:y",
        ":x",
        "x y",
        " x",
        "x ",
        "x\t",
        "",
        "X-Name",
        "x-Name",
        "x\u{e9}",
        "x(y",
        "x/y",
        "x{",
        "x_y",
        "content_length",
        "transfer_encoding",
    ] {
        cases.push(refused(format!("the name {name:?}"), with((name, "1"))));
    }
    for value in [" a", "a ", "\ta", "a\t", " ", "a\u{7f}", "a\u{1}"] {
        cases.push(refused(format!("the value {value:?}"), with(("x-name", value))));
    }
    for (name, value) in [
        ("connection", "close"),
        ("connection", "host"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "h2c"),
        ("te", "chunked"),
        ("te", "trailers, chunked"),
        ("te", "gzip"),
        ("te", ""),
        ("host", "b.test"),
        ("host", "a.test:80"),
        ("host", "A.test, b.test"),
        ("content-length", "5"),
        ("content-length", "-1"),
        ("content-length", "+0"),
        ("content-length", "0x0"),
        ("content-length", "0, 0"),
        ("content-length", ""),
        ("content-length", "99999999999999999999"),
        ("expect", "200-ok"),
    ] {
        cases.push(refused(format!("{name}: {value}"), with((name, value))));
    }
    cases.extend([
        passes("an empty value", with(("x-name", "")), "GET / a.test|x-name: "),
        passes("the host again", with(("host", "a.test")), "GET / a.test"),
        passes(
            "te: trailers",
            with(("te", "trailers")),
            "GET / a.test|connection: te|te: trailers",
        ),
        passes(
            "crumbs are one cookie again",
            of(&[
                METHOD,
                SCHEME,
                PATH,
                AUTHORITY,
                ("cookie", "a=1"),
                ("x-name", "v"),
                ("cookie", "b=2"),
                ("cookie", "c=3"),
            ]),
            "GET / a.test|cookie: a=1; b=2; c=3|x-name: v",
        ),
        passes("the host alone", of(&[METHOD, SCHEME, PATH, ("host", "a.test")]), "GET / a.test"),
        passes(
            "a query",
            of(&[METHOD, SCHEME, (":path", "/a?b=c&d"), AUTHORITY]),
            "GET /a?b=c&d a.test",
        ),
        passes("a length of nothing", with(("content-length", "0")), "GET / a.test"),
    ]);
    cases
}

fn pseudo_headers() -> Vec<Case> {
    let extra = |field| of(&[METHOD, SCHEME, PATH, AUTHORITY, field]);
    vec![
        refused("no :method", of(&[SCHEME, PATH, AUTHORITY])),
        refused("no :scheme", of(&[METHOD, PATH, AUTHORITY])),
        refused("no :path", of(&[METHOD, SCHEME, AUTHORITY])),
        refused("neither :authority nor host", of(&[METHOD, SCHEME, PATH])),
        refused("two :method", extra((":method", "POST"))),
        refused("two :scheme", extra((":scheme", "https"))),
        refused("two :path", extra((":path", "/two"))),
        refused("two :authority", extra((":authority", "b.test"))),
        refused("two :authority alike", extra(AUTHORITY)),
        refused(":status", extra((":status", "200"))),
        refused(":unknown", extra((":unknown", "1"))),
        refused(":protocol without CONNECT", extra((":protocol", "websocket"))),
        refused(":path behind a field", of(&[METHOD, SCHEME, AUTHORITY, ("x-name", "v"), PATH])),
        refused(":Path", of(&[METHOD, SCHEME, AUTHORITY, (":Path", "/")])),
        refused("two hosts", of(&[METHOD, SCHEME, PATH, ("host", "a.test"), ("host", "b.test")])),
        refused("CONNECT", of(&[(":method", "CONNECT"), (":authority", "b.test:22")])),
        refused("CONNECT with a path", of(&[(":method", "CONNECT"), SCHEME, PATH, AUTHORITY])),
    ]
}

fn bodies() -> Vec<Case> {
    let length = |length: &'static str| [("content-length", length)];
    let two = [("content-length", "4"), ("content-length", "5")];
    let trailers = |fields: &[(&str, &str)]| {
        post(&[], &[data(1, 0, "body"), headers(1, WHOLE, block(fields))])
    };
    let mut cases = vec![
        refused(
            "a body shorter than its length",
            post(&length("5"), &[data(1, END_STREAM, "body")]),
        ),
        refused(
            "a body longer than its length",
            post(&length("3"), &[data(1, END_STREAM, "body")]),
        ),
        refused(
            "a longer one in two",
            post(&length("4"), &[data(1, 0, "body"), data(1, END_STREAM, "GET /two")]),
        ),
        refused("a longer one in two, and no end", {
            post(&length("4"), &[data(1, 0, "body"), data(1, 0, "GET /two")])
        }),
        passes(
            "its length, and then its end",
            post(&length("4"), &[data(1, 0, "body"), data(1, END_STREAM, "")]),
            "POST / a.test|content-length: 4|body",
        ),
        passes(
            "its length byte by byte",
            post(&length("2"), &[data(1, 0, "a"), data(1, 0, ""), data(1, END_STREAM, "b")]),
            "POST / a.test|content-length: 2|ab",
        ),
        passes(
            "a single byte, and then its end",
            post(&length("1"), &[data(1, 0, "a"), data(1, END_STREAM, "")]),
            "POST / a.test|content-length: 1|a",
        ),
        passes(
            "its length, and trailers",
            post(&length("4"), &[data(1, 0, "body"), headers(1, WHOLE, block(&[("x-t", "1")]))]),
            "POST / a.test|content-length: 4|body",
        ),
        refused(
            "a shorter one that ends by trailers",
            post(&length("5"), &[data(1, 0, "body"), headers(1, WHOLE, block(&[("x-t", "1")]))]),
        ),
        refused("two lengths", post(&two, &[data(1, END_STREAM, "body")])),
        refused(
            "a length without a body",
            vec![headers(1, WHOLE, request("POST", "/", &length("5")))],
        ),
        refused(
            "a length and transfer-encoding",
            post(
                &[("content-length", "4"), ("transfer-encoding", "chunked")],
                &[data(1, END_STREAM, "body")],
            ),
        ),
        passes(
            "its length",
            post(&length("4"), &[data(1, END_STREAM, "body")]),
            "POST / a.test|content-length: 4|body",
        ),
        passes(
            "no length",
            post(&[], &[data(1, END_STREAM, "body")]),
            "POST / a.test|transfer-encoding: chunked|body",
        ),
        passes(
            "padding is no body",
            post(&length("4"), &[data(1, END_STREAM | PADDED, b"\x02body\0\0")]),
            "POST / a.test|content-length: 4|body",
        ),
        passes(
            "a body that looks like chunks",
            post(&[], &[data(1, END_STREAM, "0\r\n\r\nGET /two")]),
            "POST / a.test|transfer-encoding: chunked|0\r\n\r\nGET /two",
        ),
        passes(
            "trailers",
            trailers(&[("x-t", "1")]),
            "POST / a.test|transfer-encoding: chunked|body|trailer x-t: 1",
        ),
        refused(
            "trailers that end nothing",
            post(&[], &[data(1, 0, "body"), headers(1, END_HEADERS, block(&[("x-t", "1")]))]),
        ),
        refused("trailers with a line in them", trailers(&[("x-t", "1\r\n\r\nGET /two HTTP/1.1")])),
        refused("trailers with a line in their name", trailers(&[("x-t\r\nx", "1")])),
    ];
    for (name, value) in [
        ("content-length", "9"),
        ("host", "b.test"),
        ("trailer", "x"),
        ("authorization", "Bearer x"),
        ("x-forwarded-for", "1.2.3.4"),
        ("cookie", "a=1"),
        ("content_length", "9"),
        (":path", "/two"),
    ] {
        cases.push(Case {
            name: format!("{name} in trailers"),
            ..passes(
                "",
                trailers(&[(name, value)]),
                "POST / a.test|transfer-encoding: chunked|body",
            )
        });
    }
    for (name, value) in [("connection", "close"), ("transfer-encoding", "chunked"), ("te", "gzip")]
    {
        cases.push(refused(format!("{name} in trailers"), trailers(&[(name, value)])));
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_reaches_an_http1_upstream_as_something_else() {
    let cases: Vec<_> = [injections(), names_and_values(), pseudo_headers(), bodies()]
        .into_iter()
        .flatten()
        .collect();
    let mut wrong = Vec::new();
    let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let gate = Gate::new(origin.address()).await;
    for case in &cases {
        let answer = ask(&gate, &case.frames).await;
        if (answer == "200") != case.passes.is_some() {
            wrong.push(format!("{}: answered {answer}", case.name));
        }
    }
    // Whatever was on its way has arrived or ended when the proxy has.
    let records = gate.records().await;
    let mut reached: Vec<_> = origin.requests().iter().map(told).collect();
    for case in &cases {
        let Some(seen) = case.passes else { continue };
        match reached.iter().position(|told| told == seen) {
            Some(at) => _ = reached.swap_remove(at),
            None => wrong.push(format!("{}: {seen:?} did not arrive", case.name)),
        }
    }
    wrong.extend(reached.iter().map(|told| format!("{told:?} arrived")));
    // What was cut off must not look like something whole either.
    let malformed = origin.connections().iter().filter(|it| it.malformed.is_some()).count();
    println!("{} requests, of which {} were recorded", cases.len(), records.len());
    assert!(wrong.is_empty() && malformed == 0, "{malformed} malformed\n{}", wrong.join("\n"));
}

/// The announced part has all the time to arrive before the client goes beyond it: what the
/// upstream has then is still no request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_outgrows_its_length_never_arrives_whole() {
    let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let gate = Gate::new(origin.address()).await;
    let mut client = gate.open(Kind::Plain, &[]).await;
    let head = headers(1, END_HEADERS, request("POST", "/", &[("content-length", "4")]));
    client.send(&[head, data(1, 0, "body")].concat()).await.unwrap();
    let nearly = |all: &[Connection]| all.first().is_some_and(|it| it.bytes.ends_with(b"bod"));
    assert!(origin.until(WITHIN, nearly).await, "{:?}", origin.connections());
    client.send(&data(1, END_STREAM, "GET /two HTTP/1.1\r\nhost: b\r\n\r\n")).await.unwrap();
    client.until(|seen| matches!(seen, Seen::Reset { .. })).await.unwrap();
    assert!(origin.until(WITHIN, |all| all[0].ended).await);
    assert!(origin.requests().is_empty() && origin.connections()[0].bytes.ends_with(b"bod"));
}

/// How a request on stream 1 ends: its status, or `reset`, or `closed` with the connection.
async fn ask(gate: &Gate, frames: &[u8]) -> String {
    let mut client = gate.open(Kind::Plain, &[]).await;
    client.send(frames).await.unwrap();
    let mut status = "none".to_owned();
    loop {
        match client.next().await {
            Ok(Some(Seen::Reset { .. })) => return "reset".to_owned(),
            Ok(Some(seen)) => {
                if let Some(code) = seen.status() {
                    status = code.to_owned();
                }
                if seen.ended() == Some(1) {
                    return status;
                }
            }
            Ok(None) => return "closed".to_owned(),
            Err(error) => return error.to_string(),
        }
    }
}

/// A request as the origin understood it.
fn told(request: &Request) -> String {
    let host = request.headers.first("host").unwrap_or("no host");
    let mut text = format!("{} {} {host}", request.method, request.target);
    let mut fields: Vec<_> = request.headers.0.iter().collect();
    fields.sort();
    for (name, value) in fields {
        let name = name.to_ascii_lowercase();
        if name != "host" && !OURS.contains(&name.as_str()) {
            text.push_str(&format!("|{name}: {value}"));
        }
    }
    if !request.body.is_empty() {
        text.push_str(&format!("|{}", String::from_utf8_lossy(&request.body)));
    }
    for (name, value) in &request.trailers.0 {
        text.push_str(&format!("|trailer {name}: {value}"));
    }
    text
}
