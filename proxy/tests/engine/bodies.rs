//! Bodies larger than every buffer, in both directions at once, and the ways in which they stop.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_testkit::client::End;
use portcullis_testkit::lateness::Control;
use portcullis_testkit::origin::{Script, ScriptedOrigin};
use portcullis_testkit::patience::{found, slowly};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Gate, Settings, get, observe, post, verdicts};

const WITHIN: Duration = Duration::from_secs(10);
/// How chunked bodies of the tests end.
const END: &[u8] = b"0\r\nx-end: 1\r\n\r\n";
const LARGE: &str = "requestLimits: {body: 1GiB}";

/// An origin that does as `serve` says with each connection.
async fn origin<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Reads to the end of the head and gives what came behind it.
async fn skip_head(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            return bytes.split_off(at + 4);
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "closed within the head");
    }
}

/// Bytes of which no stretch looks like another.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect()
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// 100 MiB up, the same 100 MiB down, both at once: the response begins long before the request
/// ends, and neither side could hold it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_comes_back_whole() {
    const TIMES: usize = 100;
    let piece = pattern(1 << 20);
    let echo = origin(|mut stream| async move {
        let mut left = TIMES << 20;
        let first = skip_head(&mut stream).await;
        left -= first.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", TIMES << 20);
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&first).await.unwrap();
        let mut buffer = vec![0; 100_000];
        while left > 0 {
            let count = stream.read(&mut buffer).await.unwrap();
            left -= count;
            stream.write_all(&buffer[..count]).await.unwrap();
        }
        let _ = stream.read(&mut buffer).await;
    })
    .await;
    let settings = Settings { listener: LARGE, ..Settings::default() };
    let gate = Gate::new(settings, &[echo]).await;
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    let head = post("/", &[&format!("content-length: {}", TIMES << 20)], "");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reads, mut writes) = stream.into_split();
    let sent = piece.clone();
    let send = tokio::spawn(async move {
        for _ in 0..TIMES {
            writes.write_all(&sent).await.unwrap();
        }
        writes
    });
    let mut bytes = Vec::new();
    let start = loop {
        reads.read_buf(&mut bytes).await.unwrap();
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    bytes.drain(..start);
    for round in 0..TIMES {
        while bytes.len() < piece.len() {
            assert!(reads.read_buf(&mut bytes).await.unwrap() > 0, "closed in MiB {round}");
        }
        assert!(bytes[..piece.len()] == piece[..], "MiB {round} came changed");
        bytes.drain(..piece.len());
    }
    drop((send.await.unwrap(), reads));
    let records = gate.records().await;
    assert_eq!(verdicts(&records), "200");
    assert_eq!(records[0]["request_body_bytes"], TIMES << 20);
    assert_eq!(records[0]["response_body_bytes"], TIMES << 20);
}

/// The origin answers at the head and reads nothing more; the client sends more than all buffers
/// hold. It gets its whole answer, and nobody gets the origin's connection again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_response_arrives_whole() {
    const SIZE: usize = 64 << 20;
    let body = pattern(3 << 20);
    for closes in [false, true] {
        // An origin that closes without reading would destroy its own answer.
        let answer = body.clone();
        let script = Script::new().head().respond(&answer);
        let script = if closes { script.half_close().stall() } else { script.stall() };
        let origin = ScriptedOrigin::start([script]).await.unwrap();
        let settings = Settings { listener: LARGE, ..Settings::default() };
        let gate = Gate::new(settings, &[origin.address()]).await;
        let stream = TcpStream::connect(gate.address).await.unwrap();
        let (mut reads, mut writes) = stream.into_split();
        let send = tokio::spawn(async move {
            let head = post("/", &[&format!("content-length: {SIZE}")], "");
            writes.write_all(head.as_bytes()).await.unwrap();
            // It is cut off somewhere.
            for _ in 0..SIZE >> 16 {
                if writes.write_all(&[b'x'; 1 << 16]).await.is_err() {
                    break;
                }
            }
            writes
        });
        let mut bytes = Vec::new();
        // What ends the connection afterwards does not matter.
        while let Ok(1..) = reads.read_buf(&mut bytes).await {}
        let at = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("connection: close"), "{head}");
        assert!(bytes[at + 4..] == body[..], "{} of {} bytes", bytes.len() - at - 4, body.len());
        drop(send.await);
        assert!(origin.until(WITHIN, |all| closes || all[0].ended || all.len() == 1).await);
        assert_eq!(verdicts(&gate.records().await), "200", "closes: {closes}");
    }
}

