//! What one client's flood costs the others: how much of their work is done beside it.
//!
//! Here it is counted. How long their requests take is for a quiet machine to say:
//! `portcullis-bench victims`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use portcullis_testkit::client::RawClient;
use portcullis_testkit::h2::H2Client;
use portcullis_testkit::h2::frame::{
    END_HEADERS, WHOLE, get, headers, request, reset, window_update,
};
use portcullis_testkit::origin::Origin;

use crate::ALONE;
use crate::floods::farewell;
use crate::gateway::Gateway;

/// Streams that the attacker sends on each connection; the gateway hangs up long before the last.
const STREAMS: u32 = 10_000;
/// The attack lasts until so many connections were hung up on,
const CONNECTIONS: usize = 10;
/// and until each victim has been answered so often.
const REQUESTS: usize = 100;
/// Streams of the attacker that the gateway looks at, at most, for each answer of each victim. Two
/// hundred are usual in a debug build.
const SHARE: usize = 2_000;

/// What the attacker has got.
#[derive(Default)]
struct Attack {
    over: AtomicBool,
    hung_up: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_keeps_no_other_client_from_its_answers() {
    let _alone = ALONE.write().await;
    let rapid_reset = (0..STREAMS)
        .flat_map(|at| [headers(2 * at + 1, WHOLE, get("/delay/9000", &[])), reset(2 * at + 1, 8)]);
    let made_you_reset = (0..STREAMS).flat_map(|at| {
        let head = headers(2 * at + 1, END_HEADERS, request("POST", "/delay/9000", &[]));
        [head, window_update(2 * at + 1, 0x7fff_ffff)]
    });
    let floods: [(&str, Vec<u8>); 2] = [
        ("rapid reset", rapid_reset.flatten().collect()),
        ("made you reset", made_you_reset.flatten().collect()),
    ];
    for (name, flood) in floods {
        let origin = Origin::start("o").await.unwrap();
        let gateway = Gateway::start(origin.address()).await;
        let attack = Arc::new(Attack::default());
        let attacker = tokio::spawn(flooding(gateway.address, flood, Arc::clone(&attack)));
        let answered = victims(gateway.address, &attack).await;
        attack.over.store(true, Ordering::Release);
        let ends = attacker.await.unwrap();

        let of_attacker = origin.requests() - 2 * answered;
        let streams: Vec<_> = ends.iter().map(|(_, last)| last.div_ceil(2) as usize).collect();
        let (most, all) = (*streams.iter().max().unwrap(), streams.iter().sum::<usize>());
        println!(
            "{name}: {answered} answers for each victim beside {all} streams on {} connections, \
             {most} at most; {of_attacker} reached the upstream",
            ends.len(),
        );
        assert!(ends.iter().all(|(end, _)| *end == "ENHANCE_YOUR_CALM"), "{name}: {ends:?}");
        assert!(most <= 2200, "{name}: {most}");
        assert!(of_attacker <= 256 * ends.len(), "{name}: {of_attacker}");
        assert!(all <= SHARE * answered, "{name}: {answered} answers beside {all} streams");
        gateway.counts_floods(ends.len() as u64).await;
    }
}

/// Floods one connection after another until the attack is over. Gives how each of them ended.
async fn flooding(
    address: SocketAddr,
    flood: Vec<u8>,
    attack: Arc<Attack>,
) -> Vec<(&'static str, u32)> {
    let mut ends = Vec::new();
    while !attack.over.load(Ordering::Acquire) {
        let mut client = H2Client::open(address, None, &[]).await.unwrap();
        // The gateway hangs up before all is sent.
        let _ = client.send(&flood).await;
        ends.push(farewell(&client.until_end().await.unwrap()));
        attack.hung_up.fetch_add(1, Ordering::AcqRel);
    }
    ends
}

/// Two victims ask again and again. Gives how many right answers each has got.
async fn victims(address: SocketAddr, attack: &Attack) -> usize {
    let mut one = RawClient::connect(address).await.unwrap();
    let mut two = H2Client::open(address, None, &[]).await.unwrap();
    let mut answered = 0;
    for stream in (1..).step_by(2) {
        if answered >= REQUESTS && attack.hung_up.load(Ordering::Acquire) >= CONNECTIONS {
            break;
        }
        one.send(b"GET /bytes/100 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let answer = one.response().await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 100));
        two.send(&headers(stream, WHOLE, get("/bytes/100", &[]))).await.unwrap();
        let head = two.until(|seen| seen.status().is_some()).await.unwrap();
        assert_eq!(head.status(), Some("200"));
        two.until(|seen| seen.ended() == Some(stream)).await.unwrap();
        answered += 1;
    }
    answered
}
