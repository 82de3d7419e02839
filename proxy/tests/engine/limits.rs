//! What a client may send, and how long everybody may take.

use std::time::Duration;

use portcullis_testkit::client::{End, RawClient};
use portcullis_testkit::lateness::Control;
use portcullis_testkit::origin::{Script, ScriptedOrigin};
use portcullis_testkit::patience::until;
use portcullis_testkit::unverified::taking_any_certificate;

use crate::harness::{Gate, Settings, always, check, get, line, message, observe, post, verdicts};

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let chunked = ["transfer-encoding: chunked"];
    check([
        line("a declared body", post("/", &["content-length: 11"], "hello world"))
            .listener("requestLimits: {body: 10}")
            .sees("413 body-too-large, close")
            .records("413 body-too-large")
            .origin_sees("nothing"),
        line(
            "a declared body that waits",
            post("/", &["content-length: 11", "expect: 100-continue"], ""),
        )
        .route("requestLimits: {body: 10}")
        .sees("413 body-too-large, close")
        .records("413 body-too-large"),
        line("a body that just fits", post("/", &["content-length: 10"], "hello worl"))
            .route("requestLimits: {body: 10}"),
        line("chunks at once", post("/", &chunked, "b\r\nhello world\r\n0\r\n\r\n"))
            .route("requestLimits: {body: 10}")
            .sees("413 body-too-large, close")
            .records("413 body-too-large"),
        line("a long target", get(&format!("/{}", "x".repeat(17_000)), &[]))
            .sees("414 uri-too-long, close")
            .records("414 uri-too-long"),
        line("a long head", get("/", &[&format!("x: {}", "y".repeat(62_000))]))
            .sees("431 head-too-large, close")
            .records("431 head-too-large"),
        line("many lines", get("/", &vec!["x: y"; 101]))
            .sees("431 head-too-large, close")
            .records("431 head-too-large"),
        line(
            "a long trailer",
            post("/", &chunked, &format!("0\r\nx: {}\r\n\r\n", "y".repeat(70_000))),
        )
        .sees("431 head-too-large, close")
        .records("431 head-too-large"),
    ])
    .await;
}

