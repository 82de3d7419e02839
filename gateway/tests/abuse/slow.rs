//! Three hundred clients that take their time, and the one who does not notice them.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_testkit::lateness::Control;
use portcullis_testkit::load::Load;
use portcullis_testkit::patience::{found, slowly};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ALONE;
use crate::gateway::{Gateway, endless};

/// A fifth and a tenth of what holds unless a file says otherwise.
const HEAD: Duration = Duration::from_secs(2);
const BODY: Duration = Duration::from_secs(3);
const TIMEOUTS: &str = "timeouts: {head: 2s, body: 3s}";
const OF_EACH: usize = 100;
/// The debug build and its clients share the machine with others.
const LATE: Duration = Duration::from_millis(1_500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slow {
    Head,
    Body,
    Reader,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_slow_clients_are_cut_and_nobody_else_notices() {
    let _beside = ALONE.read().await;
    let gateway = Gateway::with(endless().await, TIMEOUTS, "", "").await;
    let machine = Control::start();
    let mut slow = JoinSet::new();
    for kind in [Slow::Head, Slow::Body, Slow::Reader] {
        for _ in 0..OF_EACH {
            slow.spawn(dawdle(gateway.address, kind));
        }
    }
    let control = Load::get(gateway.address, "/", 100.0, Duration::from_secs(5));
    let report = control.run().await;
    println!(
        "control: {} of {}, p99 {} us",
        report.ok(),
        report.scheduled,
        report.percentile(99.0)
    );
    assert!(report.ok() >= 499 && report.failed() == 0, "{report:?}");

    let cuts = [("head-timeout", HEAD), ("body-timeout", BODY), ("client-slow", BODY)];
    fn cut<'a>(
        records: &'a [serde_json::Value],
        reason: &'a str,
    ) -> impl Iterator<Item = &'a serde_json::Value> {
        records.iter().filter(move |record| record["reason"] == reason)
    }
    let records = found(async || {
        let records = gateway.records();
        let counts = cuts.map(|(reason, _)| cut(&records, reason).count());
        if counts == [OF_EACH; 3] { Ok(records) } else { Err(counts) }
    })
    .await;
    for (reason, allowed) in cuts {
        let times = cut(&records, reason).map(|record| patience(record, reason));
        let (least, most) = times.fold((Duration::MAX, Duration::ZERO), |(least, most), time| {
            (least.min(time), most.max(time))
        });
        println!("{reason}: after {least:?} to {most:?}");
        let late = machine.late();
        assert!(most <= allowed + LATE + late, "{reason} after {most:?}, late {late:?}");
        assert!(least >= allowed.mul_f64(0.9), "{reason} after {least:?} already");
    }
}

/// How long a client was put up with, as its record says: a reader from the response's first byte.
fn patience(record: &serde_json::Value, reason: &str) -> Duration {
    let times = &record["timeline_us"];
    let from = if reason == "client-slow" { "first_byte" } else { "start" };
    let at = |name: &str| times[name].as_u64().unwrap();
    Duration::from_micros(at("last_byte") - at(from))
}

/// A client that sends or takes 50 bytes a second, until it is answered or hung up on.
async fn dawdle(address: SocketAddr, kind: Slow) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let first: &[u8] = match kind {
        Slow::Head => b"GET / HTTP/1.1\r\nhost: a\r\nx: ",
        Slow::Body => b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n",
        Slow::Reader => b"GET /down HTTP/1.1\r\nhost: a\r\n\r\n",
    };
    stream.write_all(first).await.unwrap();
    let mut bytes = [0; 5];
    loop {
        let going = match kind {
            Slow::Reader => matches!(stream.read(&mut bytes).await, Ok(1..)),
            Slow::Head | Slow::Body => {
                let answer = timeout(Duration::from_millis(1), stream.read(&mut bytes)).await;
                answer.is_err() && stream.write_all(b"xxxxx").await.is_ok()
            }
        };
        if !going {
            return;
        }
        slowly(Duration::from_millis(100)).await;
    }
}
