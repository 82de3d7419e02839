//! How connections end: by silence, by clients that vanish, by a drain.

use std::time::Duration;

use portcullis_testkit::h2::frame::{
    END_HEADERS, END_STREAM, INITIAL_WINDOW_SIZE, WHOLE, code_name, continuation, data, get,
    headers, ping, pong, request, reset, window_update,
};
use portcullis_testkit::h2::{H2Client, Seen};
use portcullis_testkit::lateness::Control;
use portcullis_testkit::origin::{Script, ScriptedOrigin};

use crate::harness::{Gate, KINDS, Kind, always};

const LONG: Duration = Duration::from_secs(10);
const SHORT: &str = "timeouts: {head: 300ms, body: 300ms, idle: 300ms}";
/// What a goodbye names before it is known which stream is the last.
const ANY: u32 = 0x7fff_ffff;

/// The words of every frame until the connection ends; pings are answered if `polite`.
async fn farewell(client: &mut H2Client, polite: bool) -> String {
    let mut words = Vec::new();
    loop {
        match client.next().await {
            Ok(Some(Seen::GoAway { last: ANY, code })) => words.push(code_name(code).to_owned()),
            Ok(Some(Seen::GoAway { last, code })) => {
                words.push(format!("{} {last}", code_name(code)));
            }
            Ok(Some(Seen::Ping { ack: false, payload })) if polite => {
                client.send(&pong(payload)).await.unwrap();
            }
            Ok(Some(Seen::Reset { stream, code })) => {
                words.push(format!("reset {stream} {}", code_name(code)));
            }
            Ok(Some(head)) => {
                if let Some(status) = head.status() {
                    words.push(status.to_owned());
                }
            }
            Ok(None) => words.push("close".to_owned()),
            Err(error) => words.push(error.to_string()),
        }
        if words.last().is_some_and(|word| word == "close" || word.contains("in time")) {
            return words.join(", ");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_a_connection() {
    let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let gate = Gate::with(SHORT, "", origin.address()).await;
    let whole = headers(1, WHOLE, get("/", &[]));
    for kind in KINDS {
        let check = async |name: &str, frames: &[Vec<u8>], polite: bool, expected: &str| {
            let mut client = gate.open(kind, &[]).await;
            client.send(&frames.concat()).await.unwrap();
            assert_eq!(farewell(&mut client, polite).await, expected, "{kind:?}: {name}");
        };
        check(
            "after a request",
            std::slice::from_ref(&whole),
            true,
            "200, NO_ERROR, NO_ERROR 1, close",
        )
        .await;
        check("before any request", &[], true, "NO_ERROR, NO_ERROR 0, close").await;
        check("a ping is no request", &[ping(*b"are you ")], true, "NO_ERROR, NO_ERROR 0, close")
            .await;
        check("not even a pong comes", std::slice::from_ref(&whole), false, "200, NO_ERROR, close")
            .await;
        let mut silent = gate.connect(kind).await;
        // What a server says before it has heard anything is no answer.
        assert_eq!(farewell(&mut silent, false).await, "close", "{kind:?}: without a preface");
    }
}

/// The end of such a stream is no frame: its connection must hear of it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_counts_from_the_end_of_a_stream_that_was_taken_back() {
    let origin = ScriptedOrigin::start([Script::new().request().stall()]).await.unwrap();
    let gate = Gate::with(SHORT, "", origin.address()).await;
    let mut client = gate.open(Kind::Plain, &[]).await;
    client.send(&headers(1, WHOLE, get("/", &[]))).await.unwrap();
    assert!(origin.until(LONG, |connections| !connections.is_empty()).await);
    client.send(&reset(1, 8)).await.unwrap();
    assert_eq!(farewell(&mut client, true).await, "NO_ERROR, NO_ERROR 1, close");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanishes_holds_nothing() {
    for kind in KINDS {
        let origin = ScriptedOrigin::start([always("ok")]).await.unwrap();
        let gate = Gate::with(SHORT, "", origin.address()).await;
        // It is still there for the kernel, and says nothing more in the middle of a body.
        let mut client = gate.open(kind, &[]).await;
        let half = [headers(1, END_HEADERS, request("POST", "/", &[])), data(1, 0, "half")];
        client.send(&half.concat()).await.unwrap();
        let told = farewell(&mut client, false).await;
        assert!(told.starts_with("408") && told.ends_with("NO_ERROR, close"), "{kind:?}: {told}");

        // It is gone.
        let mut client = gate.open(kind, &[]).await;
        client.send(&half.concat()).await.unwrap();
        assert!(origin.until(LONG, |connections| connections.len() >= 2).await);
        drop(client);
        assert!(origin.until(LONG, |connections| connections.iter().all(|it| it.ended)).await);
        let records = gate.records().await;
        let reasons: Vec<_> = records.iter().map(|record| record["reason"].as_str()).collect();
        assert_eq!(reasons, [Some("body-timeout"), Some("client-aborted")], "{kind:?}");
        assert_eq!(origin.requests().len(), 0, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_finishes_what_was_begun() {
    for kind in KINDS {
        let slow = Script::new().request().delay(Duration::from_millis(400)).respond("late");
        let origin = ScriptedOrigin::start([slow]).await.unwrap();
        let mut gate = Gate::new(origin.address()).await;
        let mut client = gate.open(kind, &[]).await;
        client.send(&headers(1, WHOLE, get("/one", &[]))).await.unwrap();
        assert!(origin.until(LONG, |connections| !connections.is_empty()).await);
        let talk = async {
            let goodbye = client.until(|seen| matches!(seen, Seen::GoAway { .. })).await.unwrap();
            assert_eq!(goodbye, Seen::GoAway { last: ANY, code: 0 });
            // It is on its way when the goodbye comes, and taken.
            client.send(&headers(3, WHOLE, get("/three", &[]))).await.unwrap();
            let probe = client.until(|seen| matches!(seen, Seen::Ping { .. })).await.unwrap();
            let Seen::Ping { payload, .. } = probe else { unreachable!() };
            client.send(&pong(payload)).await.unwrap();
            let goodbye = client.until(|seen| matches!(seen, Seen::GoAway { .. })).await.unwrap();
            assert_eq!(goodbye, Seen::GoAway { last: 3, code: 0 });
            // It came too late, as its client can know.
            client.send(&headers(5, WHOLE, get("/five", &[]))).await.unwrap();
            farewell(&mut client, true).await
        };
        let (told, ()) = tokio::join!(talk, gate.drain(LONG));
        assert_eq!(told, "200, 200, close", "{kind:?}");
        let mut reached: Vec<_> = origin.requests().into_iter().map(|it| it.target).collect();
        reached.sort();
        assert_eq!(reached, ["/one", "/three"], "{kind:?}");
    }
}

/// At its age a connection says goodbye as in a drain; a long stream has the time it needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_says_goodbye() {
    let slow = Script::new().request().delay(Duration::from_millis(900)).respond("late");
    let origin = ScriptedOrigin::start([slow, always("ok")]).await.unwrap();
    let gate = Gate::with("connectionLimits: {maxAge: 300ms}", "", origin.address()).await;
    for kind in KINDS {
        let mut quiet = gate.open(kind, &[]).await;
        assert_eq!(farewell(&mut quiet, true).await, "NO_ERROR, NO_ERROR 0, close", "{kind:?}");

        let mut client = gate.open(kind, &[]).await;
        client.send(&headers(1, WHOLE, get("/", &[]))).await.unwrap();
        let probe = client.until(|seen| matches!(seen, Seen::Ping { ack: false, .. }));
        let Seen::Ping { payload, .. } = probe.await.unwrap() else { unreachable!() };
        let late = [headers(3, WHOLE, get("/", &[])), pong(payload)].concat();
        client.send(&late).await.unwrap();
        let told = farewell(&mut client, true).await;
        assert!(told.ends_with("200, close") && told.contains("NO_ERROR 3"), "{kind:?}: {told}");
    }
}

/// A client that never answers the goodbye could go on for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_that_is_not_heard_is_meant_all_the_same() {
    let slow = Script::new().request().delay(Duration::from_millis(2500)).respond("late");
    let origin = ScriptedOrigin::start([slow, always("quick")]).await.unwrap();
    let mut gate = Gate::new(origin.address()).await;
    let mut client = gate.open(Kind::Plain, &[]).await;
    client.send(&headers(1, WHOLE, get("/slow", &[]))).await.unwrap();
    assert!(origin.until(LONG, |connections| !connections.is_empty()).await);
    let talk = async {
        client.until(|seen| matches!(seen, Seen::GoAway { .. })).await.unwrap();
        let mut stream = 1;
        loop {
            stream += 2;
            client.send(&headers(stream, WHOLE, get("/quick", &[]))).await.unwrap();
            let ended = client.until(|seen| seen.ended() == Some(stream)).await.unwrap();
            if let Seen::Reset { code, .. } = ended {
                assert_eq!(code_name(code), "REFUSED_STREAM");
                break;
            }
        }
        farewell(&mut client, false).await
    };
    let (told, ()) = tokio::join!(talk, gate.drain(LONG));
    assert_eq!(told, "200, close");
}

/// Neither in pieces of its own nor in one that does not end: the time of a head is that of HTTP/1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_dribbles_in_ends_its_connection() {
    let origin = ScriptedOrigin::start([Script::new().request().stall()]).await.unwrap();
    let gate = Gate::with("timeouts: {head: 500ms}", "", origin.address()).await;
    let whole = headers(5, WHOLE, get("/", &[]));
    let pieces = |_| continuation(5, 0, []);
    let open = headers(5, END_STREAM, get("/", &[]));
    let bytes = |at: usize| vec![whole[10 + at]];
    let busy = headers(1, END_HEADERS, request("POST", "/", &[]));
    type Piece<'a> = &'a dyn Fn(usize) -> Vec<u8>;
    let cases: [(&str, &[u8], &[u8], Piece<'_>); 3] = [
        ("pieces without an end", &[], &open, &pieces),
        ("a frame byte by byte", &[], &whole[..10], &bytes),
        ("beside a body that waits", &busy, &open, &pieces),
    ];
    for (name, before, first, piece) in cases {
        let mut client = gate.open(Kind::Plain, &[]).await;
        client.send(&[before, first].concat()).await.unwrap();
        let control = Control::start();
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let mut sent = 0;
        let ended = loop {
            tokio::select! {
                seen = client.next() => match seen.unwrap() {
                    Some(Seen::GoAway { code, .. }) => break code_name(code),
                    Some(_) => {}
                    None => break "closed",
                },
                _ = ticks.tick() => {
                    // Whoever is hung up on is told so by what it reads.
                    let _ = client.send(&piece(sent)).await;
                    sent += 1;
                }
            }
        };
        assert_eq!(ended, "ENHANCE_YOUR_CALM", "{name}");
        let (elapsed, taken) = (control.elapsed(), control.taken());
        assert!(elapsed.as_millis() >= 400, "{name}: after {elapsed:?} already");
        assert!(taken.as_millis() < 1000, "{name}: after {taken:?}");
    }
}

/// A byte now and then is no progress, whoever made the answer: this one is the proxy's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dribbling_reader_of_a_refusal_is_cut() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::with("timeouts: {body: 1s}", "", gone).await;
    let mut client = gate.open(Kind::Plain, &[(INITIAL_WINDOW_SIZE, 1)]).await;
    client.send(&headers(1, WHOLE, get("/", &[]))).await.unwrap();
    let control = Control::start();
    let mut more = tokio::time::interval(Duration::from_millis(50));
    let ended = loop {
        tokio::select! {
            seen = client.next() => match seen.unwrap().unwrap() {
                seen if seen.ended() == Some(1) => break seen,
                _ => {}
            },
            _ = more.tick() => client.send(&window_update(1, 1)).await.unwrap(),
        }
    };
    assert!(matches!(ended, Seen::Reset { .. }), "{ended:?}");
    assert!(control.taken() < Duration::from_secs(2), "after {:?}", control.taken());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_dribbles_in_is_cut() {
    let origin = ScriptedOrigin::start([Script::new().request().stall()]).await.unwrap();
    let gate = Gate::with("timeouts: {body: 1s}", "", origin.address()).await;
    let mut client = gate.open(Kind::Plain, &[]).await;
    client.send(&headers(1, END_HEADERS, request("POST", "/", &[]))).await.unwrap();
    let control = Control::start();
    let mut more = tokio::time::interval(Duration::from_millis(50));
    let status = loop {
        tokio::select! {
            seen = client.next() => if let Some(status) = seen.unwrap().unwrap().status() {
                break status.to_owned();
            },
            _ = more.tick() => client.send(&data(1, 0, "x")).await.unwrap(),
        }
    };
    let (elapsed, taken) = (control.elapsed(), control.taken());
    assert_eq!(status, "408");
    assert!(elapsed.as_millis() >= 900, "after {elapsed:?} already");
    assert!(taken.as_millis() < 2_000, "after {taken:?}");
}
