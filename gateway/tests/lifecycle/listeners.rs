//! Listeners that come and go, and addresses that somebody else has.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use portcullis_testkit::client::{ClientError, RawClient, fetch};
use portcullis_testkit::load::{Load, LoadRequest, Outcome};
use portcullis_testkit::origin::Origin;
use portcullis_testkit::patience::until;
use portcullis_testkit::process::{Signal, free_address};

use crate::gateway::{Gateway, LONG, close_is_announced, closed, forwarding, get};

const SLOW: &[u8] = b"GET /delay/700/x HTTP/1.1\r\nhost: x\r\n\r\n";
const FAST: &[u8] = b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn a_removed_listener_drains_and_the_others_hear_nothing() {
    let origin = Origin::start("a").await.unwrap();
    let one = forwarding(&[origin.address()], "");
    let both = one.replace(
        "upstreams:",
        "  - {name: second, address: \"127.0.0.2:0\", kind: http}\nupstreams:",
    );
    let mut gateway = Gateway::start(&one);
    let kept = gateway.address("public").await;
    let mut untouched = RawClient::connect(kept).await.unwrap();
    untouched.send(FAST).await.unwrap();
    untouched.response().await.unwrap();

    gateway.write(&both);
    gateway.signal(Signal::HUP);
    let second = gateway.address("second").await;
    let mut busy = RawClient::connect(second).await.unwrap();
    let mut between = RawClient::connect(second).await.unwrap();
    let mut idle = RawClient::connect(second).await.unwrap();
    between.send(FAST).await.unwrap();
    assert!(between.response().await.unwrap().keep_alive());
    idle.send(FAST).await.unwrap();
    assert!(idle.response().await.unwrap().keep_alive());
    busy.send(SLOW).await.unwrap();
    origin.received(4).await;

    gateway.write(&one);
    gateway.signal(Signal::HUP);
    gateway.says(&["no longer listening", &second.to_string()]).await;
    // A request that comes before the close is still answered, by the routes that were.
    close_is_announced(&mut between, FAST).await;
    closed(&mut between).await;
    let last = busy.response().await.unwrap();
    assert_eq!((last.status, last.keep_alive()), (200, false));
    closed(&mut idle).await;
    until("nobody is accepted", async || RawClient::connect(second).await.is_err()).await;
    untouched.send(FAST).await.unwrap();
    assert!(untouched.response().await.unwrap().keep_alive());
}

#[tokio::test]
async fn a_taken_port_refuses_the_start_and_names_the_line() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let text = forwarding(&["127.0.0.1:9".parse().unwrap()], "").replace("127.0.0.1:0", &address);
    let mut gateway = Gateway::start(&text);
    gateway.ends(LONG, 2).await;
    gateway.says(&["portcullis.yaml:4:"]).await;
    gateway.says(&["cannot be bound"]).await;
}

#[tokio::test]
async fn so_does_a_taken_port_of_a_status_listener() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let line = format!("  - {{name: probes, address: \"{address}\", kind: status}}\nupstreams:");
    let text = forwarding(&["127.0.0.1:9".parse().unwrap()], "").replace("upstreams:", &line);
    let mut gateway = Gateway::start(&text);
    gateway.ends(LONG, 2).await;
    gateway.says(&["portcullis.yaml:5:"]).await;
    gateway.says(&["listener `probes` cannot be bound to"]).await;
}

#[tokio::test]
async fn a_reload_onto_a_taken_port_leaves_the_old_one_serving() {
    let origin = Origin::start("a").await.unwrap();
    let one = forwarding(&[origin.address()], "");
    let mut gateway = Gateway::start(&one);
    let address = gateway.address("public").await;
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let wanted = holder.local_addr().unwrap();
    let line = format!("  - {{name: second, address: \"{wanted}\", kind: http}}\nupstreams:");
    let both = one.replace("upstreams:", &line);
    gateway.write(&both);
    gateway.signal(Signal::HUP);
    gateway.says(&["portcullis.yaml:5:"]).await;
    assert_eq!(get(address, "/echo").await.status, 200);
    drop(holder);
    gateway.signal(Signal::HUP);
    gateway.serves_generation(2).await;
    assert_eq!(get(wanted, "/echo").await.status, 200);
}

/// Asks until somebody else answers, for what was there takes connections to its end. Only one
/// that is being made while its socket closes may fail.
async fn answered(address: SocketAddr, path: &str, part: &str) {
    let deadline = tokio::time::Instant::now() + LONG;
    loop {
        match fetch(address, "GET", path, &[]).await {
            Ok(response) if response.text().contains(part) => return,
            Ok(_) | Err(ClientError::Connect(_)) => {}
            Err(error) => panic!("{error} at {path}"),
        }
        assert!(tokio::time::Instant::now() < deadline, "no {part} at {path}");
    }
}

