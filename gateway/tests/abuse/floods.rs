//! Floods of HTTP/2 frames against the real binary: how they end, and what they cost it.

use portcullis_testkit::h2::Seen;
use portcullis_testkit::h2::frame::{
    END_HEADERS, END_STREAM, INITIAL_WINDOW_SIZE, PADDED, WHOLE, block, code_name, continuation,
    data, frame, get, headers, ping, priority, request, reset, settings, text, window_update,
};
use portcullis_testkit::origin::{Connection, Origin, Script, ScriptedOrigin};

use crate::ALONE;
use crate::gateway::{Gateway, LONG, MIB};

/// What a client does not read stays in the gateway, once the kernel takes no more.
const LITTLE: usize = 4096;
const MOST: u32 = 0x7fff_ffff;

/// How a connection ended: the code of its goodbye, and the last stream that was looked at.
pub(crate) fn farewell(seen: &[Seen]) -> (&'static str, u32) {
    let goodbye = seen.iter().rev().find_map(|seen| match seen {
        Seen::GoAway { last, code } => Some((code_name(*code), *last)),
        _ => None,
    });
    goodbye.unwrap_or(("closed", 0))
}

/// An origin that never answers.
async fn silent() -> ScriptedOrigin {
    ScriptedOrigin::start([Script::new().request().stall()]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_lead_to_nothing() {
    let _beside = ALONE.read().await;
    let origin = silent().await;
    let gateway = Gateway::start(origin.address()).await;
    let post = || headers(1, END_HEADERS, request("POST", "/", &[]));
    let padded = [&[255][..], &[0; 255]].concat();
    let halves = [headers(1, END_STREAM, get("/", &[])), Vec::new()].concat();
    let cases: Vec<(&str, Vec<u8>, Vec<u8>, usize)> = vec![
        ("unread SETTINGS", vec![], settings(&[(INITIAL_WINDOW_SIZE, 9)]), 20_000),
        ("unread PING", vec![], ping(*b"unheard-"), 20_000),
        ("PRIORITY", vec![], priority(3, 0, 9), 20_000),
        ("WINDOW_UPDATE", vec![], window_update(0, 1), 20_000),
        ("unknown frames", vec![], frame(0xee, 0, 0, [0; 64]), 20_000),
        ("empty DATA", post(), data(1, 0, []), 20_000),
        ("padded DATA", post(), data(1, PADDED, padded), 20_000),
        ("empty CONTINUATION", halves.clone(), continuation(1, 0, []), 100),
        ("96 KiB of CONTINUATION", halves, continuation(1, 0, vec![0; 16 * 1024]), 6),
        ("resets of nothing", headers(1, WHOLE, get("/own", &[])), reset(1, 8), 20_000),
    ];
    let floods = cases.len() as u64;
    for (name, first, flood, times) in cases {
        let mut client = gateway.client(&[]).await.with_receive_buffer(LITTLE).unwrap();
        let cost = gateway.meter();
        client.send(&first).await.unwrap();
        // Nothing is read meanwhile; the gateway may well hang up before the last frame.
        let _ = client.send(&flood.repeat(times)).await;
        let (end, _) = farewell(&client.until_end().await.unwrap());
        cost.tell(name, end, MIB);
        assert_eq!(end, "ENHANCE_YOUR_CALM", "{name}");
    }
    gateway.counts_floods(floods).await;
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_heads_that_grow_large() {
    let _beside = ALONE.read().await;
    let origin = silent().await;
    let gateway = Gateway::start(origin.address()).await;
    let mut kept = vec![0x40];
    text(&mut kept, b"x-bomb");
    text(&mut kept, &[b'a'; 4000]);
    let first = [get("/own", &[]), kept].concat();
    // One byte stands for 4 KiB each.
    let bomb = [get("/own", &[]), vec![0x80 | 62; 16_000]].concat();
    let mut client = gateway.client(&[]).await;
    let cost = gateway.meter();
    let bombs = (1..100).map(|at| headers(2 * at + 1, WHOLE, &bomb)).collect::<Vec<_>>().concat();
    client.send(&[headers(1, WHOLE, first), bombs].concat()).await.unwrap();
    let (end, _) = farewell(&client.until_end().await.unwrap());
    cost.tell("99 bombs of 64 MB", end, MIB);
    assert_eq!(end, "ENHANCE_YOUR_CALM");

    // What is merely too large is answered, and the connection goes on.
    let mut client = gateway.client(&[]).await;
    let large = block(&[("x-large", "a".repeat(15_800))]);
    let head = [headers(1, END_STREAM, get("/own", &[])), continuation(1, 0, &large).repeat(3)];
    let head = [head.concat(), continuation(1, END_HEADERS, &large)].concat();
    client.send(&head).await.unwrap();
    let answer = client.until(|seen| seen.status().is_some()).await.unwrap();
    assert_eq!(answer.status(), Some("431"));
    client.send(&headers(3, WHOLE, get("/own", &[]))).await.unwrap();
    let answer = client.until(|seen| seen.status().is_some()).await.unwrap();
    assert_eq!(answer.status(), Some("200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_taken_back_at_once() {
    let _beside = ALONE.read().await;
    let origin = silent().await;
    let gateway = Gateway::start(origin.address()).await;
    let mut client = gateway.client(&[]).await;
    let pairs = (0..10_000)
        .map(|at| [headers(2 * at + 1, WHOLE, get("/", &[])), reset(2 * at + 1, 8)].concat());
    let cost = gateway.meter();
    let _ = client.send(&pairs.collect::<Vec<_>>().concat()).await;
    let (end, last) = farewell(&client.until_end().await.unwrap());
    cost.tell("10,000 taken back", end, MIB);
    let reached = origin.requests().len();
    println!("request {} was the last one, {reached} reached the upstream", last / 2 + 1);
    assert_eq!(end, "ENHANCE_YOUR_CALM");
    assert!(last <= 2 * 2200 && reached <= 256, "{last}, {reached}");
    gateway.counts_floods(1).await;
}

/// Each request is given the time to reach the upstream before it is undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_undone_once_they_have_cost_something() {
    let _beside = ALONE.read().await;
    type Undo = fn(u32) -> Vec<u8>;
    let ways: [(&str, Undo); 4] = [
        ("taken back", |stream| reset(stream, 8)),
        ("a window beyond the most", |stream| window_update(stream, MOST)),
        ("a priority over itself", |stream| priority(stream, stream, 9)),
        ("a second head", |stream| headers(stream, END_HEADERS, block(&[("a", "b")]))),
    ];
    for (name, undo) in ways {
        let origin = silent().await;
        let gateway = Gateway::start(origin.address()).await;
        let mut client = gateway.client(&[]).await;
        let cost = gateway.meter();
        let mut seen = Vec::new();
        // A connection that has ended takes no more.
        'requests: for (before, stream) in (1..2000).step_by(2).enumerate() {
            let whole = if name == "a second head" { END_HEADERS } else { WHOLE };
            let head = headers(stream, whole, request("POST", "/", &[]));
            if client.send(&head).await.is_err() {
                break;
            }
            loop {
                let arrived = |connections: &[Connection]| connections.len() > before;
                tokio::select! {
                    arrived = origin.until(LONG, arrived) => {
                        assert!(arrived, "{name}: nothing arrives any more");
                        break;
                    }
                    told = client.next() => match told.unwrap() {
                        Some(told) => seen.push(told),
                        None => break 'requests,
                    }
                }
            }
            if client.send(&undo(stream)).await.is_err() {
                break;
            }
        }
        seen.extend(client.until_end().await.unwrap());
        let (end, _) = farewell(&seen);
        let reached = origin.connections().len();
        cost.tell(name, end, 4 * MIB);
        println!("{name}: {reached} reached the upstream");
        assert_eq!(end, "ENHANCE_YOUR_CALM", "{name}");
        assert!((100..=256).contains(&reached), "{name}: {reached}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_that_nobody_takes() {
    let _beside = ALONE.read().await;
    let origin = Origin::start("o").await.unwrap();
    let timeouts = "timeouts: {body: 1s}";
    let gateway = Gateway::with(origin.address(), timeouts, "", "").await;
    // No window at all, and every window but nobody who reads.
    for (name, window) in [("no window", 0), ("nobody reads", MOST)] {
        let mut client = gateway
            .client(&[(INITIAL_WINDOW_SIZE, window)])
            .await
            .with_receive_buffer(LITTLE)
            .unwrap();
        let cost = gateway.meter();
        let heads = (0..100).map(|at| headers(2 * at + 1, WHOLE, get("/bytes/1000000", &[])));
        let heads = heads.collect::<Vec<_>>().concat();
        client.send(&[window_update(0, MOST - 65_535), heads].concat()).await.unwrap();
        let begun = tokio::time::Instant::now();
        if window == 0 {
            for _ in 0..100 {
                client.until(|seen| matches!(seen, Seen::Reset { .. })).await.unwrap();
            }
        }
        // Its streams end by the patience with clients; quiet connections are kept much longer, but
        // not for one who let all of them stand.
        gateway.counts("connections", "", 0).await;
        cost.tell(name, &format!("over after {} ms", begun.elapsed().as_millis()), 16 * MIB);
        drop(client);
    }
}
