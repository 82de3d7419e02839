//! Requests that are in order, whichever way they are framed and kept.

use std::time::Duration;

use portcullis_testkit::origin::{Script, ScriptedOrigin};
use portcullis_testkit::patience::found;

use crate::harness::{Gate, Settings, always, check, get, line, message, observe, post, verdicts};

#[tokio::test]
async fn connections_are_kept_as_both_sides_wish() {
    let old = |headers: &[&str]| message("GET /old HTTP/1.0", headers, "");
    check(vec![
        line("keep-alive", get("/", &[])),
        line("the client wants to close", get("/", &["connection: close"])).sees("200 ok, close"),
        line("HTTP/1.0 closes", old(&[])).sees("200 ok, close"),
        line("HTTP/1.0 may keep", old(&["connection: keep-alive"])),
        line("HTTP/1.0 without a host", "GET / HTTP/1.0\r\n\r\n").sees("200 ok, close"),
        line("two at once", get("/1", &[]) + &get("/2", &[]))
            .sees("200 ok, 200 ok, keep")
            .records("200, 200")
            .origin_sees("GET /1, GET /2"),
        line("the first closes", get("/1", &["connection: close"]) + &get("/2", &[]))
            .sees("200 ok, close")
            .origin_sees("GET /1"),
        line("an empty line before", String::from("\r\n") + &get("/", &[])),
        line("an absolute target", "GET http://b.test/x?y HTTP/1.1\r\nhost: a.test\r\n\r\n")
            .origin_sees("GET /x?y"),
        line("options of everything", message("OPTIONS * HTTP/1.1", &[], "")),
        line("the upstream closes", get("/", &[])).answers_and_closes(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        ),
        line("the upstream is HTTP/1.0", get("/", &[]))
            .answers_and_closes("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        line("a body with its length", post("/", &["content-length: 5"], "hello"))
            .origin_sees("POST / hello"),
        line("a body of nothing", post("/", &["content-length: 0"], "")),
        line(
            "a body in chunks",
            post("/", &["transfer-encoding: chunked"], "5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n"),
        )
        .origin_sees("POST / hello!"),
        line(
            "bodies and requests in one packet",
            post("/1", &["content-length: 5"], "hello")
                + &post("/2", &["transfer-encoding: chunked"], "3\r\nabc\r\n0\r\n\r\n")
                + &get("/3", &[]),
        )
        .sees("200 ok, 200 ok, 200 ok, keep")
        .records("200, 200, 200")
        .origin_sees("POST /1 hello, POST /2 abc, GET /3"),
    ])
    .await;
}

#[tokio::test]
async fn responses_end_where_their_framing_says() {
    check(vec![
        line("HEAD", message("HEAD / HTTP/1.1", &[], ""))
            .answers("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n")
            .sees("200, keep"),
        line("HEAD of chunks", message("HEAD / HTTP/1.1", &[], ""))
            .answers("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .sees("200, keep"),
        line("204", get("/", &[]))
            .answers("HTTP/1.1 204 No Content\r\n\r\n")
            .sees("204, keep")
            .records("204"),
        line("304", get("/", &[]))
            .answers("HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n")
            .sees("304, keep")
            .records("304"),
        line("an empty body", get("/", &[]))
            .answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .sees("200, keep"),
        line("chunks", get("/", &[])).answers(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n",
        ),
        line("chunks for HTTP/1.0", message("GET / HTTP/1.0", &["connection: keep-alive"], ""))
            .answers("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
            .sees("200 ok, close"),
        line("until close", get("/", &[])).answers_and_closes("HTTP/1.1 200 OK\r\n\r\nok"),
        line("until close for HTTP/1.0", message("GET / HTTP/1.0", &[], ""))
            .answers_and_closes("HTTP/1.1 200 OK\r\n\r\nok")
            .sees("200 ok, close"),
        line("nothing until close", get("/", &[]))
            .answers_and_closes("HTTP/1.0 200 OK\r\n\r\n")
            .sees("200, keep"),
    ])
    .await;
}

#[tokio::test]
async fn interim_responses_pass() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let expects = ["expect: 100-continue", "content-length: 5"];
    check(vec![
        line("103", get("/", &[])).answers(format!("{early}{last}")).sees("103, 200 ok, keep"),
        line("two of them", get("/", &[]))
            .answers(format!("{early}HTTP/1.1 102 Processing\r\n\r\n{last}"))
            .sees("103, 102, 200 ok, keep"),
        line("never to HTTP/1.0", message("GET / HTTP/1.0", &[], ""))
            .answers(format!("{early}{last}"))
            .sees("200 ok, close"),
        line("sixteen", get("/", &[])).answers(early.repeat(16) + last).sees(
            "103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 200 ok, keep",
        ),
        line("seventeen", get("/", &[]))
            .answers(early.repeat(17) + last)
            .sees("103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 502 upstream-protocol, keep")
            .records("502 upstream-protocol"),
        line("a refusal without 100", post("/", &expects, ""))
            .origin(Script::new().head().send("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n").stall())
            .sees("403, close")
            .records("403"),
        line("a body in spite of the expectation", post("/", &expects, "hello"))
            .origin(Script::new().head().send("HTTP/1.1 100 Continue\r\n\r\n").request().respond("ok"))
            .sees("100, 200 ok, keep")
            .origin_sees("POST / hello"),
        line("an uninvited 101", get("/", &["connection: upgrade", "upgrade: h2c"]))
            .answers("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
            .sees("502 upstream-protocol, keep")
            .records("502 upstream-protocol"),
    ])
    .await;
}

#[tokio::test]
async fn a_body_waits_for_its_continue() {
    let script = Script::new().head().send("HTTP/1.1 100 Continue\r\n\r\n").request().respond("ok");
    let origin = ScriptedOrigin::start([script]).await.unwrap();
    let gate = Gate::new(Settings::default(), &[origin.address()]).await;
    let mut client = gate.client().await;
    let head = post("/", &["expect: 100-continue", "content-length: 5"], "");
    client.send(head.as_bytes()).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 100);
    client.send(b"hello").await.unwrap();
    assert_eq!(observe(&mut client, false, 1).await, "200 ok, keep");
    assert_eq!(origin.requests()[0].body, b"hello");
}

/// Requests of every framing, cut at every byte: the origin sees the same, the client too.
#[tokio::test]
async fn a_split_at_any_byte_changes_nothing() {
    let bytes = String::from("\r\n")
        + &post("/1", &["content-length: 5"], "hello")
        + &post("/2", &["transfer-encoding: chunked"], "3;q\r\nabc\r\n0\r\nx-t: 1\r\n\r\n")
        + &get("/3", &[]);
    let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let gate = Gate::new(Settings::default(), &[origin.address()]).await;
    for at in 1..bytes.len() {
        let mut client = gate.client().await;
        let (first, second) = bytes.as_bytes().split_at(at);
        client.send_pieces([first, second], Duration::from_millis(1)).await.unwrap();
        let seen = observe(&mut client, false, 3).await;
        assert_eq!(seen, "200 ok, 200 ok, 200 ok, keep", "split at {at}");
    }
    let requests = origin.requests();
    for (index, chunk) in requests.chunks(3).enumerate() {
        let told: Vec<_> = chunk.iter().map(|it| (it.target.as_str(), &it.body[..])).collect();
        assert_eq!(told, [("/1", &b"hello"[..]), ("/2", b"abc"), ("/3", b"")], "run {index}");
        assert_eq!(chunk[1].trailers.first("x-t"), Some("1"));
    }
    assert_eq!(requests.len(), 3 * (bytes.len() - 1));
    let records = gate.records().await;
    assert_eq!(records.len(), requests.len());
    assert!(verdicts(&records).split(", ").all(|verdict| verdict == "200"));
}

#[tokio::test]
async fn many_pipelined_requests_are_answered_in_order() {
    let echo = portcullis_testkit::origin::Origin::start("o").await.unwrap();
    let gate = Gate::new(Settings::default(), &[echo.address()]).await;
    let mut client = gate.client().await;
    let many: String = (0..1000).map(|n| get(&format!("/bytes/{}", n % 50), &[])).collect();
    let (mut sender, count) = (client.send(many.as_bytes()).await, 0..1000);
    sender.as_mut().unwrap();
    for n in count {
        let response = client.response().await.unwrap();
        assert_eq!(response.body.len(), n % 50);
    }
}

/// A response in pieces of every size: the client sees the same, trailers too.
#[tokio::test]
async fn a_response_in_drops_arrives_whole() {
    let bytes = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
                 HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                 3;q=1\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\ncontent-length: 9\r\n\r\n";
    for piece in [1, 2, 3, 5, 7, 11, 40, 70, 100] {
        let script = Script::new().request().drip(bytes, piece, Duration::from_millis(1));
        let origin = ScriptedOrigin::start([script.repeat(Script::new().request())]).await.unwrap();
        let gate = Gate::new(Settings::default(), &[origin.address()]).await;
        let mut client = gate.client().await;
        client.send(get("/", &["te: trailers"]).as_bytes()).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 103);
        let response = client.response().await.unwrap();
        assert_eq!((response.status, response.text()), (200, "abcde".to_owned()));
        assert_eq!(response.headers.first("trailer"), Some("x-sum"));
        assert_eq!(response.trailers.0, [("x-sum".to_owned(), "5".to_owned())], "by {piece}");
        assert!(response.keep_alive());
    }
}

/// Connections that end badly leave nothing behind that harms the next ones.
#[tokio::test]
async fn many_clients_that_go_at_any_time_leave_the_rest_in_order() {
    let origin = portcullis_testkit::origin::Origin::start("o").await.unwrap();
    let settings = Settings {
        upstream: "concurrency: {maxConnections: 4, maxPending: 100}",
        ..Settings::default()
    };
    let gate = Gate::new(settings, &[origin.address()]).await;
    let request = post("/delay/5", &["content-length: 6"], "orders") + &get("/bytes/3000", &[]);
    for at in 1..request.len() {
        let mut client = gate.client().await;
        client.send(&request.as_bytes()[..at]).await.unwrap();
        match at % 3 {
            0 => client.reset().unwrap(),
            1 => drop(client),
            _ => client.half_close().await.unwrap(),
        }
    }
    let mut client = gate.client().await;
    client.send(request.as_bytes()).await.unwrap();
    assert_eq!(client.response().await.unwrap().json()["body"], "orders");
    assert_eq!(client.response().await.unwrap().body.len(), 3000);
    drop(client);
    let begun = gate.records().await;
    // No connection is left that nobody uses any more.
    assert!(begun.iter().all(|record| record["reason"] != "internal"));
    found(async || match origin.open_connections() {
        0 => Ok(()),
        open => Err(format!("{open} connections are still open")),
    })
    .await;
}
