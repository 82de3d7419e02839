//! Upstreams of HTTP/2 that do what libraries do not: frame by frame.

use portcullis_testkit::h2::frame::{
    ACK, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, block, data, headers, settings,
    settings_ack,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{Gate, Settings, Sink, get, observe, take, verdicts, within};

/// The upstream's end of a connection.
struct Upstream(TcpStream);

impl Upstream {
    /// The next connection, of which both sides have said how they speak.
    async fn accept(sink: &Sink) -> Self {
        let mut stream = sink.accept().await;
        assert_eq!(take(&mut stream, PREFACE.len()).await, PREFACE);
        stream.write_all(&[settings(&[]), settings_ack()].concat()).await.unwrap();
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
