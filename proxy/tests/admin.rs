//! Status listeners and the admin API of a running server, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::Loader;
use portcullis_config::model::ListenAddress;
use portcullis_proxy::admin::handle::Handle;
use portcullis_proxy::control::fingerprint::{PolicyFiles, of_configuration};
use portcullis_proxy::control::reload::Reloader;
use portcullis_proxy::server::{Control, Server, ShutdownOutcome, StartError};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// A server that runs on this test's runtime until it is drained.
struct Running {
    folder: tempfile::TempDir,
    addresses: Vec<(String, ListenAddress)>,
    handle: Handle,
    end: tokio::task::JoinHandle<ShutdownOutcome>,
}

impl Running {
    async fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("gateway.yaml"), config).unwrap();
        let control = control(folder.path()).await.unwrap();
        let addresses = control.server().addresses();
        let handle = control.handle();
        let end = tokio::task::spawn_local(control.run());
        Self { folder, addresses, handle, end }
    }

    fn write(&self, config: &str) {
        std::fs::write(self.folder.path().join("gateway.yaml"), config).unwrap();
    }

    fn tcp(&self, name: &str) -> SocketAddr {
        match &self.addresses.iter().find(|(known, _)| known == name).unwrap().1 {
            ListenAddress::Tcp { address, .. } => *address,
            ListenAddress::Unix(path) => panic!("{} is not TCP", path.display()),
        }
    }

    async fn drained(self) -> ShutdownOutcome {
        // It may be draining already.
        let _ = self.handle.drain().await;
        self.end.await.unwrap()
    }
}

async fn control(folder: &Path) -> Result<Control, StartError> {
    let path = folder.join("gateway.yaml");
    let seen = of_configuration(&path);
    let mut loader = Loader::new(path);
    let loaded = loader.load().result.unwrap();
    loader.commit();
    let policies = PolicyFiles::of(&loaded.config);
    let server = Server::start(Arc::new(loaded.config)).await?;
    Control::new(server, Reloader::new(loader, seen, policies))
}

/// Runs a test as the control runtime runs: on one thread, with tasks that stay on it.
fn on_control_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let limited = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    runtime.block_on(local.run_until(limited)).expect("the test hangs");
}

/// Sends one request and reads its answer to the end.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> (u16, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn plain(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n")
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    exchange(TcpStream::connect(address).await.unwrap(), &plain("GET", path, "")).await
}

/// The header with the token below, which is in the environment of every test.
fn authorization() -> String {
    let token = std::env::var("CARGO_PKG_NAME").unwrap();
    format!("authorization: Bearer {token}\r\n")
}

async fn reload(address: SocketAddr) -> (u16, Value) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (status, body) = exchange(stream, &plain("POST", "/reload", &authorization())).await;
    (status, serde_json::from_str(&body).unwrap())
}

const CONFIG: &str = r#"version: v1
workers: 1
listeners:
  - {name: public, address: "127.0.0.1:0"}
  - {name: status, address: "127.0.0.1:0", kind: status}
routes:
  - {name: hello, reply: {status: 200, body: hello}}
accessLog: {path: disabled}
admin: {address: "127.0.0.1:0", token: "${env:CARGO_PKG_NAME}"}
shutdown: {drainTimeout: 20s}
"#;

#[test]
fn readiness_ends_at_once_while_the_drain_goes_on() {
    on_control_runtime(async {
        let running = Running::start(CONFIG).await;
        let status = running.tcp("status");
        assert_eq!(get(status, "/readyz").await.0, 200);
        assert_eq!(get(status, "/reload").await.0, 404);
        // Half a request keeps its connection, and so the drain, open.
        let mut busy = TcpStream::connect(running.tcp("public")).await.unwrap();
        busy.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n")
            .await
            .unwrap();
        loop {
            let (_, metrics) = get(status, "/metrics").await;
            if metrics.contains("portcullis_listener_connections{listener=\"public\"} 1") {
                break;
            }
        }
        running.handle.drain().await.unwrap();
        let (code, body) = loop {
            let answer = get(status, "/readyz").await;
            if answer.0 != 200 {
                break answer;
            }
        };
        assert_eq!((code, body.contains("draining")), (503, true), "{body}");
        assert_eq!(get(status, "/livez").await.0, 200);
        assert_eq!(reload(running.tcp("admin")).await.0, 503);
        assert!(!running.end.is_finished());
        let (code, body) = exchange(busy, "\r\n").await;
        assert_eq!((code, &*body), (200, "hello"));
        assert_eq!(running.drained().await, ShutdownOutcome::Drained);
    });
}

