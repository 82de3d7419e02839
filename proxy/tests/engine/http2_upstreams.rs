//! Upstreams of HTTP/2 that do what libraries do not: frame by frame.

use portcullis_testkit::h2::H2Client;
use portcullis_testkit::h2::frame::{
    ACK, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PREFACE, SETTINGS, WHOLE,
    block, data, go_away, headers, request, reset, settings, settings_ack, window_update,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::harness::{Gate, Settings, Sink, get, observe, post, take, verdicts, within};

/// The upstream's end of a connection.
struct Upstream(TcpStream);

impl Upstream {
    /// The next connection, of which both sides have said how they speak.
    async fn accept(sink: &Sink) -> Self {
        let mut stream = sink.accept().await;
        assert_eq!(take(&mut stream, PREFACE.len()).await, PREFACE);
        // Room for whatever comes, so that nobody has to tell of it.
        let windows = settings(&[(INITIAL_WINDOW_SIZE, 1 << 20)]);
        let hello = [windows, settings_ack(), window_update(0, 1 << 20)].concat();
        stream.write_all(&hello).await.unwrap();
        Self(stream)
    }

    async fn send(&mut self, frames: &[Vec<u8>]) {
        self.0.write_all(&frames.concat()).await.unwrap();
    }

    /// Kind, flags, stream and payload of the next frame.
    async fn frame(&mut self) -> (u8, u8, u32, Vec<u8>) {
        let header = take(&mut self.0, 9).await;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u32::from(*byte));
        let payload = take(&mut self.0, number(&header[..3]) as usize).await;
        (header[3], header[4], number(&header[5..]), payload)
    }

    /// The connection of one request, whose body is taken whole, and its stream. Tells when the
    /// head is there.
    async fn of_one(sink: &Sink, told: oneshot::Sender<()>, length: usize) -> (Self, u32) {
        let mut upstream = Self::accept(sink).await;
        let stream = upstream.request().await;
        told.send(()).unwrap();
        assert_eq!(upstream.body(stream).await, length);
        (upstream, stream)
    }

    /// Waits for the head of a request, and gives its stream.
    async fn request(&mut self) -> u32 {
        loop {
            match self.frame().await {
                (HEADERS, _, stream, _) => return stream,
                (SETTINGS, flags, ..) => assert_eq!(flags & !ACK, 0),
                _ => {}
            }
        }
    }
}

const HTTP2: Settings = Settings { listener: "", upstream: "protocol: http2", route: "" };

fn ok(stream: u32) -> Vec<u8> {
    headers(stream, END_HEADERS, block(&[(":status", "200")]))
}

/// Some servers send an empty frame with every flush; the library takes a hundred in the whole
/// life of a connection.
#[tokio::test]
async fn empty_frames_of_an_upstream_break_nothing() {
    let sink = Sink::new().await;
    let gate = Gate::new(HTTP2, &[sink.address()]).await;
    let mut client = gate.client().await;
    let origin = async {
        let mut upstream = Upstream::accept(&sink).await;
        for _ in 0..3 {
            let stream = upstream.request().await;
            let word = [data(stream, 0, "").repeat(80), data(stream, 0, "x")].concat();
            let end = data(stream, END_STREAM, "");
            upstream.send(&[ok(stream), word.repeat(5), end]).await;
        }
        upstream
    };
    let talk = async {
        for _ in 0..3 {
            client.send(get("/", &[]).as_bytes()).await.unwrap();
            assert_eq!(observe(&mut client, false, 1).await, "200 xxxxx, keep");
        }
    };
    let (_upstream, ()) = tokio::join!(origin, talk);
    drop(client);
    assert_eq!(verdicts(&gate.records().await), "200, 200, 200");
}

/// There is no end to be waited for: it is cut, and the gate goes on.
#[tokio::test]
async fn a_flood_of_empty_frames_has_an_end() {
    let sink = Sink::new().await;
    let gate = Gate::new(HTTP2, &[sink.address()]).await;
    let mut client = gate.client().await;
    let origin = async {
        let mut upstream = Upstream::accept(&sink).await;
        let stream = upstream.request().await;
        upstream.send(&[ok(stream)]).await;
        let flood = data(stream, 0, "").repeat(1000);
        while upstream.0.write_all(&flood).await.is_ok() {}
    };
    let talk = async {
        client.send(get("/", &[]).as_bytes()).await.unwrap();
        observe(&mut client, false, 1).await
    };
    let ((), seen) = tokio::join!(within(origin), talk);
    assert!(seen == "cut" || seen == "reset", "{seen}");
    drop(client);
    assert_eq!(verdicts(&gate.records().await), "200 upstream-truncated");
}

/// Who sends the request, and when its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Http1,
    /// The upstream has its head already.
    Http1Late,
    Http2,
    Http2Late,
}

