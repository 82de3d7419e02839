//! An origin that does everything right, with answers that a test can check.
//!
//! Paths: `/bytes/N` gives N bytes, `/chunked/N` gives them in chunks, `/status/CODE` that status,
//! `/delay/MS` the echo after so many milliseconds. Any other path, and those with a suffix after
//! the number, is answered with JSON: `origin`, `connection`, `request`, `method`, `target`,
//! `headers` (pairs, in order), `body`.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http::{Decoder, Request};
use crate::patience::{slowly, until};

/// Larger bodies are a mistake in a test.
const BODY_LIMIT: usize = 256 * 1024 * 1024;
const CHUNK: usize = 8 * 1024;

/// A well-behaved origin on a loopback port of the kernel's choice.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What an origin was doing when it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Killed {
    /// Connections that held a request, read in part or whole, without its whole response.
    pub in_flight: usize,
    /// Connections without one.
    pub idle: usize,
}

#[derive(Debug)]
struct Shared {
    name: String,
    connections: AtomicUsize,
    requests: AtomicUsize,
    delays: AtomicUsize,
    open: AtomicUsize,
    killed_in_flight: AtomicUsize,
    killed_idle: AtomicUsize,
    keep_requests: AtomicBool,
    log: Mutex<Vec<Request>>,
}

impl Origin {
    pub async fn start(name: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Self::serve(listener, name)
    }

    /// On a given address, for one that has to come back where it was.
    pub async fn start_at(address: SocketAddr, name: &str) -> io::Result<Self> {
        Self::serve(TcpListener::bind(address).await?, name)
    }