#[test]
fn a_broken_file_is_shown_and_changes_nothing() {
    on_control_runtime(async {
        let running = Running::start(CONFIG).await;
        let admin = running.tcp("admin");
        running.write(&CONFIG.replace("body: hello", "bodyy: hello"));
        let (status, problem) = reload(admin).await;
        assert_eq!(status, 422);
        assert_eq!(problem["generation"], 1);
        let report = problem["report"].as_str().unwrap();
        assert!(report.contains("gateway.yaml:7:"), "{report}");
        assert!(report.contains("^") && report.contains("bodyy"), "{report}");
        let (_, version) = get(admin, "/version").await;
        let version: Value = serde_json::from_str(&version).unwrap();
        assert_eq!(version["generation"], 1);
        assert_eq!(version["lastReload"]["report"], report);
        assert_eq!(get(running.tcp("public"), "/").await.1, "hello");

        running.write(&CONFIG.replace("body: hello", "body: welcome"));
        let (status, answer) = reload(admin).await;
        // The change may have been noticed before it was told.
        assert!(status == 200 && answer["generation"].as_u64() >= Some(2), "{answer}");
        assert_eq!(get(running.tcp("public"), "/").await.1, "welcome");
        let (_, routes) = get(admin, "/routes").await;
        let routes: Value = serde_json::from_str(&routes).unwrap();
        assert_eq!(routes["listeners"][0]["routes"][0]["action"]["reply"]["body"], "welcome");
        assert_eq!(running.drained().await, ShutdownOutcome::Drained);
    });
}

#[test]
fn listeners_come_go_and_move_with_a_reload() {
    // The file is watched too. Where the machine stands still between the change and the request,
    // the watcher is first, and nothing is learned of the request.
    const TRIES: usize = 10;
    let told = || {
        let mut told = false;
        on_control_runtime(async { told = listeners_move().await });
        told
    };
    assert!((0..TRIES).any(|_| told()), "the watcher was first {TRIES} times");
}

/// Whether it was the request that reloaded.
async fn listeners_move() -> bool {
    let running = Running::start(CONFIG).await;
    let (admin, status) = (running.tcp("admin"), running.tcp("status"));
    let moved = running.folder.path().join("admin.sock");
    let added = CONFIG.replace("name: status", "name: probes").replace(
        r#"address: "127.0.0.1:0", token: "${env:CARGO_PKG_NAME}""#,
        &format!(r#"address: "unix:{}""#, moved.display()),
    );
    // Asked at an address that this very reload gives up: the answer still comes.
    let mut stream = TcpStream::connect(admin).await.unwrap();
    running.write(&added);
    let request = plain("POST", "/reload", &authorization());
    let (sent, mut answer) = (stream.write_all(request.as_bytes()).await, String::new());
    let read = stream.read_to_string(&mut answer).await;
    // The new configuration has no token, and over TCP nothing goes without; nor is anybody there.
    if sent.is_err() || read.is_err() || answer.is_empty() || answer.starts_with("HTTP/1.1 403") {
        return false;
    }
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for gone in [admin, status] {
        assert!(TcpStream::connect(gone).await.is_err(), "{gone} is still open");
    }
    assert_eq!(std::fs::metadata(&moved).unwrap().permissions().mode() & 0o777, 0o600);
    let ask = async |method: &str, path: &str| {
        exchange(UnixStream::connect(&moved).await.unwrap(), &plain(method, path, "")).await
    };
    let (_, listeners) = ask("GET", "/listeners").await;
    let listeners: Value = serde_json::from_str(&listeners).unwrap();
    let probes = &listeners["listeners"][1];
    assert_eq!((&probes["name"], &probes["kind"]), (&"probes".into(), &"status".into()));
    let probes: SocketAddr = probes["address"].as_str().unwrap().parse().unwrap();
    assert_eq!(get(probes, "/readyz").await.0, 200);

    // No token is configured: over the Unix socket none is needed.
    assert_eq!(ask("POST", "/drain").await.0, 202);
    assert_eq!(running.end.await.unwrap(), ShutdownOutcome::Drained);
    assert!(!moved.exists());
    true
}

#[test]
fn what_cannot_be_bound_refuses_the_reload_and_the_start() {
    on_control_runtime(async {
        let running = Running::start(CONFIG).await;
        let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let held = holder.local_addr().unwrap();
        let config = CONFIG.replace(
            r#"name: status, address: "127.0.0.1:0""#,
            &format!(r#"name: status, address: "{held}""#),
        );
        running.write(&config);
        let (status, problem) = reload(running.tcp("admin")).await;
        let report = problem["report"].as_str().unwrap();
        assert_eq!((status, &problem["generation"]), (422, &Value::from(1)), "{report}");
        assert!(
            report.contains("gateway.yaml:5:") && report.contains("cannot be bound"),
            "{report}"
        );
        assert_eq!(get(running.tcp("status"), "/readyz").await.0, 200);

        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("gateway.yaml"), &config).unwrap();
        let Err(StartError::World(faults)) = control(folder.path()).await else {
            panic!("it starts");
        };
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].location.line, 5);
        assert_eq!(running.drained().await, ShutdownOutcome::Drained);
    });
}

