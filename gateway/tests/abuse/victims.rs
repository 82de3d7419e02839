//! What one client's flood costs the others: the times of two victims at the gateway that is
//! flooded, beside their times while another gateway on the same machine is. What remains is what
//! the gateway makes of it, not what attacker and victims take from each other's processors.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_testkit::client::RawClient;
use portcullis_testkit::h2::H2Client;
use portcullis_testkit::h2::frame::{
    END_HEADERS, WHOLE, get, headers, request, reset, window_update,
};
use portcullis_testkit::origin::Origin;
use tokio::time::Instant;

use crate::ALONE;
use crate::gateway::Gateway;

/// Streams of an attack, over as many connections as that takes.
const STREAMS: u32 = 10_000;
/// Rounds until it is judged, and how often more are added while it looks bad: the worst of some
/// hundred times scatters, and what a flood really does to others does not go away.
const ROUNDS: usize = 7;
const LOOKS: usize = 3;
/// Requests of each victim in a window, at least.
const REQUESTS: usize = 150;
/// Times below this are the scheduler's more than the gateway's, which shares two cores with the
/// attacker, the victims and their origin, all of them several times slower in a debug build.
const FLOOR: Duration = Duration::from_millis(if cfg!(debug_assertions) { 5 } else { 3 });

/// Streams of one connection; the gateway has usually hung up before the last of them.
type Flood = fn() -> Vec<u8>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_does_not_double_the_time_of_others() {
    let _alone = ALONE.write().await;
    let origin = Origin::start("o").await.unwrap();
    let gateway = Gateway::start(origin.address()).await;
    let elsewhere = Gateway::start(origin.address()).await;
    let floods: [(&str, Flood); 2] = [
        ("rapid reset", || {
            let pair =
                |at| [headers(2 * at + 1, WHOLE, get("/delay/9000", &[])), reset(2 * at + 1, 8)];
            (0..STREAMS).flat_map(pair).flatten().collect()
        }),
        ("made you reset", || {
            let pair = |at| {
                let head = headers(2 * at + 1, END_HEADERS, request("POST", "/delay/9000", &[]));
                [head, window_update(2 * at + 1, 0x7fff_ffff)]
            };
            (0..STREAMS).flat_map(pair).flatten().collect()
        }),
    ];
    for (name, flood) in floods {
        let frames = flood();
        let (mut beside, mut under) = (Vec::new(), Vec::new());
        for look in 1..=LOOKS {
            // Windows in turn, so that whatever else the machine does meets both.
            for _ in 0..ROUNDS {
                for (attacked, windows) in [(&elsewhere, &mut beside), (&gateway, &mut under)] {
                    let attack = tokio::spawn(attack(attacked.address, frames.clone()));
                    windows.push(window(gateway.address, &attack).await);
                    println!("{name}: {} connections were hung up on", attack.await.unwrap());
                }
            }
            let Some(doubled) = whose_time_doubled(&beside, &under) else { break };
            assert!(look < LOOKS, "{name}: {doubled}");
        }
    }
}

/// The victim, if there is one, whose usual window under attack is twice as slow as beside it.
fn whose_time_doubled(beside: &[[Duration; 2]], under: &[[Duration; 2]]) -> Option<String> {
    ["HTTP/1", "HTTP/2"].iter().enumerate().find_map(|(at, victim)| {
        let median = |windows: &[[Duration; 2]]| {
            let mut times: Vec<_> = windows.iter().map(|one| one[at]).collect();
            times.sort();
            times[times.len() / 2]
        };
        let (beside, under) = (median(beside), median(under));
        let times = format!("p99 of {victim} {under:?}, beside it {beside:?}");
        println!("{times}");
        (under > 2 * beside.max(FLOOR)).then_some(times)
    })
}

/// Sends the flood on one connection after another, until ten thousand streams were opened or
/// each of ten connections was ended.
async fn attack(address: SocketAddr, frames: Vec<u8>) -> usize {
    let mut ended = 0;
    while ended < 10 {
        let Ok(mut client) = H2Client::open(address, None, &[]).await else { continue };
        let _ = client.send(&frames).await;
        let _ = client.until_end().await;
        ended += 1;
    }
    ended
}

/// The 99th percentile of each victim's times: over as long as the attack goes on, and so many
/// requests.
async fn window(address: SocketAddr, attack: &tokio::task::JoinHandle<usize>) -> [Duration; 2] {
    let mut one = RawClient::connect(address).await.unwrap();
    let mut two = H2Client::open(address, None, &[]).await.unwrap();
    let (mut of_one, mut of_two) = (Vec::new(), Vec::new());
    for stream in (1..).step_by(2) {
        if attack.is_finished() && of_one.len() >= REQUESTS {
            break;
        }
        let begun = Instant::now();
        one.send(b"GET /bytes/100 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert_eq!(one.response().await.unwrap().status, 200);
        of_one.push(begun.elapsed());
        let begun = Instant::now();
        two.send(&headers(stream, WHOLE, get("/bytes/100", &[]))).await.unwrap();
        two.until(|seen| seen.ended() == Some(stream)).await.unwrap();
        of_two.push(begun.elapsed());
    }
    [of_one, of_two].map(|mut times| {
        times.sort();
        times[times.len() * 99 / 100]
    })
}
