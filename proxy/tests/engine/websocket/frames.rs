//! Frames on their way: as they were sent, in both directions, whatever they hold.

use std::time::Duration;

use portcullis_testkit::client::Stream;
use portcullis_testkit::websocket::{
    BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, Peer, TEXT, WebSocketOrigin, request, upgrade,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Ends;
use crate::harness::{Gate, verdicts};
use crate::upstreams::secure;

#[tokio::test]
async fn frames_arrive_as_they_were_sent() {
    let ends = Ends::of("").await;
    let (mut client, mut server) = ends.open().await;
    let frames = [
        Frame::text("hello"),
        Frame::new(TEXT, "").unfinished(),
        Frame::new(CONTINUATION, "frag").unfinished(),
        Frame::new(PING, "between"),
        Frame::new(CONTINUATION, "ment"),
        Frame::new(BINARY, vec![7; 125]),
        Frame::new(BINARY, vec![8; 126]),
        Frame::new(BINARY, vec![9; 70_000]),
        Frame::new(PONG, "unasked"),
        // Of an extension, and of nobody: it is for the endpoints to judge.
        Frame::new(0x40 | TEXT, "compressed"),
        Frame::new(0x3, "reserved"),
        Frame::new(PING, vec![1; 300]),
    ];
    for frame in &frames {
        client.send(frame).await.unwrap();
        assert_eq!(server.expect().await.unwrap(), frame.clone().masked());
        server.send(frame).await.unwrap();
        assert_eq!(client.expect().await.unwrap(), *frame);
    }
    // Neither is a mask put on or taken off.
    client.send_bytes(&Frame::text("bare").to_bytes()).await.unwrap();
    assert_eq!(server.expect().await.unwrap(), Frame::text("bare"));
    server.send_bytes(&Frame::text("masked").masked().to_bytes()).await.unwrap();
    assert_eq!(client.expect().await.unwrap(), Frame::text("masked").masked());

    client.send(&Frame::close(1000)).await.unwrap();
    assert_eq!(server.expect().await.unwrap().code(), Some(1000));
    server.send(&Frame::close(1000)).await.unwrap();
    drop(server);
    assert_eq!(client.expect().await.unwrap().code(), Some(1000));
    assert_eq!(client.next().await.unwrap(), None);
    drop(client);
    let records = ends.gate.records().await;
    assert_eq!(verdicts(&records), "101");
    let all = |masked| frames.iter().map(|frame| size(frame, masked)).sum::<u64>();
    let (up, down) = (size(&Frame::text("bare"), false), size(&Frame::text("masked"), true));
    assert_eq!(records[0]["request_body_bytes"], all(true) + up + size(&Frame::close(1000), true));
    assert_eq!(
        records[0]["response_body_bytes"],
        all(false) + down + size(&Frame::close(1000), false)
    );
}

fn size(frame: &Frame, masked: bool) -> u64 {
    Frame { masked, ..frame.clone() }.to_bytes().len() as u64
}

/// Large messages both ways at once: nothing waits for the other direction.
#[tokio::test]
async fn a_mebibyte_passes_both_ways_at_once() {
    let ends = Ends::of("").await;
    let (mut client, mut server) = ends.open().await;
    let message = Frame::new(BINARY, vec![0x5a; 1024 * 1024]);
    for _ in 0..2 {
        let (mut client_reads, mut client_writes) = client.stream.split();
        let (mut server_reads, mut server_writes) = server.stream.split();
        let masked = message.clone().masked().to_bytes();
        let plain = message.to_bytes();
        let send = async {
            tokio::try_join!(client_writes.write_all(&masked), server_writes.write_all(&plain))
        };
        let (mut up, mut down) = (vec![0; masked.len()], vec![0; plain.len()]);
        let receive = async {
            tokio::try_join!(server_reads.read_exact(&mut up), client_reads.read_exact(&mut down))
        };
        tokio::try_join!(send, receive).unwrap();
        assert!(up == masked && down == plain);
    }
}

/// A side that does not read holds the other back; it takes no more memory than a buffer.
#[tokio::test]
async fn who_does_not_read_holds_the_other_back() {
    let ends = Ends::of("").await;
    let (mut client, mut server) = ends.open().await;
    let chunk = Frame::new(BINARY, vec![1; 64 * 1024]);
    let mut sent = 0;
    // The kernel's buffers of two connections hold some megabytes.
    while sent < 1_000 {
        let push = tokio::time::timeout(Duration::from_millis(500), client.send(&chunk));
        if push.await.is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent < 1_000, "64 MB were taken of a client whose upstream reads nothing");
    for _ in 0..sent {
        assert_eq!(server.expect().await.unwrap().payload.len(), 64 * 1024);
    }
}

#[tokio::test]
async fn under_tls_it_is_the_same() {
    let secure = secure();
    let origin = WebSocketOrigin::start().await.unwrap();
    let address = origin.address().unwrap();
    tokio::spawn(origin.echo());
    let place = secure.files.path().display();
    let gate = Gate::of(&format!(
        "listeners:\n  - {{name: front, address: \"127.0.0.1:0\", tls: {{certificates: [{{certFile: {place}/a.crt, keyFile: {place}/a.key}}]}}}}\n\
         upstreams:\n  - {{name: back, endpoints: [{{address: \"{address}\"}}]}}\n\
         routes:\n  - {{name: all, backends: [{{upstream: back}}]}}\n"
    ))
    .await;
    let stream = Stream::connect(gate.address, Some(&secure.client)).await.unwrap();
    let Stream::Tls(stream) = stream else { panic!("no TLS") };
    let (mut client, _): (Peer<_>, _) = upgrade(*stream, &request("/live", &[])).await.unwrap();
    for length in [0, 5, 16_384, 1024 * 1024] {
        let frame = Frame::new(BINARY, vec![3; length]);
        let (mut reads, mut writes) = tokio::io::split(&mut client.stream);
        let bytes = frame.clone().masked().to_bytes();
        let send = async {
            writes.write_all(&bytes).await.unwrap();
            writes.flush().await.unwrap();
        };
        let mut back = vec![0; frame.to_bytes().len()];
        let receive = async {
            reads.read_exact(&mut back).await.unwrap();
        };
        tokio::join!(send, receive);
        assert!(back == frame.to_bytes(), "{length}");
    }
    client.send(&Frame::close(1000)).await.unwrap();
    assert_eq!(client.expect().await.unwrap().opcode, CLOSE);
    assert_eq!(client.next().await.unwrap(), None);
    drop(client);
    assert_eq!(verdicts(&gate.records().await), "101");
}