#[tokio::test]
async fn chunks_are_counted_on_their_way() {
    let origin = ScriptedOrigin::start([Script::new().request().respond("?")]).await.unwrap();
    let settings = Settings { route: "requestLimits: {body: 10}", ..Settings::default() };
    let gate = Gate::new(settings, &[origin.address()]).await;
    let mut client = gate.client().await;
    client
        .send(post("/", &["transfer-encoding: chunked"], "4\r\nhalf\r\n").as_bytes())
        .await
        .unwrap();
    let five = Duration::from_secs(5);
    assert!(origin.until(five, |all| all.iter().any(|it| it.bytes.ends_with(b"half\r\n"))).await);
    client.send(b"8\r\nand more\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(observe(&mut client, false, 1).await, "413 body-too-large, close");
    assert!(origin.until(five, |all| all[0].ended).await, "the upstream's connection stays open");
    assert_eq!(verdicts(&gate.records().await), "413 body-too-large");
}

#[tokio::test]
async fn requests_that_cannot_pass_are_named() {
    let whole = get("/", &[]);
    check([
        line("no such route", &whole)
            .route("match: {path: {prefix: /api}}")
            .sees("404 no-route, keep")
            .records("404 no-route"),
        line("another method", &whole)
            .route("match: {methods: [POST]}")
            .sees("404 no-route, keep")
            .records("404 no-route"),
        line("no host", "GET / HTTP/1.1\r\n\r\n")
            .sees("400 bad-host, close")
            .records("400 bad-host"),
        line("two hosts", get("/", &["host: b.test"]))
            .sees("400 bad-host, close")
            .records("400 bad-host"),
        line("a path that climbs", get("/../../etc/passwd", &[]))
            .sees("400 bad-path, keep")
            .records("400 bad-path"),
        line("HTTP/2.0", "GET / HTTP/2.0\r\nhost: a\r\n\r\n")
            .sees("400 bad-request, close")
            .records("400 bad-request"),
        line("no HTTP", "\x16\x03\x01\x02\0\x01\0\x01")
            .sees("400 bad-request, close")
            .records("400 bad-request"),
        line("a tunnel", "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n")
            .sees("501 method-unsupported, close")
            .records("501 method-unsupported"),
        line(
            "a refused body ends the connection",
            post("/", &["content-length: 3"], "abc") + &whole,
        )
        .route("match: {path: {prefix: /api}}")
        .sees("404 no-route, close")
        .records("404 no-route"),
        line("what a HEAD is told", message("HEAD / HTTP/1.1", &[], "") + &whole)
            .route("match: {path: {prefix: /api}}")
            .sees("404, 404, keep")
            .records("404 no-route, 404 no-route"),
        line("HTTP/1.0 is told as well", message("GET / HTTP/1.0", &[], ""))
            .route("match: {path: {prefix: /api}}")
            .sees("404 no-route, close")
            .records("404 no-route"),
    ])
    .await;
}

/// Each request is refused, or arrives as one unambiguous message: never two.
#[tokio::test]
async fn nothing_is_smuggled() {
    let next = "GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let bad: &[(&str, &[&str], &str)] = &[
        ("length and chunks", &["content-length: 4", "transfer-encoding: chunked"], "0\r\n\r\n"),
        ("two lengths", &["content-length: 0", "content-length: 40"], ""),
        ("a list of lengths", &["content-length: 0, 0"], ""),
        ("a signed length", &["content-length: +0"], ""),
        ("a length with a space", &["content-length: 1 0"], ""),
        ("an empty length", &["content-length:"], ""),
        (
            "two codings",
            &["transfer-encoding: chunked", "transfer-encoding: identity"],
            "0\r\n\r\n",
        ),
        ("chunked twice", &["transfer-encoding: chunked, chunked"], "0\r\n\r\n"),
        ("a hidden coding", &["transfer-encoding: xchunked"], "0\r\n\r\n"),
        ("a folded line", &["x: y", " transfer-encoding: chunked"], "0\r\n\r\n"),
        ("a space before the colon", &["transfer-encoding : chunked"], "0\r\n\r\n"),
        ("a vertical tab", &["transfer-encoding: \x0bchunked"], "0\r\n\r\n"),
        ("a bare CR", &["x: y\rcontent-length: 40"], ""),
        ("a bare LF", &["x: y\ncontent-length: 40"], ""),
        ("a NUL", &["x: y\0"], ""),
        ("an underscore", &["content_length: 40"], ""),
        ("a nameless line", &[": y"], ""),
        ("an LF ends a chunk size", &["transfer-encoding: chunked"], "0\n\r\n"),
        ("a chunk that is too long", &["transfer-encoding: chunked"], "1\r\nab\r\n0\r\n\r\n"),
        ("a huge chunk size", &["transfer-encoding: chunked"], "11111111111111111\r\n"),
        ("a hex prefix", &["transfer-encoding: chunked"], "0x0\r\n\r\n"),
    ];
    for (what, headers, body) in bad {
        let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
        let gate = Gate::new(Settings::default(), &[origin.address()]).await;
        let mut client = gate.client().await;
        client.send((post("/first", headers, body) + next).as_bytes()).await.unwrap();
        let seen = observe(&mut client, false, 1).await;
        assert!(seen.starts_with('4') || seen.starts_with('5'), "{what}: {seen}");
        assert!(seen.ends_with("close"), "{what}: {seen}");
        drop(client);
        gate.records().await;
        assert!(origin.requests().is_empty(), "{what}: {:?}", origin.requests());
    }
    let odd: &[(&str, &[&str], &str, &str)] = &[
        ("an extension", &["transfer-encoding: chunked"], "3;a=\"b\"\r\nabc\r\n0;z\r\n\r\n", "abc"),
        (
            "framing in a trailer",
            &["transfer-encoding: chunked"],
            "0\r\ncontent-length: 9\r\nhost: b\r\n\r\n",
            "",
        ),
        ("an empty value", &["x:"], "", ""),
        ("upper case", &["TRANSFER-ENCODING: Chunked"], "1\r\na\r\n0\r\n\r\n", "a"),
        ("a nominated host", &["connection: host, content-length", "content-length: 1"], "a", "a"),
    ];
    for (what, headers, body, arrives) in odd {
        let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
        let gate = Gate::new(Settings::default(), &[origin.address()]).await;
        let mut client = gate.client().await;
        client
            .send((post("/first", headers, body) + &get("/second", &[])).as_bytes())
            .await
            .unwrap();
        assert_eq!(observe(&mut client, false, 2).await, "200 ok, 200 ok, keep", "{what}");
        let connection = &origin.connections()[0];
        assert_eq!(connection.malformed, None, "{what}");
        assert_eq!(connection.requests[0].body, arrives.as_bytes(), "{what}");
        assert_eq!(connection.requests[0].headers.all("host").collect::<Vec<_>>(), ["a.test"]);
        assert!(connection.requests[0].trailers.0.is_empty(), "{what}");
        assert_eq!(connection.requests[1].target, "/second", "{what}");
    }
}

