//! What goes wrong at the upstream, and what of it a client is told.

use std::time::Duration;

use portcullis_testkit::lateness::Control;
use portcullis_testkit::origin::{Script, ScriptedOrigin};
use portcullis_testkit::patience::rest;
use tokio::time::timeout;

use crate::harness::{Gate, Settings, always, check, get, line, message, observe, post, verdicts};

const CUT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_broken_response_is_never_a_clean_one() {
    let old = message("GET / HTTP/1.0", &[], "");
    let faulty = |what, bytes: &str| line(what, get("/", &[])).answers_and_closes(bytes);
    let refused = |what, bytes: &str| {
        faulty(what, bytes).sees("502 upstream-protocol, keep").records("502 upstream-protocol")
    };
    let cut = |what, bytes: &str| faulty(what, bytes).sees("cut").records("200 upstream-truncated");
    check(vec![
        line("closed before the head", get("/", &[]))
            .origin(Script::new().request().close())
            .sees("502 upstream-reset, keep")
            .records("502 upstream-reset"),
        line("reset before the head", get("/", &[]))
            .origin(Script::new().request().reset())
            .sees("502 upstream-reset, keep")
            .records("502 upstream-reset"),
        line("a POST is not sent twice", post("/", &["content-length: 2"], "hi"))
            .origins([Script::new().request().close(), always("twice")])
            .sees("502 upstream-reset, keep")
            .records("502 upstream-reset"),
        faulty("half a head", "HTTP/1.1 200 OK\r\ncontent-")
            .sees("502 upstream-reset, keep")
            .records("502 upstream-reset"),
        cut("a length cut short", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
        cut("no byte of a body", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
        cut("chunks cut short", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf"),
        cut(
            "chunks without an end",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ),
        line("chunks cut short for HTTP/1.0", &old)
            .answers_and_closes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf")
            .sees("reset")
            .records("200 upstream-truncated"),
        line("a reset until close", get("/", &[]))
            .origin(
                Script::new()
                    .request()
                    .send("HTTP/1.1 200 OK\r\n\r\nhalf")
                    .delay(Duration::from_millis(100))
                    .reset(),
            )
            .sees("cut")
            .records("200 upstream-truncated"),
        line("a reset until close for HTTP/1.0", &old)
            .origin(
                Script::new()
                    .request()
                    .send("HTTP/1.1 200 OK\r\n\r\nhalf")
                    .delay(Duration::from_millis(100))
                    .reset(),
            )
            .sees("reset")
            .records("200 upstream-truncated"),
        refused("garbage", "SSH-2.0-OpenSSH_9.9\r\n"),
        refused(
            "two lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
        ),
        refused(
            "a length and chunks",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        refused("a bare LF", "HTTP/1.1 200 OK\ncontent-length: 2\r\n\r\nok"),
        refused(
            "an odd chunk size at once",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
        ),
        refused("a 204 with a body", "HTTP/1.1 204 No\r\ncontent-length: 2\r\n\r\nok"),
        line("an endless head", get("/", &[]))
            .answers(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(70_000)))
            .sees("502 upstream-head-too-large, keep")
            .records("502 upstream-head-too-large"),
        line("an odd chunk size later", get("/", &[]))
            .origin(
                Script::new()
                    .request()
                    .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
                    .delay(Duration::from_millis(100))
                    .send("-1\r\n\r\n")
                    .stall(),
            )
            .sees("cut")
            .records("200 upstream-protocol"),
    ])
    .await;
}

#[tokio::test]
async fn a_connection_that_may_be_out_of_step_is_not_used_again() {
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let extra = format!("{whole}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison");
    let both = get("/1", &[]) + &get("/2", &[]);
    let one = |script: Script| [script, always("fresh")];
    check(
        [
            line("extra bytes", &both).origins(one(Script::new().request().send(&extra).stall())),
            line("extra bytes after HEAD", message("HEAD / HTTP/1.1", &[], ""))
                .origins(one(Script::new().request().send(whole).stall()))
                .sees("200, keep"),
            line("connection: close", &both).origins(one(Script::new()
                .request()
                .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .stall())),
        ]
        .map(|line| {
            if line.send.starts_with(b"GET") {
                line.sees("200 ok, 200 fresh, keep").records("200, 200")
            } else {
                line
            }
        }),
    )
    .await;
}

/// A connection of `script`, which answers "ok" to its first request, once this has come about.
async fn is_not_used_again(script: Script, after: impl AsyncFnOnce(&ScriptedOrigin)) {
    let origin = ScriptedOrigin::start([script, always("fresh")]).await.unwrap();
    let gate = Gate::new(Settings::default(), &[origin.address()]).await;
    let mut client = gate.client().await;
    client.send(get("/1", &[]).as_bytes()).await.unwrap();
    assert_eq!(observe(&mut client, false, 1).await, "200 ok, keep");
    after(&origin).await;
    client.send(get("/2", &[]).as_bytes()).await.unwrap();
    assert_eq!(observe(&mut client, false, 1).await, "200 fresh, keep");
}

#[tokio::test]
async fn extra_bytes_that_come_later_poison_nobody() {
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let late = Script::new()
        .request()
        .send(whole)
        .hold()
        .send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
        .stall();
    is_not_used_again(late, async |origin| {
        origin.go_on();
        assert!(origin.until(CUT, |all| all[0].sent == 2).await);
    })
    .await;
}

#[tokio::test]
async fn a_stale_connection_costs_no_request() {
    let script = Script::new().request().respond("ok").close();
    let origin = ScriptedOrigin::start([script.clone()]).await.unwrap();
    let gate = Gate::new(Settings::default(), &[origin.address()]).await;
    let mut client = gate.client().await;
    for n in 1..=5 {
        client.send(post("/", &["content-length: 1"], "x").as_bytes()).await.unwrap();
        assert_eq!(observe(&mut client, false, 1).await, "200 ok, keep", "request {n}");
        assert!(origin.until(CUT, |all| all.len() == n && all[n - 1].ended).await);
    }
}

#[tokio::test]
async fn a_hint_of_the_upstream_is_obeyed() {
    let hinted = Script::new()
        .request()
        .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=1\r\n\r\nok")
        .repeat(Script::new().request().respond("late"));
    // Long enough is all that it must be: half of what is hinted at is trusted.
    is_not_used_again(hinted, async |_| rest(Duration::from_millis(600)).await).await;
}

/// A socket whose queue is full: the kernel drops what asks for a connection.
#[tokio::test]
async fn a_connect_that_nobody_answers_ends_at_its_deadline() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = socket.listen(1).unwrap();
    let address = silent.local_addr().unwrap();
    let mut queued = Vec::new();
    let full = Duration::from_millis(100);
    while let Ok(stream) = timeout(full, tokio::net::TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    let settings = Settings {
        upstream: "connectTimeout: 800ms",
        route: "retry: {retries: 0}",
        ..Settings::default()
    };
    let gate = Gate::new(settings, &[address]).await;
    let mut client = gate.client().await;
    let control = Control::start();
    client.send(get("/", &[]).as_bytes()).await.unwrap();
    assert_eq!(observe(&mut client, false, 1).await, "504 upstream-connect-timeout, keep");
    let (elapsed, taken) = (control.elapsed(), control.taken());
    assert!(elapsed.as_millis() >= 720, "after {elapsed:?} already");
    assert!(taken.as_millis() <= 880, "after {taken:?}");
    drop(client);
    assert_eq!(verdicts(&gate.records().await), "504 upstream-connect-timeout");
}

#[tokio::test]
async fn a_refused_connection_is_tried_elsewhere_once() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::new(Settings::default(), &[gone]).await;
    let mut client = gate.client().await;
    client.send(get("/", &[]).as_bytes()).await.unwrap();
    let control = Control::start();
    assert_eq!(observe(&mut client, false, 1).await, "503 upstream-connect-failed, keep");
    assert!(control.taken() < Duration::from_millis(500), "{:?}", control.taken());
    drop(client);
    let records = gate.records().await;
    assert_eq!(verdicts(&records), "503 upstream-connect-failed");

    let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let gate = Gate::new(Settings::default(), &[gone, origin.address()]).await;
    let mut client = gate.client().await;
    for _ in 0..10 {
        client.send(post("/", &["content-length: 2"], "hi").as_bytes()).await.unwrap();
        assert_eq!(observe(&mut client, false, 1).await, "200 ok, keep");
    }
    drop(client);
    let attempts: u64 =
        gate.records().await.iter().map(|record| record["attempts"].as_u64().unwrap()).sum();
    assert!((11..=20).contains(&attempts), "{attempts} attempts for ten requests");
}
