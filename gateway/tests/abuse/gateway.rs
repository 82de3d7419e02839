//! A gateway to be abused, and what that costs it.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_testkit::client::fetch;
use portcullis_testkit::h2::frame::{WHOLE, get, headers};
use portcullis_testkit::h2::{H2Client, Seen};
use portcullis_testkit::patience::found;
use portcullis_testkit::process::Process;
use portcullis_testkit::procfs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const LONG: Duration = Duration::from_secs(20);
const FILE: &str = "portcullis.yaml";
pub(crate) const MIB: u64 = 1024 * 1024;

pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    status: SocketAddr,
    /// Its configuration, without the blocks of its own.
    configuration: String,
}

impl Gateway {
    /// One that has served something, so that what it needs for that is there.
    pub(crate) async fn start(origin: SocketAddr) -> Self {
        Self::with(origin, "timeouts: {body: 1s, idle: 1s}", "", "").await
    }

    /// The same, with keys of its own in the listener and the upstream, and blocks of its own.
    pub(crate) async fn with(
        origin: SocketAddr,
        listener: &str,
        upstream: &str,
        blocks: &str,
    ) -> Self {
        let configuration = format!(
            "version: v1\nworkers: 1\nlisteners:\n\
             \x20 - {{name: public, address: \"127.0.0.1:0\", {listener}}}\n\
             \x20 - {{name: status, address: \"127.0.0.1:0\", kind: status}}\n\
             upstreams:\n  - {{name: back, endpoints: [{{address: \"{origin}\"}}], {upstream}}}\n\
             routes:\n\
             \x20 - {{name: own, match: {{path: {{prefix: /own}}}}, reply: {{status: 200, body: hello}}}}\n\
             \x20 - {{name: all, backends: [{{upstream: back}}]}}\n\
             accessLog: {{path: access.log}}\n"
        );
        Self::of(configuration, blocks).await
    }

    /// Of a whole configuration with listeners `public` and `status`, and a route `/own` that
    /// answers by itself.
    pub(crate) async fn of(configuration: String, blocks: &str) -> Self {
        let text = format!("{configuration}{blocks}");
        let binary = env!("CARGO_BIN_EXE_portcullis-gateway");
        let files = [(FILE, &*text)];
        let mut process = Process::start(binary, ["run", "--config", FILE], &files).unwrap();
        let address = bound(&mut process, "public").await;
        let status = bound(&mut process, "status").await;
        let gateway = Self { process, address, status, configuration };
        let mut client = gateway.client(&[]).await;
        let heads = (0..100).map(|at| headers(2 * at + 1, WHOLE, get("/own", &[])));
        client.send(&heads.collect::<Vec<_>>().concat()).await.unwrap();
        client.until(|seen: &Seen| seen.ended() == Some(199)).await.unwrap();
        gateway
    }

    pub(crate) async fn client(&self, settings: &[(u16, u32)]) -> H2Client {
        H2Client::open(self.address, None, settings).await.unwrap()
    }

    /// Other blocks of its own, which the gateway notices by itself.
    pub(crate) fn change(&self, blocks: &str) {
        let text = format!("{}{blocks}", self.configuration);
        self.process.replace_file(FILE, &text).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The value of a metric; absent is nothing.
    pub(crate) async fn metric(&self, line: &str) -> u64 {
        let text = fetch(self.status, "GET", "/metrics", &[]).await.unwrap().text();
        let found = text.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(' '));
        found.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until a metric has such a value.
    pub(crate) async fn reaches(&self, line: &str, wanted: impl Fn(u64) -> bool) {
        found(async || {
            let value = self.metric(line).await;
            if wanted(value) { Ok(()) } else { Err(format!("{line} is {value}")) }
        })
        .await;
    }

    /// Waits until a metric of the listener has this value.
    pub(crate) async fn counts(&self, name: &str, labels: &str, expected: u64) {
        let line = format!("portcullis_listener_{name}{{listener=\"public\"{labels}}}");
        self.reaches(&line, |value| value == expected).await;
    }

    pub(crate) async fn counts_floods(&self, expected: u64) {
        self.counts("broken_off_connections_total", ",reason=\"flood\"", expected).await;
    }

    pub(crate) fn meter(&self) -> Cost<'_> {
        let pid = self.pid();
        procfs::forget_peak(pid).unwrap();
        let resident = procfs::resident_bytes(pid).unwrap();
        Cost { gateway: self, resident, processor: procfs::cpu_nanoseconds(pid).unwrap() }
    }

    /// The records of the access log that are whole.
    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        let path = self.process.directory().join("access.log");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text[..whole].lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn bound(process: &mut Process, listener: &str) -> SocketAddr {
    let name = format!("listener=\"{listener}\"");
    let says = |line: &str| line.contains("listening") && line.contains(&name);
    let line = process.line(LONG, says).await.unwrap();
    let (_, address) = line.split_once("address=").unwrap();
    address.split(' ').next().unwrap().parse().unwrap()
}

/// What something costs the gateway since this was made.
pub(crate) struct Cost<'a> {
    gateway: &'a Gateway,
    resident: u64,
    processor: u64,
}

impl Cost<'_> {
    /// Tells it, and fails beyond so many bytes.
    pub(crate) fn tell(&self, name: &str, end: &str, limit: u64) {
        let (grown, processor) = (self.grown(), self.processor());
        println!("{name}: {end}; {} KiB, {} ms of processor", grown / 1024, processor.as_millis());
        assert!(grown <= limit, "{name}: grown by {} KiB", grown / 1024);
    }

    /// By how many bytes it was larger at its largest.
    pub(crate) fn grown(&self) -> u64 {
        procfs::peak_resident_bytes(self.gateway.pid()).unwrap().saturating_sub(self.resident)
    }

    pub(crate) fn processor(&self) -> Duration {
        let now = procfs::cpu_nanoseconds(self.gateway.pid()).unwrap();
        Duration::from_nanos(now - self.processor)
    }
}

/// An origin that answers `/down` without an end, takes nothing of a body, and is quick otherwise.
pub(crate) async fn endless() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pour(stream));
        }
    });
    address
}

async fn pour(mut stream: TcpStream) {
    static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];
    let mut read = Vec::new();
    loop {
        match stream.read_buf(&mut read).await {
            Ok(1..) => {}
            _ => return,
        }
        if read.starts_with(b"POST") {
            // It stays open, and is not read, for longer than any test.
            return std::future::pending().await;
        }
        if !read.ends_with(b"\r\n\r\n") {
            continue;
        }
        if read.starts_with(b"GET /down") {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n";
            let _ = stream.write_all(head).await;
            while stream.write_all(&PIECE).await.is_ok() {}
            return;
        }
        read.clear();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    }
}
