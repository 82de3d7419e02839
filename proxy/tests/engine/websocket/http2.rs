//! WebSocket on a stream of HTTP/2 (RFC 8441), towards an upstream that speaks HTTP/1.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use http::{Method, Request, Response, Version};
use portcullis_testkit::websocket::{BINARY, Frame, Peer, TEXT, key_of, switching};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Ends;
use crate::harness::{Settings, verdicts};

const WITHIN: Duration = Duration::from_secs(10);

/// A connection by prior knowledge, once its SETTINGS have come.
async fn connected(ends: &Ends) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(ends.gate.address).await.unwrap();
    let (client, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut ping = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    // The answer stands behind the SETTINGS.
    timeout(WITHIN, ping.ping(h2::Ping::opaque())).await.unwrap().unwrap();
    client
}
fn ask(lines: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .version(Version::HTTP_2)
        .uri("http://a.test/live?room=1")
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// A stream in the form of a socket.
fn bridged(
    mut send: h2::SendStream<Bytes>,
    response: Response<h2::RecvStream>,
) -> Peer<DuplexStream> {
    let (ours, theirs) = duplex(64 * 1024);
    let (mut reads, mut writes) = tokio::io::split(theirs);
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let count = reads.read(&mut buffer).await?;
            send.reserve_capacity(count.max(1));
            let mut rest = Bytes::copy_from_slice(&buffer[..count]);
            while !rest.is_empty() {
                let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
                let room = room.ok_or(io::ErrorKind::BrokenPipe)?.map_err(io::Error::other)?;
                let part = rest.split_to(room.min(rest.len()));
                send.send_data(part, false).map_err(io::Error::other)?;
                send.reserve_capacity(rest.len());
            }
            if count == 0 {
                return send.send_data(Bytes::new(), true).map_err(io::Error::other);
            }
        }
    });
    tokio::spawn(async move {
        let mut body = response.into_body();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.map_err(io::Error::other)?;
            writes.write_all(&chunk).await?;
            body.flow_control().release_capacity(chunk.len()).map_err(io::Error::other)?;
        }
        writes.shutdown().await
    });
    Peer::client(ours)
}

/// Both sides of one stream.
async fn open(
    ends: &Ends,
    client: &mut SendRequest<Bytes>,
) -> (Peer<DuplexStream>, Peer<TcpStream>, String) {
    let (response, send) = client.send_request(ask(&[]), false).unwrap();
    let (server, response) =
        timeout(WITHIN, async { tokio::join!(ends.origin.accept(), response) }).await.unwrap();
    let (server, head) = server.unwrap();
    let response = response.unwrap();
    assert_eq!(response.status(), 200);
    for gone in ["upgrade", "connection", "sec-websocket-accept"] {
        assert!(!response.headers().contains_key(gone), "{gone}");
    }
    (bridged(send, response), server, head)
}

#[tokio::test]
async fn a_connect_becomes_an_upgrade_with_a_key_of_our_own() {
    let ends = Ends::of("").await;
    let mut client = connected(&ends).await;
    assert!(client.is_extended_connect_protocol_enabled());
    let (_one, _upstream, first) = open(&ends, &mut client).await;
    let (_two, _other, second) = open(&ends, &mut client).await;
    assert!(first.starts_with("GET /live?room=1 HTTP/1.1\r\nhost: a.test\r\n"), "{first}");
    for line in
        ["upgrade: websocket\r\n", "connection: upgrade\r\n", "sec-websocket-version: 13\r\n"]
    {
        assert!(first.contains(line), "{first}");
    }
    assert!(!first.contains(":protocol") && !first.contains("transfer-encoding"), "{first}");
    assert_eq!(key_of(&first).len(), 24);
    assert_ne!(key_of(&first), key_of(&second));
}

#[tokio::test]
async fn frames_pass_both_ways_and_the_end_with_them() {
    let ends = Ends::of("").await;
    let mut client = connected(&ends).await;
    let (mut one, mut server, _) = open(&ends, &mut client).await;
    for frame in [Frame::text("hello"), Frame::new(TEXT, "a").unfinished(), Frame::new(0, "b")] {
        one.send(&frame).await.unwrap();
        assert_eq!(server.expect().await.unwrap(), frame.clone().masked());
        server.send(&frame).await.unwrap();
        assert_eq!(one.expect().await.unwrap(), frame);
    }
    // More than the windows, both ways at once.
    let large = Frame::new(BINARY, vec![0x5a; 1024 * 1024]);
    let echo = tokio::spawn(async move {
        server.echo().await.unwrap();
        server
    });
    let (mut reads, mut writes) = tokio::io::split(&mut one.stream);
    let bytes = large.clone().masked().to_bytes();
    let mut back = vec![0; large.to_bytes().len()];
    let both = async {
        tokio::try_join!(writes.write_all(&bytes), reads.read_exact(&mut back)).map(|_| ())
    };
    timeout(WITHIN, both).await.unwrap().unwrap();
    assert!(back == large.to_bytes());
    one.send(&Frame::close(1000)).await.unwrap();
    assert_eq!(one.expect().await.unwrap().code(), Some(1000));
    assert_eq!(one.next().await.unwrap(), None, "END_STREAM");
    one.half_close().await.unwrap();
    let mut server = timeout(WITHIN, echo).await.unwrap().unwrap();
    assert_eq!(server.next().await.unwrap(), None, "and the other way");
    drop((one, client));
    let records = ends.gate.records().await;
    assert_eq!(verdicts(&records), "200");
    let up = bytes.len() as u64 + 3 * 6 + 7 + 8;
    assert_eq!(records[0]["request_body_bytes"], up);
}

