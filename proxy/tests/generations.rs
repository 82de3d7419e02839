//! What becomes of a generation when the next one serves. In process: only here is it seen when
//! a snapshot is dropped.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use portcullis_config::Loader;
use portcullis_config::model::ListenAddress;
use portcullis_proxy::control::fingerprint::of_configuration;
use portcullis_proxy::control::reload::{LastReload, Reloader, Trigger};
use portcullis_proxy::server::Server;
use portcullis_proxy::snapshot::Snapshot;
use portcullis_testkit::client::RawClient;
use portcullis_testkit::origin::Origin;
use portcullis_testkit::websocket::{Frame, WebSocketOrigin, connect};

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
        let seen = of_configuration(folder.path());
        let mut loader = Loader::new(folder.path());
        let config = loader.load().result.unwrap_or_else(|failed| {
            panic!("{}", failed.report.render(&failed.sources, false));
        });
        loader.commit();
        let server = Server::start(Arc::new(config.config)).await.unwrap();
        Self { folder, server, reloader: Reloader::new(loader, seen) }
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

    async fn client(&self) -> RawClient {
        let (_, address) = self.server.addresses().remove(0);
        let ListenAddress::Tcp { address, .. } = address else { panic!("not TCP") };
        RawClient::connect(address).await.unwrap()
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

async fn dropped(snapshot: &Weak<Snapshot>) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while snapshot.strong_count() > 0 {
        let left = snapshot.strong_count();
        assert!(tokio::time::Instant::now() < deadline, "{left} still hold the generation");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
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
    while origin.requests() == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(fixture.reload(Trigger::Asked).await.unwrap().generation, 2);
    assert!(first.strong_count() > 0, "the slow request has its generation");
    assert_eq!(slow.response().await.unwrap().status, 200);
    dropped(&first).await;
    for (used, fresh) in &mut idle {
        for client in [used, fresh] {
            client.send(GET).await.unwrap();
            assert_eq!(client.response().await.unwrap().status, 200);
        }
    }
    let second = fixture.serving();
    fixture.reload(Trigger::Asked).await.unwrap();
    dropped(&second).await;
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
    dropped(&first).await;
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
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while requests(&fixture) < 6.0 {
        assert!(tokio::time::Instant::now() < deadline, "{}", requests(&fixture));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
    dropped(&first).await;
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
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while open() > 0.0 {
        assert!(tokio::time::Instant::now() < deadline, "it is still counted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