/// The time until the client sees this, which must be that of the limit.
async fn takes(
    settings: Settings,
    origin: Script,
    send: &[u8],
    see: &str,
    record: &str,
    limit: u64,
) {
    let origin = ScriptedOrigin::start([origin]).await.unwrap();
    let gate = Gate::new(settings, &[origin.address()]).await;
    let mut client = gate.client().await;
    let control = Control::start();
    client.send(send).await.unwrap();
    let seen = observe(&mut client, false, see.split(", ").count() - 1).await;
    let (elapsed, taken) = (control.elapsed(), control.taken());
    assert_eq!(seen, see);
    let limit = Duration::from_millis(limit);
    assert!(elapsed >= limit.mul_f64(0.9), "{see} after {elapsed:?} of {limit:?}");
    assert!(
        taken <= limit.mul_f64(1.1) + Duration::from_millis(400),
        "{see} after {taken:?} of {limit:?}"
    );
    drop(client);
    assert_eq!(verdicts(&gate.records().await), record);
}

#[tokio::test]
async fn slow_clients_are_cut() {
    let timeouts = "timeouts: {head: 500ms, idle: 700ms, body: 600ms}";
    let settings = Settings { listener: timeouts, ..Settings::default() };
    let half = b"GET / HTTP/1.1\r\nhost: a";
    takes(settings, always("ok"), b"", "close", "", 500).await;
    takes(settings, always("ok"), half, "408 head-timeout, close", "408 head-timeout", 500).await;
    let kept = get("/", &[]);
    // The second one is never sent.
    takes(settings, always("ok"), kept.as_bytes(), "200 ok, keep", "200", 0).await;
    for body in [
        post("/", &["content-length: 9"], "half"),
        post("/", &["content-length: 9", "expect: 100-continue"], "half"),
        post("/", &["transfer-encoding: chunked"], "9\r\nhalf"),
    ] {
        let reads = Script::new().request().respond("ok");
        let (seen, recorded) = ("408 body-timeout, close", "408 body-timeout");
        takes(settings, reads, body.as_bytes(), seen, recorded, 600).await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let settings = Settings { listener: "timeouts: {idle: 500ms}", ..Settings::default() };
    let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let gate = Gate::new(settings, &[origin.address()]).await;
    let mut client = gate.client().await;
    client.send(get("/", &[]).as_bytes()).await.unwrap();
    assert_eq!(observe(&mut client, false, 1).await, "200 ok, keep");
    let control = Control::start();
    assert_eq!(client.read_to_end().await.unwrap(), (Vec::new(), End::Closed));
    assert!(control.elapsed().as_millis() >= 400, "{:?}", control.elapsed());
    assert!(control.taken().as_millis() < 1000, "{:?}", control.taken());
}

/// At its age a connection takes one last request, whose response says so; a quiet one is closed.
#[tokio::test]
async fn an_old_connection_takes_no_more_requests() {
    let late = Duration::from_millis(900);
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nlo";
    let slow = Script::new().request().send(begun).delay(late).send("nger");
    let ages = async |what, tls, script, expected: &'static str| {
        let origin = ScriptedOrigin::start([script]).await.unwrap();
        let blocks = format!(
            "listeners: [{{name: front, address: \"127.0.0.1:0\", tls: {tls}, \
             connectionLimits: {{maxAge: 600ms}}}}]\n\
             upstreams: [{{name: back, endpoints: [{{address: \"{}\"}}]}}]\n\
             routes: [{{name: all, backends: [{{upstream: back}}]}}]\n",
            origin.address()
        );
        let gate = Gate::of(&blocks.replace("tls: false, ", "")).await;
        let mut client = match tls {
            "false" => gate.client().await,
            _ => {
                let tls = taking_any_certificate("localhost").unwrap();
                RawClient::connect_tls(gate.address, &tls).await.unwrap()
            }
        };
        let mut seen = Vec::new();
        for _ in expected.matches("200") {
            client.send(get("/", &[]).as_bytes()).await.unwrap();
            seen.push(observe(&mut client, false, 1).await);
        }
        if expected.ends_with("quiet") {
            let (rest, end) = client.read_to_end().await.unwrap();
            assert_eq!((rest.len(), end), (0, End::Closed), "{what}, {tls}");
            seen.push("quiet".to_owned());
        }
        assert_eq!(seen.join(", "), expected, "{what}, {tls}");
    };
    let both = async |what, script: Script, expected| {
        let plain = ages(what, "false", script.clone(), expected);
        tokio::join!(plain, ages(what, "{selfSigned: true}", script, expected));
    };
    tokio::join!(
        both("waiting", Script::new().request().delay(late).respond("late"), "200 late, close"),
        both("answering", slow.request().respond("last"), "200 longer, keep, 200 last, close"),
        both("nothing to do", always("ok"), "200 ok, keep, quiet"),
    );
}

