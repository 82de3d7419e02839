//! What a burst of work leaves in memory once it is over.

use portcullis_testkit::client::RawClient;
use portcullis_testkit::origin::{Script, ScriptedOrigin};
use portcullis_testkit::patience::found;

use crate::gateway::{Gateway, LONG};

/// What may be left: pages that are partly in use, and code that was not run before.
const LEFT: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_forgotten() {
    let origin = ScriptedOrigin::start([Script::new().request().stall()]).await.unwrap();
    let mut gateway = Gateway::start(&format!(
        r#"version: v1
workers: 1
listeners:
  - {{name: public, address: "127.0.0.1:0"}}
upstreams:
  - {{name: origin, endpoints: [{{address: "{}"}}]}}
routes:
  - {{name: all, backends: [{{upstream: origin}}]}}
"#,
        origin.address()
    ));
    let address = gateway.address("public").await;
    let resident = || gateway.process.resident_bytes().unwrap();
    // So many requests at once, whose clients go away before an answer.
    let burst = async |count: usize| {
        let before = origin.connections().len();
        let long = "x".repeat(30_000);
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\nx-long: {long}\r\n\r\n");
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            let mut client = RawClient::connect(address).await.unwrap();
            client.send(request.as_bytes()).await.unwrap();
            clients.push(client);
        }
        assert!(origin.until(LONG, |connections| connections.len() == before + count).await);
        resident()
    };
    let before = burst(10).await;
    let peak = burst(400).await;
    assert!(peak > before + 12 * LEFT, "{before} bytes, then {peak}: that was no burst");
    found(async || {
        let now = resident();
        let said = format!("{before} bytes, then {peak}, and {now} in the end");
        if now < before + LEFT { Ok(()) } else { Err(said) }
    })
    .await;
}