#[tokio::test]
async fn a_request_that_ends_after_its_response_began_has_the_idle_time() {
    // The upload ends while the response is under way, which then is silent for longer than a
    // try may take: that time is the head's.
    let slow = origin(|mut stream| async move {
        skip_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
            .await
            .unwrap();
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await.unwrap();
        slowly(Duration::from_millis(900)).await;
        stream.write_all(b"1\r\n!\r\n0\r\n\r\n").await.unwrap();
        let _ = stream.read(&mut rest).await;
    })
    .await;
    let settings = Settings {
        route: "timeouts: {response: 400ms, perTry: 400ms, idle: 5s}",
        ..Settings::default()
    };
    let gate = Gate::new(settings, &[slow]).await;
    let mut client = TcpStream::connect(gate.address).await.unwrap();
    client.write_all(post("/", &["content-length: 4"], "").as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"ok\r\n") {
        assert!(client.read_buf(&mut seen).await.unwrap() > 0, "no response has begun");
    }
    client.write_all(b"rest").await.unwrap();
    while !seen.ends_with(b"0\r\n\r\n") {
        assert!(client.read_buf(&mut seen).await.unwrap() > 0, "the response is cut");
    }
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.starts_with("HTTP/1.1 200 ") && seen.contains("\r\n!\r\n"), "{seen}");
}

#[tokio::test]
async fn a_client_that_goes_takes_its_upstream_with_it() {
    let whole = get("/", &[]);
    let half = post("/", &["content-length: 99"], "half");
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf";
    let cases = [
        (
            "before the response",
            whole.clone(),
            Script::new().request().stall_reading(),
            "0 client-aborted",
        ),
        ("within its body", half, Script::new().head().stall_reading(), "0 client-aborted"),
        (
            "within the response",
            whole,
            Script::new().request().send(head).stall_reading(),
            "200 client-aborted",
        ),
    ];
    for (what, send, script, verdict) in cases {
        let waits_for = if verdict.starts_with('2') { "half" } else { "" };
        let origin = ScriptedOrigin::start([script]).await.unwrap();
        let gate = Gate::new(Settings::default(), &[origin.address()]).await;
        let mut stream = TcpStream::connect(gate.address).await.unwrap();
        stream.write_all(send.as_bytes()).await.unwrap();
        assert!(
            origin.until(WITHIN, |all| all.len() == 1 && !all[0].requests.is_empty()).await,
            "{what}"
        );
        let mut seen = Vec::new();
        while !waits_for.is_empty() && !seen.ends_with(waits_for.as_bytes()) {
            stream.read_buf(&mut seen).await.unwrap();
        }
        stream.set_zero_linger().unwrap();
        let control = Control::start();
        drop(stream);
        assert!(origin.until(WITHIN, |all| all[0].ended).await, "{what}: the upstream is kept");
        assert!(control.taken() < Duration::from_secs(1), "{what}: after {:?}", control.taken());
        assert_eq!(verdicts(&gate.records().await), verdict, "{what}");
    }
}

/// A script that waits for the end of its peer.
trait StallReading {
    fn stall_reading(self) -> Self;
}

impl StallReading for Script {
    fn stall_reading(self) -> Self {
        self.request()
    }
}

#[tokio::test]
async fn a_client_that_has_said_everything_still_hears_the_answer() {
    for request in [get("/", &[]), post("/", &["content-length: 4"], "body")] {
        let script = Script::new().request().delay(Duration::from_millis(200)).respond("ok");
        let origin = ScriptedOrigin::start([script]).await.unwrap();
        let gate = Gate::new(Settings::default(), &[origin.address()]).await;
        let mut client = gate.client().await;
        client.send(request.as_bytes()).await.unwrap();
        client.half_close().await.unwrap();
        assert_eq!(observe(&mut client, false, 1).await, "200 ok, keep");
        assert_eq!(client.read_to_end().await.unwrap(), (Vec::new(), End::Closed));
        assert_eq!(verdicts(&gate.records().await), "200");
    }
}

/// A client that reads nothing of 1 GiB: what is under way is bounded, and so is the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_little_and_not_for_long() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&sent);
    let source = origin(move |mut stream| {
        let counter = std::sync::Arc::clone(&counter);
        async move {
            skip_head(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1 << 30);
            stream.write_all(head.as_bytes()).await.unwrap();
            let piece = [b'x'; 1 << 16];
            while stream.write_all(&piece).await.is_ok() {
                counter.fetch_add(piece.len(), std::sync::atomic::Ordering::Relaxed);
            }
        }
    })
    .await;
    let settings = Settings { listener: "timeouts: {body: 1s}", ..Settings::default() };
    let gate = Gate::new(settings, &[source]).await;
    let before = resident();
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(get("/", &[]).as_bytes()).await.unwrap();
    let records = found(async || {
        let text = std::fs::read_to_string(gate.path("access.ndjson")).unwrap_or_default();
        if text.ends_with('\n') { Ok(text) } else { Err(text) }
    })
    .await;
    assert!(records.contains("\"client-slow\""), "{records}");
    let grown = resident().saturating_sub(before);
    // Other tests of this process grow, too; the body is sixteen times as large.
    assert!(grown < 64 << 20, "{grown} bytes");
    // Socket buffers of the kernel, on both sides.
    assert!(sent.load(std::sync::atomic::Ordering::Relaxed) < 64 << 20);
    drop(stream);
}

