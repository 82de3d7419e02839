//! WebSocket connections while the configuration, the listeners and the process come and go.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portcullis_testkit::lateness::Control;
use portcullis_testkit::patience::found;
use portcullis_testkit::process::Signal;
use portcullis_testkit::websocket::{Frame, Peer, WebSocketOrigin, connect};
use tokio::net::TcpStream;

use crate::gateway::{Gateway, get};

/// Two listeners, of which the second may go, and a route that may have another name.
fn configuration(origin: SocketAddr, second: bool, route: &str, jitter: &str) -> String {
    let second = match second {
        true => "  - {name: second, address: \"127.0.0.2:0\"}\n",
        false => "",
    };
    format!(
        r#"version: v1
workers: 2
listeners:
  - {{name: public, address: "127.0.0.1:0"}}
  - {{name: status, address: "127.0.0.1:0", kind: status}}
{second}upstreams:
  - {{name: origin, endpoints: [{{address: "{origin}"}}]}}
routes:
  - name: {route}
    match: {{path: {{prefix: /}}}}
    websocket: {{drain: {{jitter: {jitter}}}}}
    backends: [{{upstream: origin}}]
accessLog: {{path: access.log}}
shutdown: {{drainTimeout: 4s}}
"#
    )
}

async fn open(origin: &WebSocketOrigin, address: SocketAddr) -> [Peer<TcpStream>; 2] {
    let (client, server) = tokio::join!(connect(address, "/live"), origin.accept());
    [client.unwrap().0, server.unwrap().0]
}

/// Both sides still hear of each other.
async fn is_open([client, server]: &mut [Peer<TcpStream>; 2]) {
    client.send(&Frame::text("ping")).await.unwrap();
    assert_eq!(server.expect().await.unwrap().payload, b"ping");
    server.send(&Frame::text("pong")).await.unwrap();
    assert_eq!(client.expect().await.unwrap().payload, b"pong");
}

/// Both are told to go, and do.
async fn ends(peers: &mut [Peer<TcpStream>; 2]) {
    for peer in &mut *peers {
        assert_eq!(peer.expect().await.unwrap().code(), Some(1001));
        peer.send(&Frame::close(1001)).await.unwrap();
    }
    for peer in peers {
        assert_eq!(peer.next().await.unwrap(), None);
    }
}

async fn open_now(status: SocketAddr, route: &str) -> Option<u64> {
    let metrics = get(status, "/metrics").await.text().to_string();
    let series = format!("portcullis_websocket_connections{{route=\"{route}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
}

/// The log's reasons, once there are so many.
async fn reasons(gateway: &Gateway, count: usize) -> Vec<String> {
    found(async || {
        let log = gateway.log("access.log");
        let of_tunnels = log.iter().filter(|line| line["status"] == 101);
        let reasons: Vec<_> =
            of_tunnels.map(|line| line["reason"].as_str().unwrap_or("none").to_owned()).collect();
        if reasons.len() >= count { Ok(reasons) } else { Err(reasons) }
    })
    .await
}

#[tokio::test]
async fn a_tunnel_outlives_reloads_until_its_route_or_listener_is_gone() {
    let origin = WebSocketOrigin::start().await.unwrap();
    let address = origin.address().unwrap();
    let text = |second, route| configuration(address, second, route, "1ms");
    let mut gateway = Gateway::start(&text(true, "live"));
    let public = gateway.address("public").await;
    let status = gateway.address("status").await;
    let second = gateway.address("second").await;
    let mut kept = open(&origin, public).await;
    let mut going = open(&origin, second).await;
    assert_eq!(open_now(status, "live").await, Some(2));

    for generation in 2..5 {
        gateway.write(&format!("{}# {generation}\n", text(true, "live")));
        gateway.serves_generation(generation).await;
        is_open(&mut kept).await;
        is_open(&mut going).await;
    }
    gateway.write(&text(false, "live"));
    gateway.signal(Signal::HUP);
    ends(&mut going).await;
    is_open(&mut kept).await;
    assert_eq!(reasons(&gateway, 1).await, ["draining"]);
    assert_eq!(open_now(status, "live").await, Some(1));

    gateway.write(&text(false, "another"));
    gateway.signal(Signal::HUP);
    ends(&mut kept).await;
    assert_eq!(reasons(&gateway, 2).await, ["draining", "route-gone"]);
    // The next one takes the route that is.
    is_open(&mut open(&origin, public).await).await;
}

/// Their ends are spread, and the last still has its time before the drain is over.
#[tokio::test]
async fn a_signal_ends_all_of_them_over_a_time() {
    let origin = WebSocketOrigin::start().await.unwrap();
    let text = configuration(origin.address().unwrap(), false, "live", "30s");
    let mut gateway = Gateway::start(&text);
    let public = gateway.address("public").await;
    let mut all = Vec::new();
    for _ in 0..30 {
        all.push(open(&origin, public).await);
    }
    let control = Control::start();
    gateway.signal(Signal::TERM);
    let begun = Instant::now();
    let ends = all.into_iter().map(|mut peers| async move {
        ends(&mut peers).await;
        begun.elapsed()
    });
    let tasks: Vec<_> = ends.map(tokio::spawn).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.push(task.await.unwrap());
    }
    gateway.ends(Duration::from_secs(5), 0).await;
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    // Half of the four seconds, whatever the jitter.
    let late = control.late();
    assert!(*last < Duration::from_millis(3_500) + late, "late by {late:?}: {times:?}");
    assert!(*last - *first > Duration::from_millis(700), "{times:?}");
    assert_eq!(reasons(&gateway, 30).await, vec!["draining"; 30]);
}

/// What is open and silent holds no buffer on either side.
#[tokio::test]
async fn a_silent_tunnel_takes_little() {
    const COUNT: usize = 300;
    let origin = WebSocketOrigin::start().await.unwrap();
    let text = configuration(origin.address().unwrap(), false, "live", "1ms");
    let mut gateway = Gateway::start(&text);
    let public = gateway.address("public").await;
    let mut warm = Vec::new();
    for _ in 0..40 {
        let mut peers = open(&origin, public).await;
        is_open(&mut peers).await;
        warm.push(peers);
    }
    let before = gateway.process.resident_bytes().unwrap();
    let mut all = Vec::new();
    for _ in 0..COUNT {
        let mut peers = open(&origin, public).await;
        is_open(&mut peers).await;
        all.push(peers);
    }
    let after = gateway.process.resident_bytes().unwrap();
    let each = after.saturating_sub(before) / COUNT as u64;
    // Less than one buffer, of which each side has its own while there is something in it.
    assert!(each < 16 * 1024, "a tunnel takes {each} bytes");
}
