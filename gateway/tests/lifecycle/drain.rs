//! The end: what a signal costs those who are being served.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_testkit::client::RawClient;
use portcullis_testkit::h2::frame::{self, WHOLE, headers};
use portcullis_testkit::h2::{H2Client, Seen};
use portcullis_testkit::lateness::Control;
use portcullis_testkit::load::{Load, LoadRequest, Outcome};
use portcullis_testkit::origin::Origin;
use portcullis_testkit::process::Signal;
use portcullis_testkit::soak::{Intensity, SigtermDrain, sigterm_drain};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::gateway::{Gateway, close_is_announced, closed, forwarding};

const FAST: &[u8] = b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n";

fn draining(origin: &Origin, timeout: &str) -> String {
    forwarding(&[origin.address()], &format!("shutdown: {{drainTimeout: {timeout}}}"))
}

/// A request that the origin has and has not answered.
async fn in_flight(origin: &Origin, address: SocketAddr, milliseconds: u32) -> RawClient {
    let before = origin.requests();
    let mut client = RawClient::connect(address).await.unwrap();
    let request = format!("GET /delay/{milliseconds}/x HTTP/1.1\r\nhost: x\r\n\r\n");
    client.send(request.as_bytes()).await.unwrap();
    origin.received(before + 1).await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_that_came_is_answered() {
    let origin = Origin::start("a").await.unwrap();
    let mut gateway = Gateway::start(&draining(&origin, "5s"));
    let address = gateway.address("public").await;
    let duration = Duration::from_secs(2);
    let drain = SigtermDrain {
        intensity: Intensity { rate: 400.0, connections: 8, duration },
        address,
        path: "/bytes/100",
        origin: &origin,
        slow_path: "/delay/800/x",
        slow_requests: 4,
        drain_timeout: Duration::from_secs(5),
    };
    let verdict = sigterm_drain(&mut gateway.process, &drain).await.unwrap();
    assert!(verdict.passed(), "{verdict}");
}

/// Each request has a connection of its own, so that many wait in the queues of the sockets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_in_the_queue_are_served() {
    let rounds = std::env::var("PORTCULLIS_ROUNDS").map_or(3, |text| text.parse().unwrap());
    let origin = Origin::start("a").await.unwrap();
    for round in 0..rounds {
        let mut gateway = Gateway::start(&draining(&origin, "5s"));
        let address = gateway.address("public").await;
        let closing = "GET /bytes/10 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let load = Load {
            connections: 32,
            requests: vec![LoadRequest::new(closing, b"")],
            ..Load::get(address, "/", 1500.0, Duration::from_millis(600))
        };
        let running = load.start();
        running.ended(300).await;
        gateway.signal(Signal::TERM);
        gateway.ends(Duration::from_secs(6), 0).await;
        let report = running.wait().await;
        for (outcome, count) in &report.outcomes {
            let allowed =
                matches!(outcome, Outcome::Ok(200) | Outcome::ConnectError | Outcome::CrossedClose);
            assert!(allowed, "round {round}: {count} times {outcome}\n{report}");
        }
    }
}

#[tokio::test]
async fn idle_connections_are_closed_soon_and_either_signal_does() {
    let origin = Origin::start("a").await.unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        // Shorter than what an idle connection may wait for: nothing is cut off all the same.
        let mut gateway = Gateway::start(&draining(&origin, "1s"));
        let address = gateway.address("public").await;
        let mut used = RawClient::connect(address).await.unwrap();
        used.send(FAST).await.unwrap();
        assert!(used.response().await.unwrap().keep_alive());
        let mut fresh = RawClient::connect(address).await.unwrap();
        let control = Control::start();
        gateway.signal(signal);
        closed(&mut used).await;
        closed(&mut fresh).await;
        gateway.ends(Duration::from_secs(3), 0).await;
        assert!(control.taken() < Duration::from_secs(2), "{:?}", control.taken());
    }
}

#[tokio::test]
async fn a_request_on_an_idle_connection_is_answered_with_the_close() {
    let origin = Origin::start("a").await.unwrap();
    let mut gateway = Gateway::start(&draining(&origin, "5s"));
    let address = gateway.address("public").await;
    let mut client = RawClient::connect(address).await.unwrap();
    client.send(FAST).await.unwrap();
    client.response().await.unwrap();
    gateway.signal(Signal::TERM);
    gateway.says(&["draining"]).await;
    close_is_announced(&mut client, FAST).await;
    closed(&mut client).await;
    gateway.ends(Duration::from_secs(3), 0).await;
}

#[tokio::test]
async fn a_long_response_comes_to_its_end() {
    let origin = Origin::start("a").await.unwrap();
    let mut gateway = Gateway::start(&draining(&origin, "10s"));
    let address = gateway.address("public").await;
    let length = 24 * 1024 * 1024;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /bytes/{length} HTTP/1.1\r\nhost: x\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    let mut read = vec![0; 64 * 1024];
    let mut total = stream.read(&mut read).await.unwrap();
    gateway.signal(Signal::TERM);
    gateway.says(&["draining"]).await;
    loop {
        match stream.read(&mut read).await.unwrap() {
            0 => break,
            count => total += count,
        }
    }
    assert!(total > length, "{total} of more than {length} bytes");
    gateway.ends(Duration::from_secs(3), 0).await;
}

