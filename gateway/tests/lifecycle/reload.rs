//! Reloads under load, and what many of them leave behind.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_testkit::client::RawClient;
use portcullis_testkit::http::Response;
use portcullis_testkit::load::{Load, LoadRequest};
use portcullis_testkit::origin::Origin;
use portcullis_testkit::process::Signal;
use portcullis_testkit::procfs;

use crate::gateway::{Gateway, eventually, forwarding, get};

/// Marks requests and responses with its number, on routes that come and go.
fn marked(origin: SocketAddr, generation: u32) -> String {
    let mut text = format!(
        r#"version: v1
workers: 2
listeners:
  - {{name: public, address: "127.0.0.1:0", kind: http}}
upstreams:
  - {{name: origin, endpoints: [{{address: "{origin}"}}]}}
  - {{name: other-{generation}, endpoints: [{{address: "{origin}"}}]}}
accessLog: {{path: access.log}}
routes:
  - {{name: number, match: {{path: {{exact: /number}}}}, reply: {{status: 200, body: "{generation}"}}}}
  - name: marked
    match: {{path: {{prefix: /}}}}
    requestHeaders: {{set: [{{name: x-mark, value: "{generation}"}}]}}
    responseHeaders: {{set: [{{name: x-mark, value: "{generation}"}}]}}
    backends: [{{upstream: origin}}]
"#
    );
    for index in 0..generation % 5 {
        text.push_str(&format!(
            "  - name: changing-{generation}-{index}\n    \
             match: {{path: {{exact: /{generation}/{index}}}}}\n    \
             backends: [{{upstream: other-{generation}}}]\n"
        ));
    }
    text
}

/// What the request was marked with is what the response was marked with.
fn same_mark(request: &LoadRequest, response: &Response) -> Result<(), String> {
    if request.bytes.starts_with(b"GET /number") {
        return Ok(());
    }
    let echo = response.json();
    let sent = echo["headers"].as_array().into_iter().flatten();
    let sent = sent.filter(|pair| pair[0] == "x-mark").map(|pair| pair[1].as_str());
    let sent: Vec<_> = sent.flatten().collect();
    let received: Vec<_> = response.headers.all("x-mark").collect();
    match sent == received && sent.len() == 1 {
        true => Ok(()),
        false => Err(format!("sent with {sent:?}, answered with {received:?}")),
    }
}