/// One stream stands still; the others of its connection do not.
#[tokio::test]
async fn a_stream_that_is_not_read_holds_its_own_upstream_back() {
    let ends = Ends::of("").await;
    let mut client = connected(&ends).await;
    let (response, _send) = client.send_request(ask(&[]), false).unwrap();
    let (server, response) = tokio::join!(ends.origin.accept(), response);
    let (mut server, _unread) = (server.unwrap().0, response.unwrap());
    let chunk = Frame::new(BINARY, vec![1; 64 * 1024]);
    let mut sent = 0;
    while sent < 1_000 {
        let push = timeout(Duration::from_millis(500), server.send(&chunk));
        if push.await.is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent < 1_000, "64 MB were taken for a client that reads nothing");
}

#[tokio::test]
async fn any_other_answer_opens_nothing() {
    let ends = Ends::of("").await;
    let mut client = connected(&ends).await;
    for (answer, expected) in [
        ("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n".to_owned(), 401),
        // A 200 would be the tunnel.
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(), 502),
        (switching("AAAAAAAAAAAAAAAAAAAAAA=="), 502),
    ] {
        let (response, _send) = client.send_request(ask(&[]), false).unwrap();
        let (mut stream, _) = ends.origin.asked().await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        let response = timeout(WITHIN, response).await.unwrap().unwrap();
        assert_eq!(response.status(), expected, "{answer}");
    }
    // Those go nowhere.
    for (line, expected) in [(("sec-websocket-version", "8"), 400), (("content-length", "3"), 400)]
    {
        let (response, _send) = client.send_request(ask(&[line]), false).unwrap();
        let response = timeout(WITHIN, response).await.unwrap().unwrap();
        assert_eq!(response.status(), expected, "{line:?}");
    }
    drop(client);
    let records = ends.gate.records().await;
    assert_eq!(
        verdicts(&records),
        "401, 502 upgrade-refused, 502 upstream-protocol, 400 websocket-version, 400 bad-request"
    );
}

#[tokio::test]
async fn where_no_upgrade_is_allowed_none_is_offered() {
    let ends = Ends::new(Settings { listener: "upgrades: []", ..Settings::default() }).await;
    let client = connected(&ends).await;
    assert!(!client.is_extended_connect_protocol_enabled());
}

/// All streams of a connection are told, each by its own Close frame.
#[tokio::test]
async fn a_drain_tells_every_stream() {
    let ends = Ends::of("websocket: {drain: {jitter: 1ms, closeCode: 1012}}").await;
    let mut client = connected(&ends).await;
    let (mut one, mut first, _) = open(&ends, &mut client).await;
    let (mut two, mut second, _) = open(&ends, &mut client).await;
    let records = tokio::spawn(ends.gate.records());
    for peer in [&mut one, &mut two] {
        assert_eq!(peer.expect().await.unwrap().code(), Some(1012));
        peer.send(&Frame::close(1012)).await.unwrap();
    }
    for peer in [&mut first, &mut second] {
        let frame = peer.expect().await.unwrap();
        assert!(frame.masked && frame.code() == Some(1012));
        peer.send(&Frame::close(1012)).await.unwrap();
    }
    assert_eq!(one.next().await.unwrap(), None);
    assert_eq!(two.next().await.unwrap(), None);
    assert_eq!(verdicts(&records.await.unwrap()), "200 draining, 200 draining");
}

/// A stream that is reset ends its upstream with a reset, and the other way round.
#[tokio::test]
async fn a_reset_is_passed_on() {
    let ends = Ends::of("").await;
    let mut client = connected(&ends).await;
    let (response, mut send) = client.send_request(ask(&[]), false).unwrap();
    let (server, response) = tokio::join!(ends.origin.accept(), response);
    let (mut server, _response) = (server.unwrap().0, response.unwrap());
    send.send_reset(h2::Reason::CANCEL);
    assert_eq!(server.next().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);

    let (response, _send) = client.send_request(ask(&[]), false).unwrap();
    let (server, response) = tokio::join!(ends.origin.accept(), response);
    let (server, response) = (server.unwrap().0, response.unwrap());
    server.stream.set_zero_linger().unwrap();
    drop(server);
    let end = timeout(WITHIN, response.into_body().data()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(h2::Reason::CANCEL));
    drop(client);
    let records = ends.gate.records().await;
    assert_eq!(verdicts(&records), "200 client-aborted, 200 upstream-reset");
}
