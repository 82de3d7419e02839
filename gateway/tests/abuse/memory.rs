//! A gateway near its limit of memory: what it gives up, in which order, and that it comes back.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_testkit::client::RawClient;
use portcullis_testkit::h2::Seen;
use portcullis_testkit::h2::frame::{WHOLE, get, headers};
use portcullis_testkit::patience::{found, rest, slowly};
use portcullis_testkit::procfs;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::ALONE;
use crate::gateway::{Gateway, MIB, endless};

const LIMIT: u64 = 64 * MIB;
const LEVEL: &str = "portcullis_memory_level";
const GET: &[u8] = b"GET /own HTTP/1.1\r\nhost: a\r\n\r\n";
/// A second's bodies of one client, whichever way they go, are more than it may hold.
const DOWN: &[u8] = b"GET /down HTTP/1.1\r\nhost: a\r\n\r\n";
/// How slow a client of the flood is.
const SENDS_EVERY: Duration = Duration::from_millis(300);
const COMES_BACK_AFTER: Duration = Duration::from_millis(20);
/// How long the flood goes on once requests are refused.
const GOES_ON: Duration = Duration::from_secs(3);
const UP: &[u8] = b"POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n";

/// Many that ask for much and take nothing, and as many that send much. They never stop by
/// themselves; what the gateway does with them is not theirs to judge.
async fn flood(target: SocketAddr, clients: usize) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for at in 0..clients {
        tasks.spawn(async move {
            loop {
                let socket = TcpSocket::new_v4().unwrap();
                socket.set_recv_buffer_size(4096).unwrap();
                let Ok(mut stream) = socket.connect(target).await else { continue };
                if at % 2 == 0 {
                    let _ = stream.write_all(DOWN).await;
                    // Taken away by a reset, which needs no reading.
                    while stream.write_all(b" ").await.is_ok() {
                        slowly(SENDS_EVERY).await;
                    }
                } else if stream.write_all(UP).await.is_ok() {
                    while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
                }
                slowly(COMES_BACK_AFTER).await;
            }
        });
        if at % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    tasks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bodies_stays_below_the_limit() {
    let _alone = ALONE.write().await;
    let origin = endless().await;
    let limits = format!("limits: {{memory: {}MiB}}\n", LIMIT / MIB);
    let upstream = "concurrency: {maxConnections: 9000}";
    let gateway = Gateway::with(origin, "", upstream, &limits).await;
    let begun = procfs::resident_bytes(gateway.pid()).unwrap();
    println!("{} MiB at rest", begun / MIB);
    assert!(begun < LIMIT / 2, "the limit leaves no room: {begun} at rest");
    // Both were there before, and are kept.
    let mut kept = RawClient::connect(gateway.address).await.unwrap();
    kept.send(GET).await.unwrap();
    assert!(kept.response().await.unwrap().keep_alive());
    let mut streams = gateway.client(&[]).await;
    streams.send(&headers(1, WHOLE, get("/own", &[]))).await.unwrap();
    streams.until(|seen| seen.ended() == Some(1)).await.unwrap();

    procfs::forget_peak(gateway.pid()).unwrap();
    let flood = flood(gateway.address, 2_000).await;
    // First connections end: idle ones, and others with their next answer.
    gateway.reaches(LEVEL, |level| level >= 1).await;
    assert!(kept.read_to_end().await.is_ok(), "an idle connection is kept");
    streams.until(|seen| matches!(seen, Seen::GoAway { .. })).await.unwrap();
    // Then requests are refused.
    let refused = eventually(gateway.address, |status, _| status == 503).await;
    assert!(refused.contains("memory-limit"), "{refused}");
    // It goes on for a while.
    rest(GOES_ON).await;
    let peak = procfs::peak_resident_bytes(gateway.pid()).unwrap();
    println!("{} KiB at most, of {}", peak / 1024, LIMIT / 1024);
    assert!(peak <= LIMIT + LIMIT / 10, "{} KiB", peak / 1024);
    drop(flood);
    // What is given back counts, and everything is as before.
    let begun = Instant::now();
    eventually(gateway.address, |status, keeps| status == 200 && keeps).await;
    println!("back after {:?}", begun.elapsed());
    let peak = procfs::peak_resident_bytes(gateway.pid()).unwrap();
    assert!(peak <= LIMIT + LIMIT / 10, "{} KiB", peak / 1024);
    let reasons = gateway.records();
    let refused = reasons.iter().filter(|record| record["reason"] == "memory-limit").count();
    assert!(refused > 0 && reasons.iter().all(|it| it["reason"] != "internal"), "{refused}");
}

/// Asks until an answer is as wanted: its status, and whether the connection is kept.
async fn eventually(address: SocketAddr, wanted: impl Fn(u16, bool) -> bool) -> String {
    found(async || {
        // Above the limit connections are closed unheard.
        let answer = portcullis_testkit::client::fetch(address, "GET", "/own", &[]).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let text = format!("{} {}", answer.status, answer.text());
        if wanted(answer.status, answer.keep_alive()) { Ok(text) } else { Err(text) }
    })
    .await
}