/// On a busy core a large configuration takes as long as it takes, and requests do not wait for it.
#[tokio::test]
async fn a_reload_stands_back_behind_requests() {
    let origin = Origin::start("a").await.unwrap();
    let mut gateway = Gateway::start(&marked(origin.address(), 0));
    gateway.address("public").await;
    gateway.write(&marked(origin.address(), 1));
    gateway.serves_generation(2).await;
    let threads = procfs::threads(gateway.process.pid()).unwrap();
    let nice = |name: &str| -> Vec<i32> {
        threads.iter().filter(|one| one.name.starts_with(name)).map(|one| one.nice).collect()
    };
    assert_eq!(nice("worker-"), [0, 0]);
    assert!(!nice("background").is_empty(), "{threads:?}");
    assert!(nice("background").iter().all(|nice| *nice == 19), "{threads:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_reloads_costs_no_request() {
    const RELOADS: u32 = 200;
    let origin = Origin::start("a").await.unwrap();
    let mut gateway = Gateway::start(&marked(origin.address(), 0));
    let address = gateway.address("public").await;
    let load = Load {
        requests: vec![
            LoadRequest::get("/echo"),
            LoadRequest::get("/number"),
            LoadRequest::post("/echo", b"something"),
        ],
        validator: Some(Arc::new(same_mark)),
        ..Load::get(address, "/", 400.0, Duration::from_secs(5))
    };
    let mut running = load.clone().start();
    let mut reports = Vec::new();
    let mut memory = Vec::new();
    for reload in 1..=RELOADS {
        gateway.write(&marked(origin.address(), reload));
        gateway.signal(Signal::HUP);
        eventually(address, "/number", &reload.to_string()).await;
        memory.push(gateway.process.resident_bytes().unwrap());
        // It goes on until the storm is over, however slow the machine is.
        if running.is_finished() {
            let next = load.clone().start();
            reports.push(std::mem::replace(&mut running, next).wait().await);
        }
    }
    reports.push(running.wait().await);
    let mut answered = 0;
    for report in &reports {
        assert_eq!(report.failed(), 0, "{report}");
        assert_eq!(report.unasked, 0);
        answered += report.ok();
    }
    let (early, late) = (memory[RELOADS as usize / 3], memory[RELOADS as usize - 1]);
    assert!(late < early + early / 5, "resident bytes grew from {early} to {late}");

    gateway.signal(Signal::TERM);
    gateway.ends(Duration::from_secs(10), 0).await;
    let log = gateway.log("access.log");
    assert!(log.len() as u64 >= answered);
    let numbers: Vec<u64> = log.iter().map(|line| line["generation"].as_u64().unwrap()).collect();
    assert!(numbers.iter().min() < Some(&20), "{:?}", numbers.iter().min());
    assert!(numbers.iter().max() > Some(&u64::from(RELOADS)), "{:?}", numbers.iter().max());
}

#[tokio::test]
async fn reloads_at_rest_leave_nothing_behind() {
    let origin = Origin::start("a").await.unwrap();
    let port = origin.address().port();
    let configuration = |number: u32| {
        marked(origin.address(), number).replace(
            "upstreams:",
            &format!(
                "upstreams:\n  - {{name: named, endpoints: [{{dns: localhost, port: {port}}}]}}"
            ),
        )
    };
    let mut gateway = Gateway::start(&configuration(0));
    let address = gateway.address("public").await;
    let mut idle = RawClient::connect(address).await.unwrap();
    idle.send(b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    idle.response().await.unwrap();
    let pid = gateway.process.pid();
    let mut first = None;
    for reload in 1..=120 {
        gateway.write(&configuration(reload));
        gateway.signal(Signal::HUP);
        gateway.serves_generation(u64::from(reload) + 1).await;
        if reload == 20 {
            eventually(address, "/number", "20").await;
            let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
            let descriptors = procfs::descriptors(pid).unwrap();
            first = Some((threads, descriptors, procfs::resident_bytes(pid).unwrap()));
        }
    }
    eventually(address, "/number", "120").await;
    let (threads, descriptors, memory) = first.unwrap();
    let threads_now = fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    // Those that may block come and go with their work.
    assert!(threads_now <= threads + 6, "{threads} threads, then {threads_now}");
    let descriptors_now = procfs::descriptors(pid).unwrap();
    assert!(descriptors_now <= descriptors + 8, "{descriptors}, then {descriptors_now}");
    // Generations are built and taken apart by threads that come and go, each with free memory of
    // its own. A hundred generations that were left behind would be several times as much.
    let memory_now = procfs::resident_bytes(pid).unwrap();
    println!("resident bytes: {memory}, then {memory_now}");
    assert!(memory_now < memory + memory / 10, "resident bytes: {memory}, then {memory_now}");
    idle.send(b"GET /number HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(idle.response().await.unwrap().text(), "120");
}

#[tokio::test]
async fn connections_to_unchanged_endpoints_are_kept() {
    let (first, second) = (Origin::start("a").await.unwrap(), Origin::start("b").await.unwrap());
    // One worker, so that one connection is enough.
    let configuration =
        |origins: &[SocketAddr]| forwarding(origins, "").replace("workers: 2", "workers: 1");
    let mut gateway = Gateway::start(&configuration(&[first.address()]));
    let address = gateway.address("public").await;
    for (generation, origins) in
        [(2, vec![first.address(), second.address()]), (3, vec![first.address()])]
    {
        for _ in 0..4 {
            assert_eq!(get(address, "/echo").await.status, 200);
        }
        gateway.write(&configuration(&origins));
        gateway.serves_generation(generation).await;
    }
    for _ in 0..4 {
        assert_eq!(get(address, "/echo").await.json()["origin"], "a");
    }
    assert_eq!((first.connections(), second.connections()), (1, 1));
    assert!(second.requests() > 0);
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_reported_with_its_place() {
    let origin = Origin::start("a").await.unwrap();
    let good = forwarding(&[origin.address()], "");
    let mut gateway = Gateway::start(&good);
    let address = gateway.address("public").await;
    gateway.write(&good.replace("upstream: origin", "upstream: orgin"));
    gateway.signal(Signal::HUP);
    gateway.says(&["portcullis.yaml:8:"]).await;
    gateway.says(&["orgin"]).await;
    assert_eq!(get(address, "/echo").await.status, 200);
    gateway.write(&good);
    gateway.signal(Signal::HUP);
    gateway.serves_generation(2).await;
}