#[test]
fn slow_clients_keep_nobody_out() {
    on_control_runtime(async {
        let running = Running::start(CONFIG).await;
        let status = running.tcp("status");
        let mut slow = Vec::new();
        for _ in 0..300 {
            let mut stream = TcpStream::connect(status).await.unwrap();
            stream.write_all(b"GET /livez HTT").await.unwrap();
            slow.push(stream);
        }
        assert_eq!(get(status, "/livez").await.0, 200);
        // The oldest gave way.
        let mut byte = [0];
        assert!(matches!(slow[0].read(&mut byte).await, Ok(0) | Err(_)));
        assert_eq!(running.drained().await, ShutdownOutcome::Drained);
    });
}

#[test]
fn listeners_whose_port_the_kernel_chooses_are_told_apart() {
    on_control_runtime(async {
        let config = CONFIG.replace(
            "routes:\n",
            "  - {name: other, address: \"127.0.0.1:0\"}\nroutes:\n  \
             - {name: there, listeners: [other], match: {path: {exact: /}}, \
             reply: {status: 200, body: there}}\n",
        );
        let running = Running::start(&config).await;
        for round in 0..2 {
            let (public, other) = (running.tcp("public"), running.tcp("other"));
            assert_ne!(public, other);
            assert_eq!(get(public, "/").await.1, "hello", "round {round}");
            assert_eq!(get(other, "/").await.1, "there", "round {round}");
            // A reload keeps them where they are.
            assert_eq!(reload(running.tcp("admin")).await.0, 200);
        }
        assert_eq!(running.drained().await, ShutdownOutcome::Drained);
    });
}

#[test]
fn tunnels_are_shown_beside_requests() {
    const TUNNELS: &str = r#"version: v1
workers: 1
listeners:
  - {name: database, address: "127.0.0.1:0", kind: tcp, tls: {selfSigned: true}}
  - {name: secure, address: "127.0.0.1:0", kind: tls-passthrough}
  - {name: public, address: "127.0.0.1:0"}
upstreams:
  - {name: back, endpoints: [{address: "127.0.0.1:1"}]}
routes:
  - {name: rows, listeners: [database], backends: [{upstream: back}]}
  - {name: hello, listeners: [public], reply: {status: 200, body: hello}}
  - {name: shop, listeners: [secure], match: {sni: ["*.shop.test"]}, backends: [{upstream: back}]}
accessLog: {path: disabled}
admin: {address: "127.0.0.1:0", token: "${env:CARGO_PKG_NAME}"}
"#;
    on_control_runtime(async {
        let running = Running::start(TUNNELS).await;
        let admin = running.tcp("admin");
        let shown = |body: String| -> Value { serde_json::from_str(&body).unwrap() };
        let closed = TcpStream::connect(running.tcp("secure")).await.unwrap();
        drop(closed);
        let listeners = shown(get(admin, "/listeners").await.1);
        for (at, name, kind, tls) in [
            (0, "database", "tcp", true),
            (1, "secure", "tls-passthrough", false),
            (2, "public", "http", false),
        ] {
            let listener = &listeners["listeners"][at];
            assert_eq!((&listener["name"], &listener["kind"]), (&name.into(), &kind.into()));
            assert_eq!(listener["tls"], tls);
            assert_eq!(listener["address"], running.tcp(name).to_string());
        }
        let certificates = shown(get(admin, "/certificates").await.1);
        assert_eq!(certificates["listeners"][0]["name"], "database");
        let routes = shown(get(admin, "/routes").await.1);
        let found: Vec<_> = routes["listeners"].as_array().unwrap().iter().collect();
        let of = |name: &str| {
            let listener = found.iter().find(|listener| listener["name"] == name).unwrap();
            listener["routes"][0].clone()
        };
        assert_eq!(of("public")["name"], "hello");
        assert_eq!(of("database")["name"], "rows");
        let shop = of("secure");
        assert_eq!(shop["match"]["sni"][0], "*.shop.test");
        assert_eq!(shop["action"]["backends"][0]["upstream"], "back");
        assert!(shop["location"].as_str().unwrap().contains("gateway.yaml:12"), "{shop}");
        running.drained().await;
    });
}
