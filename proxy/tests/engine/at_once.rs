//! What leaves by one write and what passes through a pipe: both connections must stand exactly
//! behind it afterwards, and half of it must never look like the whole.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_testkit::http::Decoder;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::bodies::pattern;
use crate::harness::{Gate, Settings, Sink, get, head_of, post, rest, take, verdicts, within};

/// Far more than is worth a pipe, and no multiple of what one holds.
const LONG: usize = 700_001;
/// As much as still comes with its head.
const WITH_ITS_HEAD: usize = 60_000;
/// Of segments so small, and with so little room at the reader, the kernel takes one message of
/// [`WITH_ITS_HEAD`] bytes at once, and of those behind it a part.
const SMALL_SEGMENTS: u32 = 88;
const LITTLE_ROOM: usize = 4 * 1024;

fn answer(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let head = post(path, &[&format!("content-length: {}", body.len())], "");
    [head.as_bytes(), body].concat()
}

/// A socket whose peer can write little ahead of what is read.
fn narrow() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    let raw = socket2::SockRef::from(&socket);
    raw.set_tcp_mss(SMALL_SEGMENTS).unwrap();
    raw.set_recv_buffer_size(LITTLE_ROOM).unwrap();
    socket
}

fn narrow_listener() -> TcpListener {
    let socket = narrow();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    socket.listen(8).unwrap()
}

/// Sends while somebody else reads.
async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    within(stream.write_all(bytes)).await.unwrap();
}

/// The body of the next response, which must be a whole and strict one.
async fn response(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = head_of(stream).await.into_bytes();
    let text = String::from_utf8_lossy(&bytes);
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.unwrap().parse().unwrap();
    bytes.extend(take(stream, length).await);
    let mut decoder = Decoder::default();
    decoder.push(&bytes);
    decoder.response(false).unwrap().unwrap().body
}

async fn gate(sink: &Sink) -> (Gate, TcpStream) {
    let settings = Settings { listener: "requestLimits: {body: 1GiB}", ..Settings::default() };
    let gate = Gate::new(settings, &[sink.address()]).await;
    let client = TcpStream::connect(gate.address).await.unwrap();
    (gate, client)
}

