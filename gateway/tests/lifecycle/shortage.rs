//! A process that runs out of descriptors.

use std::time::{Duration, Instant};

use portcullis_testkit::client::RawClient;
use portcullis_testkit::lateness::Control;
use portcullis_testkit::patience::rest;
use portcullis_testkit::process::{Process, Signal};
use portcullis_testkit::{client, procfs};
use tokio::time::timeout;

use crate::gateway::{BINARY, FILE, Gateway, LONG, eventually, replying};

#[tokio::test]
async fn without_descriptors_it_waits_quietly_and_recovers() {
    let script = format!("ulimit -n 48; exec '{BINARY}' run --config {FILE}");
    let status = "  - {name: status, address: \"127.0.0.1:0\", kind: status}\nroutes:";
    let text = |body| replying(body).replace("routes:", status);
    let process = Process::start("sh", ["-c", &script], &[(FILE, &text("hello"))]).unwrap();
    let mut gateway = Gateway { process };
    let address = gateway.address("public").await;
    let started = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..80 {
        clients.push(RawClient::connect(address).await.unwrap());
    }
    gateway.says(&["accepting pauses", "out of descriptors", "LimitNOFILE", "48"]).await;
    let pid = gateway.process.pid();
    let (before, since) = (procfs::cpu_nanoseconds(pid).unwrap(), Instant::now());
    rest(Duration::from_millis(700)).await;
    let spent = Duration::from_nanos(procfs::cpu_nanoseconds(pid).unwrap() - before);
    assert!(spent < since.elapsed() / 5, "a busy loop: {spent:?} of {:?}", since.elapsed());
    // Those that were accepted are served meanwhile.
    clients[0].send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(clients[0].response().await.unwrap().text(), "hello");
    // Files that cannot be opened are not taken for files that are gone or wrong.
    gateway.write(&text("good day"));
    gateway.signal(Signal::HUP);
    let line = gateway.says(&["the configuration is not read", "ulimit -n"]).await;
    assert!(line.contains("what serves goes on"), "{line}");
    drop(clients);
    let control = Control::start();
    let answer = client::fetch(address, "GET", "/", &[]);
    let answer = timeout(LONG, answer).await.unwrap().unwrap();
    assert_eq!(answer.status, 200);
    assert!(control.taken() < Duration::from_secs(1), "back after {:?}", control.taken());
    gateway.signal(Signal::HUP);
    eventually(address, "/", "good day").await;
    let status = gateway.address("status").await;
    let metrics = client::fetch(status, "GET", "/metrics", &[]).await.unwrap().text();
    let series = "portcullis_listener_accept_failures_total{listener=\"public\",\
                  reason=\"descriptors\"} ";
    assert!(metrics.contains(series), "{metrics}");
    let lines = gateway.process.lines();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count("last good"), 0, "{lines:#?}");
    // Ten tries a second, and one line in ten seconds.
    let most = 1 + started.elapsed().as_secs() / 10;
    assert!(count("accepting pauses") as u64 <= most, "{lines:#?}");
}
