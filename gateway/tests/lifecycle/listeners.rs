//! Listeners that come and go, and addresses that somebody else has.

use std::net::TcpListener;
use std::time::Duration;

use portcullis_testkit::client::RawClient;
use portcullis_testkit::origin::Origin;
use portcullis_testkit::process::Signal;

use crate::gateway::{Gateway, LONG, closed, forwarding, get};

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
    while origin.requests() < 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    gateway.write(&one);
    gateway.signal(Signal::HUP);
    gateway.says(&["no longer listening", &second.to_string()]).await;
    // A request that comes before the close is still answered, by the routes that were.
    between.send(FAST).await.unwrap();
    let last = between.response().await.unwrap();
    assert_eq!(last.status, 200);
    assert!(!last.keep_alive(), "the close must be announced");
    closed(&mut between).await;
    let last = busy.response().await.unwrap();
    assert_eq!((last.status, last.keep_alive()), (200, false));
    closed(&mut idle).await;
    while RawClient::connect(second).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
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