/// A trickle is no progress: a body below 100 B/s ends with its time.
#[tokio::test]
async fn a_trickle_does_not_hold_a_connection() {
    let origin = ScriptedOrigin::start([Script::new().request().respond("ok")]).await.unwrap();
    let settings = Settings { listener: "timeouts: {body: 1s}", ..Settings::default() };
    let gate = Gate::new(settings, &[origin.address()]).await;
    let stream = TcpStream::connect(gate.address).await.unwrap();
    let (mut reads, mut writes) = stream.into_split();
    let control = Control::start();
    let trickle = tokio::spawn(async move {
        let head = post("/", &["content-length: 1000"], "");
        writes.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..100 {
            slowly(Duration::from_millis(50)).await;
            if writes.write_all(b"x").await.is_err() {
                break;
            }
        }
    });
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"}\n") {
        assert!(reads.read_buf(&mut bytes).await.unwrap() > 0);
    }
    assert!(control.taken() < Duration::from_secs(3), "{:?}", control.taken());
    assert!(bytes.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&bytes));
    trickle.abort();
    drop(reads);
    assert_eq!(verdicts(&gate.records().await), "408 body-timeout");
}

/// What goes in comes out: any size, framing, chunks and pieces, both directions at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_in_comes_out() {
    // The dialogue is plain: every byte comes back, until the client ends its body.
    let echo = origin(echo_decoded).await;
    let settings = Settings { listener: LARGE, ..Settings::default() };
    let gate = Gate::new(settings, &[echo]).await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for run in 0..60 {
        let seed = random.0;
        let size = match run % 4 {
            0 => random.below(10),
            1 => random.below(5_000),
            2 => 60_000 + random.below(12_000),
            _ => random.below(600_000),
        };
        let body = pattern(size);
        let chunked = random.below(2) == 0;
        let mut wire = if chunked {
            let mut wire = post("/", &["transfer-encoding: chunked"], "").into_bytes();
            let mut rest = &body[..];
            while !rest.is_empty() {
                let bound = [3, 70, 20_000, 200_000][random.below(4)];
                let (piece, after) = rest.split_at((1 + random.below(bound)).min(rest.len()));
                // Extensions are bounded per request: few chunks carry one.
                let extension = if wire.len() < 4_000 { ";e=\"q\"" } else { "" };
                wire.extend_from_slice(format!("{:x}{extension}\r\n", piece.len()).as_bytes());
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
                rest = after;
            }
            wire.extend_from_slice(END);
            wire
        } else {
            let mut wire = post("/", &[&format!("content-length: {size}")], "").into_bytes();
            wire.extend_from_slice(&body);
            wire
        };
        if random.below(3) == 0 {
            // A pipelined one behind it stays unanswered: the origin closes.
            wire.extend_from_slice(get("/next", &["connection: close"]).as_bytes());
        }
        let stream = TcpStream::connect(gate.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut reads, mut writes) = stream.into_split();
        let mut pieces = Random(random.next());
        let sending = tokio::spawn(async move {
            let mut rest = &wire[..];
            while !rest.is_empty() {
                let bound = [10, 300, 70_000, 500_000][pieces.below(4)];
                let (piece, after) = rest.split_at((1 + pieces.below(bound)).min(rest.len()));
                writes.write_all(piece).await.unwrap();
                if pieces.below(4) == 0 {
                    tokio::task::yield_now().await;
                }
                rest = after;
            }
            writes
        });
        let mut bytes = Vec::new();
        let came = async {
            loop {
                if let Some(came) = whole_body(&bytes) {
                    break came;
                }
                let count = reads.read_buf(&mut bytes).await.unwrap_or(0);
                assert!(count > 0, "run {run} of seed {seed:x}: cut after {}", bytes.len());
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(20), came).await;
        let came = came.unwrap_or_else(|_| panic!("run {run} of seed {seed:x} stands still"));
        assert!(came == body, "run {run} of seed {seed:x}: {} of {size} bytes", came.len());
        drop(sending.await.unwrap());
    }
}

/// The body of a response whose end has come.
fn whole_body(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = portcullis_testkit::http::Decoder::default();
    decoder.push(bytes);
    let response = decoder.response(false).expect("a strict response")?;
    assert_eq!(response.status, 200, "{}", response.text());
    Some(response.body)
}

/// Reads bodies of either framing as they come and sends what is in them back at once, framed
/// as it was.
async fn echo_decoded(mut stream: TcpStream) {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|window: &[u8]| window == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            break String::from_utf8(std::mem::replace(&mut bytes, rest)).unwrap();
        }
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return;
        }
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let framing = match length {
        Some(length) => format!("content-length: {length}"),
        None => "transfer-encoding: chunked".to_owned(),
    };
    let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    let mut left: usize = length.map_or(usize::MAX, |length| length.parse().unwrap());
    let mut tail = Vec::new();
    loop {
        // The proxy's chunks are strict already, so they go back as they are.
        stream.write_all(&bytes).await.unwrap();
        left -= bytes.len();
        tail.extend_from_slice(&bytes);
        tail.drain(..tail.len().saturating_sub(END.len()));
        if left == 0 || (length.is_none() && tail == END) {
            break;
        }
        bytes.clear();
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return;
        }
    }
    let _ = stream.shutdown().await;
    let _ = stream.read(&mut [0; 64]).await;
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}
