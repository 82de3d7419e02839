//! What becomes of a generation when the next one serves. In process: only here is it seen when
//! a snapshot is dropped.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use portcullis_config::model::ListenAddress;
use portcullis_config::{Loader, SecretSource, SystemSecrets};
use portcullis_proxy::admin::handle::LastReload;
use portcullis_proxy::control::fingerprint::{PolicyFiles, of_configuration};
use portcullis_proxy::control::reload::{Reloader, Trigger};
use portcullis_proxy::server::Server;
use portcullis_proxy::snapshot::Snapshot;
use portcullis_testkit::client::RawClient;
use portcullis_testkit::origin::Origin;
use portcullis_testkit::patience::{found, until};
use portcullis_testkit::websocket::{Frame, WebSocketOrigin, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const GET: &[u8] = b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n";
const SLOW: &[u8] = b"GET /delay/700/x HTTP/1.1\r\nhost: x\r\n\r\n";

struct Fixture {
    folder: tempfile::TempDir,
    server: Server,
    reloader: Reloader,
}

impl Fixture {
    /// A directory of files, as text.
    async fn start(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self::of(folder, SystemSecrets).await
    }

    async fn of(
        folder: tempfile::TempDir,
        secrets: impl SecretSource + Send + Sync + 'static,
    ) -> Self {
        let seen = of_configuration(folder.path());
        let mut loader = Loader::with_secrets(folder.path(), Box::new(secrets));
        let config = loader.load().result.unwrap_or_else(|failed| {
            panic!("{}", failed.report.render(&failed.sources, false));
        });
        loader.commit();
        let policies = PolicyFiles::of(&config.config);
        let server = Server::start(Arc::new(config.config)).await.unwrap();
        Self { folder, server, reloader: Reloader::new(loader, seen, policies) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn reload(&mut self, trigger: Trigger) -> Option<LastReload> {
        self.reloader.reload(&mut self.server.publisher, trigger).await
    }

    fn serving(&self) -> Weak<Snapshot> {
        Arc::downgrade(&self.server.publisher.published.load_full())
    }

    fn address(&self) -> std::net::SocketAddr {
        let (_, address) = self.server.addresses().remove(0);
        let ListenAddress::Tcp { address, .. } = address else { panic!("not TCP") };
        address
    }

    async fn client(&self) -> RawClient {
        RawClient::connect(self.address()).await.unwrap()
    }

    /// The samples of one metric, as Prometheus would see them.
    fn samples(&self, name: &str) -> Vec<(Vec<String>, f64)> {
        let families = self.server.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let sample = |metric: &prometheus::proto::Metric| {
            let labels = metric.get_label().iter().map(|label| label.value().to_owned()).collect();
            (labels, metric.get_counter().get_value() + metric.get_gauge().get_value())
        };
        metrics.iter().map(sample).collect()
    }
}

fn configuration(origin: &Origin) -> String {
    configuration_of(origin.address())
}

fn configuration_of(origin: SocketAddr) -> String {
    format!(
        r#"version: v1
workers: 2
listeners:
  - {{name: public, address: "127.0.0.1:0", kind: http}}
upstreams:
  - {{name: origin, endpoints: [{{address: "{}"}}]}}
routes:
  - {{name: all, match: {{path: {{prefix: /}}}}, backends: [{{upstream: origin}}]}}
accessLog: {{path: disabled}}
"#,
        origin
    )
}

/// Waits until nobody holds the generation any more, and does meanwhile what the control loop
/// would: it lets go of what serves no more.
async fn dropped(fixture: &mut Fixture, snapshot: &Weak<Snapshot>) {
    found(async || {
        fixture.server.publisher.retired.let_go();
        match snapshot.strong_count() {
            0 => Ok(()),
            left => Err(format!("{left} still hold the generation")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_dies_with_its_last_request_and_idle_connections_do_not_keep_it() {
    let origin = Origin::start("a").await.unwrap();
    let mut fixture = Fixture::start(&[("a.yaml", &configuration(&origin))]).await;
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut client = fixture.client().await;
        client.send(GET).await.unwrap();
        client.response().await.unwrap();
        // One that has sent nothing yet, too.
        idle.push((client, fixture.client().await));
    }
    let first = fixture.serving();
    let mut slow = fixture.client().await;
    let before = origin.requests();
    slow.send(SLOW).await.unwrap();
    origin.received(before + 1).await;
    assert_eq!(fixture.reload(Trigger::Asked).await.unwrap().generation, 2);
    assert!(first.strong_count() > 1, "the slow request has its generation, as the retired have");
    assert_eq!(slow.response().await.unwrap().status, 200);
    dropped(&mut fixture, &first).await;
    for (used, fresh) in &mut idle {
        for client in [used, fresh] {
            client.send(GET).await.unwrap();
            assert_eq!(client.response().await.unwrap().status, 200);
        }
    }
    let second = fixture.serving();
    fixture.reload(Trigger::Asked).await.unwrap();
    dropped(&mut fixture, &second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reloads_with_other_routes_leave_one_generation_and_its_series() {
    let origin = Origin::start("a").await.unwrap();
    let text = configuration(&origin);
    let numbered = |number: u32| text.replace("name: all", &format!("name: all-{number}"));
    let mut fixture = Fixture::start(&[("a.yaml", &numbered(0))]).await;
    let mut client = fixture.client().await;
    let mut gone = Vec::new();
    for number in 1..=50 {
        client.send(GET).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 200);
        gone.push(fixture.serving());
        std::fs::write(fixture.path("a.yaml"), numbered(number)).unwrap();
        fixture.reload(Trigger::Noticed).await.unwrap();
    }
    client.send(GET).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 200);
    for snapshot in &gone {
        dropped(&mut fixture, snapshot).await;
    }
    let served = |(labels, _): (Vec<String>, f64)| labels[0].clone();
    let series = fixture.samples("portcullis_requests_total").into_iter().map(served);
    let routes: Vec<_> = series.filter(|route| !route.is_empty()).collect();
    assert_eq!(routes, ["all-50"]);
}

/// How often the allocator of the test below was asked for memory.
static GIVEN_BACK: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_asked_for_behind_all_work() {
    let origin = Origin::start("a").await.unwrap();
    let text = configuration(&origin).replace("workers: 2", "workers: 1");
    let config = portcullis_config::parse_str("test.yaml", &text).unwrap().config;
    let count = || {
        GIVEN_BACK.fetch_add(1, Ordering::Relaxed);
    };
    let server = Server::start_with(Arc::new(config), count).await.unwrap();
    let (_, ListenAddress::Tcp { address, .. }) = server.addresses().remove(0) else {
        panic!("not TCP");
    };
    let asked = async |times: usize| {
        let what = format!("the allocator is asked {times} times");
        until(&what, async || GIVEN_BACK.load(Ordering::Relaxed) >= times).await;
    };
    asked(1).await;
    let mut client = RawClient::connect(address).await.unwrap();
    client.send(GET).await.unwrap();
    client.response().await.unwrap();
    asked(2).await;
    drop(client);
    asked(3).await;
}

/// A removed listener keeps the generation that it was in, and only as long as it has connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_listener_lets_its_generation_go() {
    let origin = Origin::start("a").await.unwrap();
    let text = configuration(&origin);
    let mut fixture = Fixture::start(&[("a.yaml", &text)]).await;
    let mut idle = fixture.client().await;
    idle.send(GET).await.unwrap();
    idle.response().await.unwrap();
    let first = fixture.serving();
    std::fs::write(fixture.path("a.yaml"), text.replace("127.0.0.1:0", "127.0.0.2:0")).unwrap();
    fixture.reload(Trigger::Noticed).await.unwrap();
    idle.read_to_end().await.unwrap();
    drop(idle);
    dropped(&mut fixture, &first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_go_on_and_files_left_behind_are_named() {
    let origin = Origin::start("a").await.unwrap();
    let more = "version: v1\nroutes:\n  \
                - {name: more, match: {path: {exact: /more}}, reply: {status: 200}}\n";
    let files = [("a.yaml", configuration(&origin)), ("b.yaml", more.to_owned())];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let mut fixture = Fixture::start(&files).await;
    let requests = |fixture: &Fixture| -> f64 {
        fixture.samples("portcullis_requests_total").iter().map(|(_, value)| value).sum()
    };
    let mut client = fixture.client().await;
    for _ in 0..5 {
        client.send(GET).await.unwrap();
        client.response().await.unwrap();
    }
    assert!(fixture.reload(Trigger::Noticed).await.is_none(), "nothing has changed");
    std::fs::write(fixture.path("b.yaml"), more.replace("200", "two hundred")).unwrap();
    let last = fixture.reload(Trigger::Noticed).await.unwrap();
    assert!(last.problems.contains("b.yaml:3:"), "{}", last.problems);
    assert_eq!(last.stale, [fixture.path("b.yaml")]);
    let stale = fixture.samples("portcullis_config_stale");
    let named = |(labels, value): &(Vec<String>, f64)| {
        labels.iter().any(|label| Path::new(label).ends_with("b.yaml")) && *value == 1.0
    };
    assert!(stale.iter().any(named), "{stale:?}");
    client.send(GET).await.unwrap();
    client.response().await.unwrap();
    // The last request is counted when its record is written, just after its response.
    until("six requests are counted", async || requests(&fixture) >= 6.0).await;
    assert_eq!(requests(&fixture), 6.0);
    std::fs::write(fixture.path("b.yaml"), more).unwrap();
    assert_eq!(fixture.reload(Trigger::Noticed).await.unwrap().problems, "");
    let stale = fixture.samples("portcullis_config_stale");
    assert!(!stale.iter().any(named), "{stale:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_outlives_the_generation_that_let_it_in() {
    let origin = WebSocketOrigin::start().await.unwrap();
    let text = configuration_of(origin.address().unwrap());
    let mut fixture = Fixture::start(&[("a.yaml", &text)]).await;
    let first = fixture.serving();
    let (_, ListenAddress::Tcp { address, .. }) = fixture.server.addresses().remove(0) else {
        panic!("not TCP")
    };
    let (client, server) = tokio::join!(connect(address, "/live"), origin.accept());
    let (mut client, mut server) = (client.unwrap().0, server.unwrap().0);
    assert_eq!(fixture.reload(Trigger::Asked).await.unwrap().generation, 2);
    dropped(&mut fixture, &first).await;
    client.send(&Frame::text("still here")).await.unwrap();
    assert_eq!(server.expect().await.unwrap().payload, b"still here");
    let open = || -> f64 {
        let samples = fixture.samples("portcullis_websocket_connections");
        samples.iter().map(|(_, value)| value).sum()
    };
    assert_eq!(open(), 1.0);
    client.send(&Frame::close(1000)).await.unwrap();
    server.expect().await.unwrap();
    server.send(&Frame::close(1000)).await.unwrap();
    client.expect().await.unwrap();
    assert_eq!(client.next().await.unwrap(), None);
    until("it is not counted any more", async || open() == 0.0).await;
}

/// A listener of this kind with a route of this name to the address.
fn tunnels(kind: &str, route: &str, keys: &str, to: std::net::SocketAddr) -> String {
    format!(
        "version: v1\nworkers: 1\n\
         listeners: [{{name: public, address: \"127.0.0.1:0\", kind: {kind}}}]\n\
         upstreams: [{{name: back, endpoints: [{{address: \"{to}\"}}]}}]\n\
         routes: [{{name: {route}, listeners: [public], backends: [{{upstream: back}}], {keys}}}]\n\
         accessLog: {{path: disabled}}\n"
    )
}

#[tokio::test]
async fn a_tunnel_outlives_reloads_without_a_generation_until_its_route_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let text = tunnels("tcp", "rows", "", to);
    let mut fixture = Fixture::start(&[("a.yaml", &text)]).await;
    let mut client = TcpStream::connect(fixture.address()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut byte = [0];
    for generation in 2..5 {
        let before = fixture.serving();
        let keys = format!("timeouts: {{idle: {generation}m}}");
        std::fs::write(fixture.path("a.yaml"), tunnels("tcp", "rows", &keys, to)).unwrap();
        assert_eq!(fixture.reload(Trigger::Asked).await.unwrap().generation, generation);
        dropped(&mut fixture, &before).await;
        client.write_all(b"x").await.unwrap();
        server.read_exact(&mut byte).await.unwrap();
    }
    // Another name is another route, whatever it does.
    let before = fixture.serving();
    std::fs::write(fixture.path("a.yaml"), tunnels("tcp", "others", "", to)).unwrap();
    assert_eq!(fixture.reload(Trigger::Asked).await.unwrap().generation, 5);
    let mut second = TcpStream::connect(fixture.address()).await.unwrap();
    let (mut serving, _) = listener.accept().await.unwrap();
    let patience = Duration::from_secs(10);
    for stream in [&mut client, &mut server] {
        let end = tokio::time::timeout(patience, stream.read(&mut byte)).await.unwrap();
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }
    second.write_all(b"y").await.unwrap();
    serving.read_exact(&mut byte).await.unwrap();
    dropped(&mut fixture, &before).await;
    let gone = fixture.samples("portcullis_request_reasons_total");
    assert_eq!(gone.iter().map(|(_, count)| count).sum::<f64>(), 0.0, "its metrics went with it");
}

#[tokio::test]
async fn a_listener_may_change_its_kind_where_it_stands() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let mut fixture = Fixture::start(&[("a.yaml", &tunnels("http", "all", "", to))]).await;
    let address = fixture.address();
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    for (generation, kind) in [(2, "tcp"), (3, "http"), (4, "tcp")] {
        std::fs::write(fixture.path("a.yaml"), tunnels(kind, "all", "", to)).unwrap();
        assert_eq!(fixture.reload(Trigger::Asked).await.unwrap().generation, generation);
        assert_eq!(fixture.address(), address);
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"no HTTP\r\n\r\n").await.unwrap();
        if kind == "tcp" {
            let (mut server, _) = listener.accept().await.unwrap();
            let mut seen = [0; 11];
            server.read_exact(&mut seen).await.unwrap();
            assert_eq!(&seen, b"no HTTP\r\n\r\n");
        } else {
            let mut seen = [0; 12];
            client.read_exact(&mut seen).await.unwrap();
            assert_eq!(&seen, b"HTTP/1.1 400");
        }
    }
    // A connection of the first kind is not served as another one.
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let patience = Duration::from_secs(10);
    let end = tokio::time::timeout(patience, idle.read(&mut byte)).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

/// Fails as nothing that was foreseen does.
struct Panicking;

impl SecretSource for Panicking {
    fn environment(&self, name: &str) -> Result<String, String> {
        panic!("{name}");
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("there is none".to_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_reload_loses_no_address() {
    let origin = Origin::start("a").await.unwrap();
    let good = configuration(&origin);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), &good).unwrap();
    let mut fixture = Fixture::of(folder, Panicking).await;
    let before = fixture.server.addresses();
    let second = "  - {name: second, address: \"127.0.0.2:0\", kind: http}\nupstreams:";
    let more = good.replace("upstreams:", second);
    let panicking =
        format!("{more}admin: {{address: \"127.0.0.1:0\", token: \"${{env:TOKEN}}\"}}\n");
    std::fs::write(fixture.path("a.yaml"), panicking).unwrap();
    let last = fixture.reload(Trigger::Noticed).await.unwrap();
    assert!(last.refused && last.generation == 1, "{last:?}");
    assert_eq!(fixture.server.addresses(), before);
    std::fs::write(fixture.path("a.yaml"), more).unwrap();
    let last = fixture.reload(Trigger::Noticed).await.unwrap();
    assert_eq!((last.problems.as_str(), last.generation), ("", 2));
    let addresses = fixture.server.addresses();
    assert_eq!((addresses.len(), &addresses[0]), (2, &before[0]), "the first one is kept");
    let mut client = fixture.client().await;
    client.send(GET).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 200);
}