/// One body whole behind its head, one in two halves, and each with the next request behind it.
#[tokio::test]
async fn what_stands_behind_a_body_is_the_next_request() {
    let sink = Sink::new().await;
    let (gate, mut client) = gate(&sink).await;
    let halves = request("/halves", b"half and half");
    let (first, second) = halves.split_at(halves.len() - 5);
    send(&mut client, &[&request("/whole", b"whole"), first].concat()).await;
    let mut upstream = sink.accept().await;
    assert!(head_of(&mut upstream).await.starts_with("POST /whole "));
    assert_eq!(take(&mut upstream, 5).await, b"whole");
    send(&mut upstream, &answer(b"one")).await;
    assert_eq!(response(&mut client).await, b"one");
    assert!(head_of(&mut upstream).await.starts_with("POST /halves "));
    assert_eq!(take(&mut upstream, 8).await, b"half and");
    send(&mut client, &[second, get("/behind", &[]).as_bytes()].concat()).await;
    assert_eq!(take(&mut upstream, 5).await, b" half");
    send(&mut upstream, &answer(b"two")).await;
    assert_eq!(response(&mut client).await, b"two");
    assert!(head_of(&mut upstream).await.starts_with("GET /behind "));
    send(&mut upstream, &answer(b"")).await;
    assert_eq!(response(&mut client).await, b"");
    drop(client);
    let records = gate.records().await;
    assert_eq!(verdicts(&records), "200, 200, 200");
    let sizes = |name: &str| {
        records.iter().map(|record| record[name].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(sizes("request_body_bytes"), [5, 13, 0]);
    assert_eq!(sizes("response_body_bytes"), [3, 3, 0]);
}

/// Two long bodies in each direction, one behind the other, over the same two connections.
#[tokio::test]
async fn long_bodies_end_where_they_end() {
    let sink = Sink::new().await;
    let (gate, mut client) = gate(&sink).await;
    let body = pattern(LONG);
    let twice = [request("/1", &body), request("/2", &body)].concat();
    let talk = async {
        let mut upstream = sink.accept().await;
        for path in ["POST /1 ", "POST /2 "] {
            assert!(head_of(&mut upstream).await.starts_with(path));
            assert!(take(&mut upstream, LONG).await == body, "{path} came changed");
            send(&mut upstream, &answer(&body)).await;
        }
        upstream
    };
    let hear = async {
        let (mut reads, mut writes) = client.split();
        let sending = async { within(writes.write_all(&twice)).await.unwrap() };
        let hearing = async {
            for _ in 0..2 {
                let mut byte = [0];
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    within(tokio::io::AsyncReadExt::read_exact(&mut reads, &mut byte))
                        .await
                        .unwrap();
                    head.extend(byte);
                }
                let mut came = vec![0; LONG];
                within(tokio::io::AsyncReadExt::read_exact(&mut reads, &mut came)).await.unwrap();
                assert!(came == body, "it came back changed");
            }
        };
        tokio::join!(sending, hearing);
    };
    let (upstream, ()) = tokio::join!(talk, hear);
    drop((client, upstream));
    let records = gate.records().await;
    assert_eq!(verdicts(&records), "200, 200");
    for record in &records {
        assert_eq!(record["request_body_bytes"], LONG);
        assert_eq!(record["response_body_bytes"], LONG);
    }
}

/// The client sees that something is missing, and a request with a body goes elsewhere whole.
#[tokio::test]
async fn an_upstream_that_dies_within_a_long_body_is_not_used_again() {
    for reset in [false, true] {
        let sink = Sink::new().await;
        let (gate, mut client) = gate(&sink).await;
        send(&mut client, get("/", &[]).as_bytes()).await;
        let mut upstream = sink.accept().await;
        head_of(&mut upstream).await;
        let (whole, head) = (answer(&pattern(LONG)), answer(b"").len() + "700001".len() - 1);
        tokio::join!(send(&mut upstream, &whole[..head + LONG / 2]), async {
            head_of(&mut client).await;
            take(&mut client, LONG / 2).await;
        });
        if reset {
            upstream.set_zero_linger().unwrap();
        }
        drop(upstream);
        let more = rest(&mut client).await.unwrap_or_default();
        assert!(more.is_empty(), "{} bytes more than there were", more.len());
        let mut client = TcpStream::connect(gate.address).await.unwrap();
        send(&mut client, &request("/next", b"body")).await;
        let mut upstream = sink.accept().await;
        assert!(head_of(&mut upstream).await.starts_with("POST /next "));
        assert_eq!(take(&mut upstream, 4).await, b"body");
        send(&mut upstream, &answer(b"ok")).await;
        assert_eq!(response(&mut client).await, b"ok");
        drop(client);
        assert_eq!(verdicts(&gate.records().await), "200 upstream-truncated, 200");
    }
}

/// Whichever way the body goes, the upstream learns at once that nobody wants it any more.
#[tokio::test]
async fn a_client_that_dies_within_a_long_body_takes_its_upstream_with_it() {
    for (upload, verdict) in [(true, "0 client-aborted"), (false, "200 client-aborted")] {
        let sink = Sink::new().await;
        let (gate, mut client) = gate(&sink).await;
        let body = pattern(LONG);
        let (mut from_client, mut from_upstream) =
            (get("/", &[]).into_bytes(), answer(&body)[..LONG / 2].to_vec());
        if upload {
            (from_client, from_upstream) = (request("/", &body)[..LONG / 2].to_vec(), Vec::new());
        }
        let talk = async {
            let mut upstream = sink.accept().await;
            head_of(&mut upstream).await;
            if upload {
                take(&mut upstream, LONG / 3).await;
            }
            send(&mut upstream, &from_upstream).await;
            upstream
        };
        let (mut upstream, ()) = tokio::join!(talk, async {
            send(&mut client, &from_client).await;
            if !upload {
                take(&mut client, LONG / 3).await;
            }
        });
        client.set_zero_linger().unwrap();
        drop(client);
        rest(&mut upstream).await;
        assert_eq!(verdicts(&gate.records().await), verdict);
    }
}

/// A client that reads nothing for a while has every response whole in the end.
#[tokio::test]
async fn responses_that_do_not_leave_at_once_leave_bit_by_bit() {
    const TIMES: usize = 6;
    let sink = Sink::new().await;
    let gate = Gate::new(Settings::default(), &[sink.address()]).await;
    let mut client = within(narrow().connect(gate.address)).await.unwrap();
    send(&mut client, get("/", &[]).repeat(TIMES).as_bytes()).await;
    let bodies = pattern(WITH_ITS_HEAD + TIMES);
    let body = |at: usize| &bodies[at..at + WITH_ITS_HEAD];
    let mut upstream = sink.accept().await;
    let mut answered = 0;
    while asks_again(&mut upstream).await {
        send(&mut upstream, &answer(body(answered))).await;
        answered += 1;
    }
    assert!(answered < TIMES, "the kernel took everything at once");
    let serve = async {
        for at in answered..TIMES {
            head_of(&mut upstream).await;
            send(&mut upstream, &answer(body(at))).await;
        }
    };
    tokio::join!(serve, async {
        for at in 0..TIMES {
            assert!(response(&mut client).await == body(at), "{at} came changed");
        }
    });
    drop(client);
    let records = gate.records().await;
    assert_eq!(verdicts(&records), ["200"; TIMES].join(", "));
    assert!(records.iter().all(|record| record["response_body_bytes"] == WITH_ITS_HEAD));
}

/// Whether another request comes before the proxy stands still.
async fn asks_again(upstream: &mut TcpStream) -> bool {
    tokio::time::timeout(Duration::from_millis(200), head_of(upstream)).await.is_ok()
}

/// Nothing is read of the second request for a while: it leaves a part at a time.
#[tokio::test]
async fn a_request_that_does_not_leave_at_once_leaves_bit_by_bit() {
    let listener = narrow_listener();
    let gate = Gate::new(Settings::default(), &[listener.local_addr().unwrap()]).await;
    let mut client = TcpStream::connect(gate.address).await.unwrap();
    let bodies = pattern(WITH_ITS_HEAD + 1);
    let (first, second) = (&bodies[..WITH_ITS_HEAD], &bodies[1..]);
    send(&mut client, &request("/first", first)).await;
    let mut upstream = within(listener.accept()).await.unwrap().0;
    assert!(head_of(&mut upstream).await.starts_with("POST /first "));
    // An answer before the whole request would end the connection.
    assert!(take(&mut upstream, WITH_ITS_HEAD).await == first, "the first came changed");
    send(&mut upstream, &answer(b"one")).await;
    assert_eq!(response(&mut client).await, b"one");
    send(&mut client, &[&request("/second", second), get("/third", &[]).as_bytes()].concat()).await;
    gate.metric_is("portcullis_upstream_active_connections", &["back"], 1.0).await;
    assert!(head_of(&mut upstream).await.starts_with("POST /second "));
    assert!(take(&mut upstream, WITH_ITS_HEAD).await == second, "the second came changed");
    send(&mut upstream, &answer(b"two")).await;
    assert_eq!(response(&mut client).await, b"two");
    assert!(head_of(&mut upstream).await.starts_with("GET /third "));
    send(&mut upstream, &answer(b"three")).await;
    assert_eq!(response(&mut client).await, b"three");
    drop(client);
    let records = gate.records().await;
    assert_eq!(verdicts(&records), "200, 200, 200");
    assert_eq!(records[1]["request_body_bytes"], WITH_ITS_HEAD);
}

/// What is left of a response for a client that reads nothing is cut by the time limit.
#[tokio::test]
async fn a_response_that_came_whole_does_not_wait_for_ever() {
    let sink = Sink::new().await;
    let settings = Settings { listener: "timeouts: {body: 300ms}", ..Settings::default() };
    let gate = Gate::new(settings, &[sink.address()]).await;
    let mut client = within(narrow().connect(gate.address)).await.unwrap();
    send(&mut client, get("/", &[]).repeat(6).as_bytes()).await;
    let mut upstream = sink.accept().await;
    let body = pattern(WITH_ITS_HEAD);
    while asks_again(&mut upstream).await {
        send(&mut upstream, &answer(&body)).await;
    }
    let verdicts = verdicts(&gate.records().await);
    assert!(verdicts.ends_with("200, 200 client-slow"), "{verdicts}");
    drop(client);
}

/// What an upstream said without being asked is nobody's answer.
#[tokio::test]
async fn bytes_behind_a_response_end_the_connection_they_came_on() {
    let sink = Sink::new().await;
    let (_gate, mut client) = gate(&sink).await;
    send(&mut client, get("/1", &[]).as_bytes()).await;
    let mut upstream = sink.accept().await;
    head_of(&mut upstream).await;
    send(&mut upstream, &[answer(b"one"), answer(b"unasked")].concat()).await;
    assert_eq!(response(&mut client).await, b"one");
    send(&mut client, get("/2", &[]).as_bytes()).await;
    let mut another = sink.accept().await;
    head_of(&mut another).await;
    send(&mut another, &answer(b"two")).await;
    assert_eq!(response(&mut client).await, b"two");
}
