//! Examples as somebody runs them who has nothing else yet.

use std::time::Duration;

use portcullis_testkit::client::RawClient;
use portcullis_testkit::lateness::Control;
use portcullis_testkit::process::{Process, Signal, free_address};
use portcullis_testkit::unverified::taking_any_certificate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::gateway::{BINARY, Gateway, LONG, get};

/// Runs a copy, with what cannot stand in two places at a time replaced.
fn run(name: &str, replaced: &[(&str, String)]) -> Gateway {
    let path = format!("{}/../config/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(path).unwrap();
    for (from, to) in replaced {
        assert!(text.contains(from), "{from} is not in {name}");
        text = text.replace(from, to);
    }
    let process = Process::start(BINARY, ["run", "--config", name], &[(name, &text)]).unwrap();
    Gateway { process }
}

#[tokio::test]
async fn the_one_of_unix_sockets_needs_no_preparation() {
    let mut gateway = run("unix.yaml", &[]);
    gateway.says(&["listening", "listener=\"local\""]).await;
    gateway.says(&["listening", "listener=\"admin\""]).await;
    let mut stream = UnixStream::connect(gateway.path("gateway.sock")).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nhost: users.internal\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(" 503 ") && answer.contains("upstream-connect"), "{answer}");
    gateway.signal(Signal::TERM);
    gateway.ends(LONG, 0).await;
}

/// The fastest of some requests, so that a busy machine does not fail it.
#[tokio::test]
async fn the_shop_starts_before_its_services_and_refuses_at_once() {
    let free = || free_address().unwrap().to_string();
    let by_kernel = || "127.0.0.1:0".to_owned();
    let mut gateway = run(
        "shop.yaml",
        &[
            ("[::]:8443", by_kernel()),
            ("[::]:8080", by_kernel()),
            ("127.0.0.1:9902", by_kernel()),
            ("127.0.0.1:9901", by_kernel()),
            ("127.0.0.1:7001", free()),
            ("127.0.0.1:7002", free()),
        ],
    );
    let status = gateway.address("status").await;
    assert_eq!(get(status, "/readyz").await.status, 200);
    let public = gateway.address("public").await;
    let tls = taking_any_certificate("localhost").unwrap();
    let mut client = RawClient::connect_tls(public, &tls).await.unwrap();
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let control = Control::start();
        client.send(b"GET /v1/products HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let response = client.response().await.unwrap();
        fastest = fastest.min(control.taken());
        assert_eq!(response.status, 503);
        assert_eq!(response.json()["reason"], "upstream-connect-failed");
    }
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
    gateway.signal(Signal::TERM);
    gateway.ends(LONG, 0).await;
}
