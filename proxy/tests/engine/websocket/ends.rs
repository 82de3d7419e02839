//! How a tunnel ends: by its peers, by its limits, by a drain; and what is said of it.

use std::time::Duration;

use portcullis_testkit::lateness::Control;
use portcullis_testkit::websocket::{CLOSE, Frame, Peer, TEXT};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::Ends;
use crate::harness::verdicts;

/// Whoever is told to end answers, as a peer ought to.
async fn told(peer: &mut Peer<TcpStream>, code: u16) -> Frame {
    let frame = peer.expect().await.unwrap();
    assert_eq!(frame.code(), Some(code));
    peer.send(&Frame::close(code)).await.unwrap();
    frame
}

#[tokio::test]
async fn a_silent_tunnel_ends_and_both_sides_are_told() {
    let ends = Ends::of("websocket: {idleTimeout: 300ms}").await;
    let (mut client, mut server) = ends.open().await;
    let control = Control::start();
    // Bytes of either side put it off.
    client.send(&Frame::text("a")).await.unwrap();
    server.expect().await.unwrap();
    assert!(!told(&mut client, 1001).await.masked);
    assert!(told(&mut server, 1001).await.masked, "a server is told as by a client");
    assert_eq!(client.next().await.unwrap(), None);
    assert_eq!(server.next().await.unwrap(), None);
    assert!(control.elapsed() >= Duration::from_millis(300), "{control:?}");
    assert!(control.taken() < Duration::from_secs(5), "{control:?}");
    drop((client, server));
    ends.gate.metric_is("portcullis_requests_total", &["all"], 1.0).await;
    let durations = ends.gate.metric("portcullis_request_duration_seconds", &["all"]);
    assert_eq!(durations, 0.0, "a tunnel lasts as long as its peers like");
    assert_eq!(verdicts(&ends.gate.records().await), "101 tunnel-idle");
}

#[tokio::test]
async fn a_tunnel_ends_at_its_age_however_busy() {
    let ends = Ends::of("websocket: {maxAge: 400ms, drain: {closeCode: 1012}}").await;
    let (mut client, mut server) = ends.open().await;
    let busy = tokio::spawn(async move {
        loop {
            let frame = server.expect().await.unwrap();
            server.send(&Frame { masked: false, ..frame.clone() }).await.unwrap();
            if frame.opcode == CLOSE {
                return frame.code();
            }
        }
    });
    let control = Control::start();
    let mut count = 0;
    loop {
        client.send(&Frame::text("x")).await.unwrap();
        let frame = client.expect().await.unwrap();
        count += 1;
        if frame.opcode == CLOSE {
            assert_eq!(frame.code(), Some(1012));
            break;
        }
    }
    client.send(&Frame::close(1012)).await.unwrap();
    assert_eq!(busy.await.unwrap(), Some(1012));
    assert!(count > 2 && control.taken() < Duration::from_secs(5), "{count}: {control:?}");
    drop(client);
    assert_eq!(verdicts(&ends.gate.records().await), "101 max-age");
}

/// A Close frame of ours stands between two frames, never in one. A direction with no frame under
/// way is told at once, and so the peer there knows that the other one waits for its end.
#[tokio::test]
async fn a_frame_under_way_is_finished_first() {
    let ends = Ends::of("websocket: {drain: {jitter: 1ms}}").await;
    let (mut sender, mut reader) = ends.open().await;
    let (mut other_reader, mut other_sender) = ends.open().await;
    let up = Frame::new(TEXT, vec![b'u'; 300]).masked().to_bytes();
    let down = Frame::new(TEXT, vec![b'd'; 70_000]).to_bytes();
    sender.send_bytes(&up[..1]).await.unwrap();
    other_sender.send_bytes(&down[..9]).await.unwrap();
    assert_eq!(reader.stream.read_u8().await.unwrap(), up[0]);
    assert_eq!(other_reader.stream.read_u8().await.unwrap(), down[0]);

    let records = tokio::spawn(ends.gate.records());
    for (sender, reader, bytes, sent) in
        [(&mut sender, &mut reader, up, 1), (&mut other_sender, &mut other_reader, down, 9)]
    {
        assert_eq!(sender.expect().await.unwrap().code(), Some(1001));
        // Behind the rest of the frame comes what is not passed any more.
        sender.send_bytes(&bytes[sent..]).await.unwrap();
        sender.send(&Frame::text("too late")).await.unwrap();
        let mut rest = vec![0; bytes.len() - 1];
        reader.stream.read_exact(&mut rest).await.unwrap();
        assert!(rest == bytes[1..]);
        told(reader, 1001).await;
        sender.send(&Frame::close(1001)).await.unwrap();
    }
    assert_eq!(sender.next().await.unwrap(), None);
    assert_eq!(other_reader.next().await.unwrap(), None);
    assert_eq!(verdicts(&records.await.unwrap()), "101 draining, 101 draining");
}