const SENDERS: [Sender; 4] = [Sender::Http1, Sender::Http1Late, Sender::Http2, Sender::Http2Late];

/// Sends a POST with this body; what came of it, as [`verdicts`] would say.
async fn send(
    sender: Sender,
    gate: &Gate,
    body: &str,
    head_is_there: oneshot::Receiver<()>,
) -> String {
    let length = body.len().to_string();
    if matches!(sender, Sender::Http1 | Sender::Http1Late) {
        let head = post("/", &[&format!("content-length: {length}")], "");
        let mut client = gate.client().await;
        if sender == Sender::Http1 {
            client.send(format!("{head}{body}").as_bytes()).await.unwrap();
        } else {
            client.send(head.as_bytes()).await.unwrap();
            head_is_there.await.unwrap();
            client.send(body.as_bytes()).await.unwrap();
        }
        return observe(&mut client, false, 1).await;
    }
    let mut client = H2Client::open(gate.address, None, &[]).await.unwrap();
    let head = headers(1, END_HEADERS, request("POST", "/", &[("content-length", &length)]));
    let mut frames: Vec<_> = body.as_bytes().chunks(16_384).map(|it| data(1, 0, it)).collect();
    frames.push(data(1, END_STREAM, ""));
    if sender == Sender::Http2 {
        client.send(&[head, frames.concat()].concat()).await.unwrap();
    } else {
        client.send(&head).await.unwrap();
        head_is_there.await.unwrap();
        client.send(&frames.concat()).await.unwrap();
    }
    let head = client.until(|seen| seen.status().is_some()).await.unwrap();
    head.status().unwrap().to_owned()
}

impl Upstream {
    /// The rest of a request's body.
    async fn body(&mut self, stream: u32) -> usize {
        let mut length = 0;
        loop {
            if let (DATA, flags, on, payload) = self.frame().await
                && on == stream
            {
                length += payload.len();
                if flags & END_STREAM != 0 {
                    return length;
                }
            }
        }
    }
}

/// How an upstream ends a stream.
type End = fn(u32) -> Vec<u8>;

#[tokio::test]
async fn what_an_upstream_refused_is_sent_again_with_its_body() {
    let cases: [(&str, End, bool); 2] = [
        ("refused", |stream| reset(stream, 7), false),
        ("behind a goodbye", |_| go_away(0, 0), true),
    ];
    for (what, refusal, elsewhere) in cases {
        for sender in SENDERS {
            for length in [5, 10_000, 60_000] {
                let sink = Sink::new().await;
                let gate = Gate::new(HTTP2, &[sink.address()]).await;
                let (told, head_is_there) = oneshot::channel();
                let origin = async {
                    let (mut upstream, stream) = Upstream::of_one(&sink, told, length).await;
                    upstream.send(&[refusal(stream)]).await;
                    let mut again = match elsewhere {
                        true => Upstream::accept(&sink).await,
                        false => upstream,
                    };
                    let stream = again.request().await;
                    assert_eq!(again.body(stream).await, length, "{what}, {sender:?}");
                    again.send(&[headers(stream, WHOLE, block(&[(":status", "204")]))]).await;
                    again
                };
                let body = "x".repeat(length);
                let both =
                    async { tokio::join!(origin, send(sender, &gate, &body, head_is_there)) };
                let (_again, seen) = within(both).await;
                assert!(seen.starts_with("204"), "{what}, {sender:?}, {length}: {seen}");
                let records = gate.records().await;
                assert_eq!(records[0]["attempts"], 2, "{what}, {sender:?}");
            }
        }
    }
}

/// What may have run, and what is not here any more.
#[tokio::test]
async fn nothing_is_sent_again_that_may_have_run_or_is_gone() {
    let cases: [(&str, End, usize); 4] = [
        ("cancelled", |stream| reset(stream, 8), 5),
        ("a goodbye that counts it", |stream| go_away(stream, 0), 5),
        ("an angry goodbye that counts it", |stream| go_away(stream, 2), 5),
        ("a long body", |stream| reset(stream, 7), 100_000),
    ];
    for (what, end, length) in cases {
        for sender in SENDERS {
            let sink = Sink::new().await;
            let gate = Gate::new(HTTP2, &[sink.address()]).await;
            let (told, head_is_there) = oneshot::channel();
            let origin = async {
                let (mut upstream, stream) = Upstream::of_one(&sink, told, length).await;
                upstream.send(&[end(stream)]).await;
            };
            let body = "x".repeat(length);
            let both = async { tokio::join!(origin, send(sender, &gate, &body, head_is_there)) };
            let ((), seen) = within(both).await;
            assert!(seen.starts_with("502"), "{what}, {sender:?}: {seen}");
            let records = gate.records().await;
            assert_eq!(verdicts(&records), "502 upstream-reset", "{what}, {sender:?}");
            assert_eq!(records[0]["attempts"], 1, "{what}, {sender:?}");
        }
    }
}
