//! Many connections that say nothing more: what each takes, and that others do not notice.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_testkit::client::fetch;
use portcullis_testkit::patience::found;
use portcullis_testkit::procfs;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::ALONE;
use crate::gateway::Gateway;

const CONNECTIONS: usize = 9_900;
const EACH: u64 = 2 * 1024;
/// Requests whose cost is compared.
const REQUESTS: u32 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nine_thousand_nine_hundred_idle_connections_are_cheap() {
    let _alone = ALONE.write().await;
    let descriptors = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: descriptors.maximum, maximum: descriptors.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
    let most = descriptors.maximum.map_or(CONNECTIONS as u64, |most| most.saturating_sub(200));
    let connections = CONNECTIONS.min(usize::try_from(most).unwrap());
    if connections < CONNECTIONS {
        println!("only {connections} connections: this machine allows no more descriptors");
    }
    let nobody = "127.0.0.1:9".parse().unwrap();
    let gateway = Gateway::with(nobody, "timeouts: {idle: 5m}", "", "").await;
    let alone = cost(&gateway).await;
    let before = procfs::resident_bytes(gateway.pid()).unwrap();
    let mut idle = Vec::with_capacity(connections);
    while idle.len() < connections {
        // Of several addresses, so that ports do not run short.
        let batch = (0..50.min(connections - idle.len())).map(|at| {
            let from = [127, 0, 0, u8::try_from(2 + at % 4).unwrap()];
            tokio::spawn(served(SocketAddr::from((from, 0)), gateway.address))
        });
        for one in batch.collect::<Vec<_>>() {
            idle.push(one.await.unwrap());
        }
    }
    // What they were served from goes back bit by bit.
    let each = found(async || {
        let now = procfs::resident_bytes(gateway.pid()).unwrap();
        let each = now.saturating_sub(before) / connections as u64;
        if each <= EACH { Ok(each) } else { Err(format!("{each} bytes each")) }
    })
    .await;
    let beside = cost(&gateway).await;
    println!(
        "{connections} connections of {each} bytes; a request takes {beside:?}, {alone:?} alone"
    );
    // By the processor's time, which does not know what else the machine does.
    assert!(beside <= 2 * alone, "{beside:?}, {alone:?} alone");
    drop(idle);
}

/// What a request on a connection of its own takes of the processor.
async fn cost(gateway: &Gateway) -> Duration {
    let meter = gateway.meter();
    for _ in 0..REQUESTS {
        assert_eq!(fetch(gateway.address, "GET", "/own", &[]).await.unwrap().status, 200);
    }
    meter.processor() / REQUESTS
}

/// A connection that was served once.
async fn served(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    stream.write_all(b"GET /own HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "closed");
    }
    stream
}