/// By the signal, and by a reload that takes the listener away.
#[tokio::test]
async fn an_http2_connection_is_told_and_finishes_its_streams() {
    let origin = Origin::start("a").await.unwrap();
    for by_signal in [true, false] {
        let configuration = draining(&origin, "5s");
        let mut gateway = Gateway::start(&configuration);
        let address = gateway.address("public").await;
        let before = origin.requests();
        let mut client = H2Client::open(address, None, &[]).await.unwrap();
        client.send(&headers(1, WHOLE, frame::get("/delay/700/x", &[]))).await.unwrap();
        origin.received(before + 1).await;
        if by_signal {
            gateway.signal(Signal::TERM);
        } else {
            let other = r#"name: other, address: "127.0.0.2:0""#;
            let public = r#"name: public, address: "127.0.0.1:0""#;
            gateway.write(&configuration.replace(public, other));
            gateway.signal(Signal::HUP);
        }
        let mut last = None;
        while last != Some(1) {
            match client.next().await.unwrap() {
                Some(Seen::GoAway { last: named, code: 0 }) => last = Some(named),
                Some(Seen::Ping { ack: false, payload }) => {
                    client.send(&frame::pong(payload)).await.unwrap();
                }
                other => assert!(matches!(other, Some(Seen::WindowUpdate { .. })), "{other:?}"),
            }
        }
        let rest = client.until_end().await.unwrap();
        assert!(rest.iter().any(|seen| seen.status() == Some("200")), "{rest:?}");
        assert_eq!(rest.iter().find_map(Seen::ended), Some(1), "{rest:?}");
        if by_signal {
            gateway.ends(Duration::from_secs(3), 0).await;
        }
    }
}

#[tokio::test]
async fn what_takes_longer_than_allowed_is_cut_and_told() {
    let origin = Origin::start("a").await.unwrap();
    let mut gateway = Gateway::start(&draining(&origin, "600ms"));
    let address = gateway.address("public").await;
    let mut client = in_flight(&origin, address, 10_000).await;
    let begun = Instant::now();
    gateway.signal(Signal::TERM);
    gateway.ends(Duration::from_millis(1600), 1).await;
    assert!(begun.elapsed() > Duration::from_millis(500), "{:?}", begun.elapsed());
    assert!(client.response().await.is_err());
    gateway.says(&["the drain ended before everything"]).await;
    assert_eq!(gateway.log("access.log").len(), 1, "what was cut is on record");
}

/// `timeout` and some supervisors signal the process and its group. The two signals differ here,
/// for the kernel would make one of two that are alike.
#[tokio::test]
async fn a_signal_that_comes_twice_counts_once() {
    let origin = Origin::start("a").await.unwrap();
    let mut gateway = Gateway::start(&draining(&origin, "30s"));
    let address = gateway.address("public").await;
    let mut client = in_flight(&origin, address, 800).await;
    gateway.signal(Signal::TERM);
    gateway.signal(Signal::INT);
    let last = client.response().await.unwrap();
    assert_eq!((last.status, last.keep_alive()), (200, false));
    closed(&mut client).await;
    gateway.ends(Duration::from_secs(3), 0).await;
}

/// A hook that drains before the supervisor signals, as Kubernetes has it.
#[tokio::test]
async fn a_signal_after_a_drain_does_not_cut_it() {
    let origin = Origin::start("a").await.unwrap();
    let settings = "shutdown: {drainTimeout: 30s}\nadmin: {address: \"unix:admin.sock\"}";
    let mut gateway = Gateway::start(&forwarding(&[origin.address()], settings));
    let address = gateway.address("public").await;
    let mut client = in_flight(&origin, address, 1_000).await;
    let socket = gateway.process.directory().join("admin.sock");
    let mut admin = tokio::net::UnixStream::connect(socket).await.unwrap();
    admin.write_all(b"POST /drain HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let mut status = [0; 12];
    admin.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 202");
    gateway.signal(Signal::TERM);
    assert_eq!(client.response().await.unwrap().status, 200);
    drop(client);
    gateway.ends(Duration::from_secs(3), 0).await;
}

#[tokio::test]
async fn a_later_signal_ends_at_once() {
    let origin = Origin::start("a").await.unwrap();
    let mut gateway = Gateway::start(&draining(&origin, "30s"));
    let address = gateway.address("public").await;
    let _client = in_flight(&origin, address, 20_000).await;
    let control = Control::start();
    let status = loop {
        gateway.signal(Signal::TERM);
        match gateway.process.exit(Duration::from_millis(50)).await {
            Ok(status) => break status,
            Err(_) => assert!(control.taken() < Duration::from_secs(3), "it drains on"),
        }
    };
    assert_eq!(status.code(), Some(1));
    assert!(control.elapsed() > Duration::from_millis(500), "{:?}", control.elapsed());
}
