//! A process that runs out of descriptors.

use std::time::Duration;

use portcullis_testkit::client::RawClient;
use portcullis_testkit::lateness::Control;
use portcullis_testkit::process::Process;
use portcullis_testkit::{client, procfs};
use tokio::time::timeout;

use crate::gateway::{BINARY, FILE, Gateway, LONG, replying};

#[tokio::test]
async fn without_descriptors_it_waits_quietly_and_recovers() {
    let script = format!("ulimit -n 48; exec '{BINARY}' run --config {FILE}");
    let process = Process::start("sh", ["-c", &script], &[(FILE, &replying("hello"))]).unwrap();
    let mut gateway = Gateway { process };
    let address = gateway.address("public").await;
    let mut clients = Vec::new();
    for _ in 0..80 {
        clients.push(RawClient::connect(address).await.unwrap());
    }
    gateway.says(&["out of descriptors"]).await;
    let pid = gateway.process.pid();
    let before = procfs::cpu_nanoseconds(pid).unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    let spent = Duration::from_nanos(procfs::cpu_nanoseconds(pid).unwrap() - before);
    assert!(spent < Duration::from_millis(150), "a busy loop: {spent:?} of 700 ms");
    // Those that were accepted are served meanwhile.
    clients[0].send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(clients[0].response().await.unwrap().text(), "hello");
    drop(clients);
    let control = Control::start();
    let answer = client::fetch(address, "GET", "/", &[]);
    let answer = timeout(LONG, answer).await.unwrap().unwrap();
    assert_eq!(answer.status, 200);
    assert!(control.taken() < Duration::from_secs(1), "back after {:?}", control.taken());
}