#[tokio::test]
async fn an_address_changes_its_kind_and_changes_back() {
    let origin = Origin::start("a").await.unwrap();
    let address = free_address().unwrap();
    let of_kind = |kind: &str| {
        let line = format!("  - {{name: changing, address: \"{address}\", kind: {kind}}}");
        forwarding(&[origin.address()], "").replace("upstreams:", &format!("{line}\nupstreams:"))
    };
    let mut gateway = Gateway::start(&of_kind("http"));
    gateway.address("changing").await;
    let mut busy = RawClient::connect(address).await.unwrap();
    busy.send(SLOW).await.unwrap();
    origin.received(1).await;
    gateway.write(&of_kind("status"));
    gateway.serves_generation(2).await;
    let last = busy.response().await.unwrap();
    assert_eq!((last.status, last.keep_alive()), (200, false));
    answered(address, "/livez", "alive").await;
    gateway.write(&of_kind("http"));
    gateway.serves_generation(3).await;
    answered(address, "/echo", "\"origin\"").await;
    // And the admin API follows the listener.
    let admin = format!("admin: {{address: \"{address}\"}}");
    gateway.write(&forwarding(&[origin.address()], &admin));
    gateway.serves_generation(4).await;
    answered(address, "/listeners", "the admin API answers").await;
}

/// Each tenth request comes on a connection of its own, so that some wait in every queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_widens_and_narrows_and_no_request_is_lost() {
    let origin = Origin::start("a").await.unwrap();
    let address = free_address().unwrap();
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], address.port()));
    let at = |ip: &str| {
        let place = format!("{ip}:{}", address.port());
        forwarding(&[origin.address()], "").replace("127.0.0.1:0", &place)
    };
    let mut gateway = Gateway::start(&at("127.0.0.1"));
    gateway.address("public").await;
    let closing = "GET /bytes/10 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut requests = vec![LoadRequest::get("/bytes/10"); 9];
    requests.push(LoadRequest::new(closing, b""));
    let load = Load { requests, ..Load::get(address, "/", 300.0, Duration::from_secs(4)) };
    let running = load.start();
    running.ended(50).await;
    for (generation, ip) in [(2, "0.0.0.0"), (3, "127.0.0.1"), (4, "[::]"), (5, "0.0.0.0")] {
        gateway.write(&at(ip));
        gateway.serves_generation(generation).await;
        assert_eq!(get(address, "/echo").await.status, 200, "{ip}");
        if ip != "127.0.0.1" {
            assert_eq!(get(elsewhere, "/echo").await.status, 200, "{ip}");
        }
    }
    assert!(!running.is_finished(), "the load was over too early");
    let report = running.wait().await;
    let refused = report.outcomes.get(&Outcome::ConnectError).copied().unwrap_or(0);
    assert!(refused <= 2, "{report}");
    assert_eq!(report.failed() - refused, 0, "{report}");
}

#[tokio::test]
async fn of_two_gateways_on_one_port_the_second_is_refused() {
    let origin = Origin::start("a").await.unwrap();
    let text = forwarding(&[origin.address()], "");
    let mut first = Gateway::start(&text);
    let address = first.address("public").await;
    let mut second = Gateway::start(&text.replace("127.0.0.1:0", &address.to_string()));
    second.ends(LONG, 2).await;
    for _ in 0..8 {
        assert_eq!(get(address, "/echo").await.status, 200);
    }
}

#[tokio::test]
async fn a_unix_socket_goes_with_the_process() {
    let origin = Origin::start("a").await.unwrap();
    let text = forwarding(&[origin.address()], "").replace("127.0.0.1:0", "unix:gateway.sock");
    let mut gateway = Gateway::start(&text);
    gateway.says(&["listening"]).await;
    let path = gateway.path("gateway.sock");
    assert!(path.exists());
    drop(std::os::unix::net::UnixStream::connect(&path).unwrap());
    gateway.signal(Signal::TERM);
    gateway.ends(LONG, 0).await;
    assert!(!path.exists());
}

/// The kernel spreads connections over the workers' sockets.
#[tokio::test]
async fn both_workers_take_connections() {
    let origin = Origin::start("a").await.unwrap();
    let mut gateway = Gateway::start(&forwarding(&[origin.address()], ""));
    let address = gateway.address("public").await;
    get(address, "/echo").await;
    let pid = gateway.process.pid();
    let worked = |name: &str| -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let mut tasks = tasks.map(|task| task.unwrap().path());
        let task = tasks
            .find(|task| std::fs::read_to_string(task.join("comm")).unwrap().trim() == name)
            .unwrap();
        let text = std::fs::read_to_string(task.join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    let before = [worked("worker-0"), worked("worker-1")];
    for _ in 0..200 {
        assert_eq!(get(address, "/echo").await.status, 200);
    }
    let spent = [worked("worker-0") - before[0], worked("worker-1") - before[1]];
    let total = spent[0] + spent[1];
    assert!(spent.iter().all(|part| part * 5 > total), "nanoseconds by worker: {spent:?}");
}