    fn serve(listener: TcpListener, name: &str) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            delays: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            killed_in_flight: AtomicUsize::new(0),
            killed_idle: AtomicUsize::new(0),
            keep_requests: AtomicBool::new(false),
            log: Mutex::new(Vec::new()),
        });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, Arc::clone(&shared), stopped));
        Ok(Self { address, shared, stop, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Requests received whole so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Waits until so many requests have been received whole.
    pub async fn received(&self, requests: usize) {
        let what = format!("{requests} requests at {}", self.shared.name);
        until(&what, async || self.requests() >= requests).await;
    }

    /// The same of those whose answers are delayed.
    pub async fn delayed(&self, requests: usize) {
        let what = format!("{requests} delayed requests at {}", self.shared.name);
        until(&what, async || self.shared.delays.load(Ordering::Relaxed) >= requests).await;
    }

    /// From now on each request is kept for [`Self::recorded`]; not meant for load.
    pub fn record(&self) {
        self.shared.keep_requests.store(true, Ordering::Relaxed);
    }

    pub fn recorded(&self) -> Vec<Request> {
        self.shared.log().clone()
    }

    /// Dies as a killed process does: the port is refused and every connection is reset.
    pub async fn kill(self) -> Killed {
        let _ = self.stop.send(true);
        let _ = self.task.await;
        Killed {
            in_flight: self.shared.killed_in_flight.load(Ordering::Relaxed),
            idle: self.shared.killed_idle.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Vec<Request>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until told to stop, and until every connection has been cut then.
async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            // Also when the handle is gone, which ends the sender.
            _ = stopped.changed() => break,
        };
        while tasks.try_join_next().is_some() {}
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        shared.open.fetch_add(1, Ordering::Relaxed);
        let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
        tasks.spawn(async move {
            serve(stream, number, &shared, stopped).await;
            shared.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

async fn serve(
    mut stream: TcpStream,
    number: usize,
    shared: &Shared,
    mut stopped: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let mut busy = false;
    let mut decoder = Decoder::default();
    let end = tokio::select! {
        biased;
        _ = stopped.wait_for(|stop| *stop) => None,
        end = converse(&mut stream, &mut decoder, number, shared, &mut busy) => Some(end),
    };
    if end.is_none() {
        // Bytes that had arrived and were not read yet belong to a request, too.
        let unread = matches!(stream.try_read(&mut [0; 1]), Ok(1..));
        let in_flight = busy || unread || !decoder.is_idle();
        let counter = if in_flight { &shared.killed_in_flight } else { &shared.killed_idle };
        counter.fetch_add(1, Ordering::Relaxed);
        let _ = stream.set_zero_linger();
    }
}

async fn converse(
    stream: &mut TcpStream,
    decoder: &mut Decoder,
    number: usize,
    shared: &Shared,
    busy: &mut bool,
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(16 * 1024);
    loop {
        while let Ok(Some(request)) = decoder.request_head() {
            *busy = true;
            if request.headers.has_token("expect", "100-continue") {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            let request = loop {
                match decoder.request() {
                    Ok(Some(request)) => break request,
                    Ok(None) => fill(stream, decoder, &mut bytes).await?,
                    Err(_) => return refuse(stream).await,
                }
            };
            let ordinal = shared.requests.fetch_add(1, Ordering::Relaxed);
            let keep = request.keep_alive();
            answer(stream, &request, shared, (number, ordinal), keep).await?;
            if shared.keep_requests.load(Ordering::Relaxed) {
                shared.log().push(request);
            }
            *busy = false;
            if !keep {
                return stream.shutdown().await;
            }
        }
        if decoder.request_head().is_err() {
            return refuse(stream).await;
        }
        fill(stream, decoder, &mut bytes).await?;
    }
}

async fn fill(
    stream: &mut TcpStream,
    decoder: &mut Decoder,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    bytes.clear();
    if stream.read_buf(bytes).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    decoder.push(bytes);
    Ok(())
}

async fn refuse(stream: &mut TcpStream) -> io::Result<()> {
    stream
        .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .await?;
    stream.shutdown().await
}

async fn answer(
    stream: &mut TcpStream,
    request: &Request,
    shared: &Shared,
    numbers: (usize, usize),
    keep: bool,
) -> io::Result<()> {
    let path = request.target.split('?').next().unwrap_or_default();
    let mut parts = path.trim_start_matches('/').split('/');
    let kind = parts.next().unwrap_or_default();
    let number = parts.next().and_then(|text| text.parse::<usize>().ok());
    let mut status = 200;
    let mut chunked = false;
    let body = match (kind, number) {
        ("bytes" | "chunked", Some(length)) => {
            chunked = kind == "chunked";
            body_of(length.min(BODY_LIMIT))
        }
        ("status", Some(code)) => {
            status = code;
            if code == 204 || code == 304 { Vec::new() } else { echo(request, shared, numbers) }
        }
        ("delay", Some(milliseconds)) => {
            shared.delays.fetch_add(1, Ordering::Relaxed);
            slowly(Duration::from_millis(milliseconds as u64)).await;
            echo(request, shared, numbers)
        }
        _ => echo(request, shared, numbers),
    };
    let mut out = format!("HTTP/1.1 {status} Status\r\nx-origin: {}\r\n", shared.name);
    if !keep {
        out.push_str("connection: close\r\n");
    } else if request.http10 {
        out.push_str("connection: keep-alive\r\n");
    }
    // HTTP/1.0 knows no chunks.
    if chunked && !request.http10 {
        out.push_str("transfer-encoding: chunked\r\n\r\n");
        let mut out = out.into_bytes();
        if request.method != "HEAD" {
            for chunk in body.chunks(CHUNK) {
                out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                out.extend_from_slice(chunk);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
        }
        return stream.write_all(&out).await;
    }
    if status != 204 {
        out.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    if request.method != "HEAD" {
        out.extend_from_slice(&body);
    }
    stream.write_all(&out).await
}

/// The bytes of `/bytes/N`: what a client compares with.
pub(crate) fn body_of(length: usize) -> Vec<u8> {
    (0..length).map(|index| b"0123456789abcdef"[index % 16]).collect()
}

fn echo(request: &Request, shared: &Shared, (connection, ordinal): (usize, usize)) -> Vec<u8> {
    serde_json::json!({
        "origin": shared.name,
        "connection": connection,
        "request": ordinal,
        "method": request.method,
        "target": request.target,
        "headers": request.headers.0,
        "body": String::from_utf8_lossy(&request.body),
    })
    .to_string()
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ClientError, RawClient, fetch};

    #[tokio::test]
    async fn answers_by_path_and_keeps_the_connection() {
        let origin = Origin::start("a").await.unwrap();
        let mut client = RawClient::connect(origin.address()).await.unwrap();
        for (target, status, length) in
            [("/bytes/20", 200, 20), ("/chunked/20000", 200, 20_000), ("/status/204", 204, 0)]
        {
            let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
            client.send(request.as_bytes()).await.unwrap();
            let response = client.response().await.unwrap();
            assert_eq!((response.status, response.body.len()), (status, length), "{target}");
            assert_eq!(response.body, body_of(length));
        }
        client
            .send(b"POST /delay/1/x HTTP/1.1\r\nHost: y\r\ncontent-length: 2\r\n\r\nhi")
            .await
            .unwrap();
        let echo = client.response().await.unwrap().json();
        assert_eq!(echo["method"], "POST");
        assert_eq!(echo["body"], "hi");
        assert_eq!(echo["headers"][0], serde_json::json!(["Host", "y"]));
        assert_eq!((origin.connections(), origin.requests()), (1, 4));
        let closing =
            fetch(origin.address(), "HEAD", "/bytes/9", &["connection: close"]).await.unwrap();
        assert_eq!(closing.headers.first("content-length"), Some("9"));
        assert!(!closing.keep_alive());
    }

    #[tokio::test]
    async fn expectations_and_records() {
        let origin = Origin::start("a").await.unwrap();
        origin.record();
        let mut client = RawClient::connect(origin.address()).await.unwrap();
        let head =
            "PUT /x HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n";
        client.send(head.as_bytes()).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 100);
        client.send(b"z").await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 200);
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n").await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 400);
        assert_eq!(origin.recorded().len(), 1);
        assert_eq!(origin.recorded()[0].body, b"z");
    }

    #[tokio::test]
    async fn a_kill_counts_what_it_cuts() {
        let origin = Origin::start("a").await.unwrap();
        let address = origin.address();
        let mut busy = RawClient::connect(address).await.unwrap();
        let mut idle = RawClient::connect(address).await.unwrap();
        idle.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        idle.response().await.unwrap();
        busy.send(b"GET /delay/60000 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        while origin.requests() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(origin.kill().await, Killed { in_flight: 1, idle: 1 });
        assert!(matches!(busy.response().await, Err(ClientError::Reset(_))));
        assert!(matches!(idle.response().await, Err(ClientError::Reset(_))));
        assert!(matches!(RawClient::connect(address).await, Err(ClientError::Connect(_))));
    }
}
