use portcullis_testkit::client::{End, RawClient};
use portcullis_testkit::origin::{Script, ScriptedOrigin};
use portcullis_testkit::patience::found;

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(10);

/// All samples of a gauge in sum.
fn gauge(server: &Server, name: &str) -> f64 {
    let families = server.registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    let family = family.unwrap_or_else(|| panic!("there is no {name}"));
    family.get_metric().iter().map(|metric| metric.get_gauge().get_value()).sum()
}

async fn comes_to(server: &Server, name: &str, expected: f64) {
    found(async || {
        let now = gauge(server, name);
        if (now - expected).abs() > 0.0 { Err(format!("{name} is {now}")) } else { Ok(()) }
    })
    .await;
}

async fn served(client: &mut RawClient) {
    client.send(GET).await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 200);
}

/// One worker, one connection to the upstream, two clients at most: whatever the panic keeps is
/// missed by the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_one_connection_and_keeps_nothing() {
    let panicking = "HTTP/1.1 599 Panic\r\ncontent-length: 0\r\n\r\n";
    let first = Script::new().request().respond("ok").request().send(panicking).request();
    let later = Script::new().repeat(Script::new().request().respond("ok"));
    let origin = ScriptedOrigin::start([first, later]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.ndjson");
    let text = format!(
        "version: v1\nworkers: 1\n\
         listeners: [{{name: front, address: \"127.0.0.1:0\", connectionLimits: {{max: 2}}}}]\n\
         upstreams:\n  - name: back\n    endpoints: [{{address: \"{}\"}}]\n    \
         concurrency: {{maxConnections: 1}}\n\
         routes: [{{name: all, backends: [{{upstream: back}}]}}]\n\
         accessLog: {{path: \"{}\"}}\n",
        origin.address(),
        log.display()
    );
    let config = portcullis_config::parse_str("test.yaml", &text).unwrap().config;
    let mut server = Server::start(Arc::new(config)).await.unwrap();
    let (_, ListenAddress::Tcp { address, .. }) = server.addresses().remove(0) else {
        panic!("not TCP");
    };
    let mut kept = RawClient::connect(address).await.unwrap();
    served(&mut kept).await;
    let mut victim = RawClient::connect(address).await.unwrap();
    victim.send(GET).await.unwrap();
    let (bytes, end) = victim.read_to_end().await.unwrap();
    assert!(bytes.is_empty() && matches!(end, End::Closed | End::Reset), "{end:?}");
    comes_to(&server, "portcullis_listener_connections", 1.0).await;
    for name in ["upstream_active_connections", "endpoint_requests_in_flight"] {
        comes_to(&server, &format!("portcullis_{name}"), 0.0).await;
    }
    served(&mut kept).await;
    served(&mut RawClient::connect(address).await.unwrap()).await;
    drop(kept);
    comes_to(&server, "portcullis_listener_connections", 0.0).await;
    assert!(server.drain(PATIENCE, std::future::pending()).await);
    let records = std::fs::read_to_string(log).unwrap();
    let internal = records.lines().filter(|line| line.contains("\"reason\":\"internal\""));
    assert_eq!((records.lines().count(), internal.count()), (4, 1), "{records}");
}