#[tokio::test]
async fn slow_upstreams_are_cut() {
    let settings = Settings {
        route: "timeouts: {response: 2s, perTry: 500ms, idle: 700ms}",
        ..Settings::default()
    };
    let ask = get("/", &[]);
    let ask = ask.as_bytes();
    let late = "504 upstream-timeout, keep";
    takes(settings, Script::new().request().stall(), ask, late, "504 upstream-timeout", 500).await;
    let half = Script::new().request().send("HTTP/1.1 200 OK\r\ncontent-le").stall();
    takes(settings, half, ask, late, "504 upstream-timeout", 500).await;
    let hints = Script::new().request().send("HTTP/1.1 103 Hints\r\n\r\n").stall();
    takes(settings, hints, ask, "103, 504 upstream-timeout, keep", "504 upstream-timeout", 500)
        .await;
    let body =
        Script::new().request().send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").stall();
    takes(settings, body, ask, "cut", "200 upstream-idle", 700).await;
    let expects = post("/", &["expect: 100-continue", "content-length: 9"], "");
    let silent = Script::new().head().stall();
    takes(
        settings,
        silent,
        expects.as_bytes(),
        "504 upstream-timeout, close",
        "504 upstream-timeout",
        500,
    )
    .await;
    let patient = Settings {
        route: "timeouts: {response: 600ms, perTry: 600ms}, retry: {retries: 2}",
        ..settings
    };
    takes(patient, Script::new().request().stall(), ask, late, "504 upstream-timeout", 600).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let settings = Settings { listener: "connectionLimits: {max: 2}", ..Settings::default() };
    let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let gate = Gate::new(settings, &[origin.address()]).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = gate.client().await;
        client.send(get("/", &[]).as_bytes()).await.unwrap();
        assert_eq!(observe(&mut client, false, 1).await, "200 ok, keep");
        kept.push(client);
    }
    let mut third = gate.client().await;
    let end = third.read_to_end().await.unwrap();
    assert!(end.0.is_empty());
    drop(kept);
    // Its place is free again as soon as the proxy has seen one go.
    until("there is a place again", async || {
        let mut client = gate.client().await;
        // A connection that was closed at once may refuse even this.
        let _ = client.send(get("/", &[]).as_bytes()).await;
        observe(&mut client, false, 1).await == "200 ok, keep"
    })
    .await;
}