/// Silent peers cannot hold the drain, nor those that stop in the midst of a frame.
#[tokio::test]
async fn who_does_not_answer_is_left() {
    for half in [false, true] {
        let ends = Ends::of("websocket: {drain: {jitter: 1ms}}").await;
        let (mut client, mut server) = ends.open().await;
        if half {
            let frame = Frame::text("half of it").masked().to_bytes();
            client.send_bytes(&frame[..8]).await.unwrap();
            server.stream.read_u8().await.unwrap();
        }
        let control = Control::start();
        let records = ends.gate.records().await;
        assert!(control.taken() < Duration::from_secs(5), "{:?}", control.taken());
        assert_eq!(verdicts(&records), "101 draining");
        assert_eq!(client.expect().await.unwrap().code(), Some(1001), "half: {half}");
        let end = client.next().await;
        assert_eq!(end.is_ok(), !half, "what was broken off is seen as such: {end:?}");
    }
}

/// A goodbye that is being said is not said again.
#[tokio::test]
async fn a_close_under_way_is_left_to_the_peers() {
    let ends = Ends::of("websocket: {drain: {jitter: 1ms}}").await;
    let (mut client, mut server) = ends.open().await;
    client.send(&Frame::close(1000)).await.unwrap();
    assert_eq!(server.expect().await.unwrap().code(), Some(1000));
    let (mut witness, other) = ends.open().await;
    let records = tokio::spawn(ends.gate.records());
    // Another connection hears of it at once; so would this one.
    assert_eq!(witness.expect().await.unwrap().code(), Some(1001));
    drop((witness, other));
    server.send(&Frame::close(1000)).await.unwrap();
    assert_eq!(client.expect().await.unwrap().code(), Some(1000));
    drop(server);
    assert_eq!(client.next().await.unwrap(), None);
    drop(client);
    assert!(verdicts(&records.await.unwrap()).starts_with("101"));
}

/// The end of one direction is passed on; the other goes on.
#[tokio::test]
async fn either_side_may_close_its_half() {
    let ends = Ends::of("").await;
    let (mut client, mut server) = ends.open().await;
    client.send(&Frame::text("last")).await.unwrap();
    client.half_close().await.unwrap();
    assert_eq!(server.expect().await.unwrap().payload, b"last");
    assert_eq!(server.next().await.unwrap(), None);
    server.send(&Frame::text("still here")).await.unwrap();
    assert_eq!(client.expect().await.unwrap().payload, b"still here");
    drop(server);
    assert_eq!(client.next().await.unwrap(), None);

    let (mut client, mut server) = ends.open().await;
    server.half_close().await.unwrap();
    assert_eq!(client.next().await.unwrap(), None);
    client.send(&Frame::text("still here")).await.unwrap();
    assert_eq!(server.expect().await.unwrap().payload, b"still here");
    drop(client);
    assert_eq!(server.next().await.unwrap(), None);
    drop(server);
    assert_eq!(verdicts(&ends.gate.records().await), "101, 101");
}

/// A connection that broke is no goodbye: the other side sees a reset.
#[tokio::test]
async fn a_reset_is_passed_on() {
    let ends = Ends::of("").await;
    let (client, mut server) = ends.open().await;
    client.stream.set_zero_linger().unwrap();
    drop(client);
    let seen = server.next().await.unwrap_err();
    assert_eq!(seen.kind(), std::io::ErrorKind::ConnectionReset);
    let (mut client, server) = ends.open().await;
    server.stream.set_zero_linger().unwrap();
    drop(server);
    let seen = client.next().await.unwrap_err();
    assert_eq!(seen.kind(), std::io::ErrorKind::ConnectionReset);
    let records = ends.gate.records().await;
    assert_eq!(verdicts(&records), "101 client-aborted, 101 upstream-reset");
}

/// Goodbyes that both have said are enough: nobody has to close a socket in time.
#[tokio::test]
async fn sockets_that_stay_open_behind_the_goodbyes_are_closed() {
    let ends = Ends::of("").await;
    let (mut client, mut server) = ends.open().await;
    client.send(&Frame::close(1000)).await.unwrap();
    server.expect().await.unwrap();
    server.send(&Frame::close(1000)).await.unwrap();
    client.expect().await.unwrap();
    let control = Control::start();
    assert_eq!(client.next().await.unwrap(), None);
    assert_eq!(server.next().await.unwrap(), None);
    assert!(control.taken() < Duration::from_secs(8), "{:?}", control.taken());
    drop((client, server));
    assert_eq!(verdicts(&ends.gate.records().await), "101");
}
