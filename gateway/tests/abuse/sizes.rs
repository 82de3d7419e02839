//! No input holds a hundred times its size, or takes a hundred times the processor of an ordinary
//! request of its size.

use std::time::Duration;

use portcullis_testkit::client::RawClient;
use portcullis_testkit::h2::frame::{
    END_HEADERS, END_STREAM, WHOLE, block, data, get, headers, request,
};
use portcullis_testkit::origin::Origin;
use portcullis_testkit::patience::{rest, until};
use portcullis_testkit::procfs;

use crate::ALONE;
use crate::gateway::{Gateway, MIB};

const TIMES: u32 = 100;

/// Routes that look at everything that a client can make long.
fn looking(origin: std::net::SocketAddr) -> String {
    format!(
        "version: v1\nworkers: 1\nlisteners:\n\
         \x20 - {{name: public, address: \"127.0.0.1:0\"}}\n\
         \x20 - {{name: status, address: \"127.0.0.1:0\", kind: status}}\n\
         upstreams:\n  - {{name: back, endpoints: [{{address: \"{origin}\"}}]}}\n\
         routes:\n\
         \x20 - {{name: query, match: {{query: [{{name: zz, regex: \"(a+)+b\"}}]}}, reply: {{status: 204}}}}\n\
         \x20 - {{name: cookie, match: {{cookies: [{{name: zz, regex: \"(a+)+b\"}}]}}, reply: {{status: 204}}}}\n\
         \x20 - {{name: header, match: {{headers: [{{name: zz, regex: \"(a|aa)+b\"}}]}}, reply: {{status: 204}}}}\n\
         \x20 - {{name: path, match: {{path: {{regex: \"/r/(a+)+b\"}}}}, reply: {{status: 204}}}}\n\
         \x20 - {{name: own, match: {{path: {{prefix: /own}}}}, reply: {{status: 200, body: hello}}}}\n\
         \x20 - {{name: all, backends: [{{upstream: back}}]}}\n\
         accessLog: {{path: access.log}}\n"
    )
}

fn one(path: &str, lines: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n{lines}\r\n").into_bytes()
}

fn body(framing: &str, body: &[u8]) -> Vec<u8> {
    [format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n").as_bytes(), body].concat()
}

/// Each beside an ordinary request of as many bytes.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let tiny: String = (0..98).map(|at| format!("a{at}:b\r\n")).collect();
    let pairs = |count: usize| vec!["a=b"; count];
    let chunks = [b"1\r\nx\r\n".repeat(10_000), b"0\r\n\r\n".to_vec()].concat();
    vec![
        ("many tiny fields", one("/own", &tiny)),
        ("a query of many pairs", one(&format!("/own?{}", pairs(4_000).join("&")), "")),
        ("a query that is escaped", one(&format!("/own?zz={}", "%61".repeat(5_000)), "")),
        ("a query that is nearly matched", one(&format!("/own?zz={}", "a".repeat(16_000)), "")),
        ("many cookies", one("/own", &format!("cookie: {}\r\n", pairs(10_000).join("; ")))),
        ("a field that is nearly matched", one("/own", &format!("zz: {}\r\n", "a".repeat(50_000)))),
        ("a path that is nearly matched", one(&format!("/r/{}", "a".repeat(16_000)), "")),
        ("a path of many steps", one(&format!("/own{}", "/a/..".repeat(3_000)), "")),
        ("a path of many slashes", one(&format!("/own{}", "/".repeat(16_000)), "")),
        ("a path that is escaped", one(&format!("/own/{}", "%61".repeat(5_000)), "")),
        (
            "many hops",
            one("/own", &format!("x-forwarded-for: {}\r\n", ["1.1.1.1"; 5_000].join(","))),
        ),
        ("chunks of a byte", body("transfer-encoding: chunked", &chunks)),
    ]
}

/// A request of so many bytes in which nothing is remarkable.
fn ordinary(bytes: usize, of_body: bool) -> Vec<u8> {
    let bytes = bytes - 60;
    if of_body {
        return body(&format!("content-length: {bytes}"), &vec![b'x'; bytes]);
    }
    let mut lines = String::new();
    while lines.len() < bytes {
        let length = (bytes - lines.len()).min(4_000);
        lines.push_str(&format!("x-{}: {}\r\n", lines.len(), "v".repeat(length)));
    }
    one("/own", &lines)
}

/// The processor time of one, of several.
async fn cost(gateway: &Gateway, bytes: &[u8]) -> Duration {
    let ask = async |_| {
        let mut client = RawClient::connect(gateway.address).await.unwrap();
        // An answer may come before all of a body was sent.
        let _ = client.send(bytes).await;
        let _ = client.response().await;
        drop(client);
    };
    ask(0).await;
    let meter = gateway.meter();
    for at in 0..5 {
        ask(at).await;
    }
    meter.processor() / 5
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_takes_a_hundred_times_the_processor_of_another() {
    let _beside = ALONE.read().await;
    let origin = Origin::start("o").await.unwrap();
    let gateway = Gateway::of(looking(origin.address()), "").await;
    for (name, input) in inputs() {
        let usual = cost(&gateway, &ordinary(input.len(), input.starts_with(b"POST"))).await;
        let taken = cost(&gateway, &input).await;
        println!("{name}: {} bytes, {taken:?}, usually {usual:?}", input.len());
        assert!(taken <= TIMES * usual, "{name}: {taken:?}, usually {usual:?}");
    }
}

/// What is not complete is held: so many times its size at most, however it is made up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_input_holds_a_hundred_times_its_size() {
    const CLIENTS: usize = 100;
    let _beside = ALONE.read().await;
    let origin = Origin::start("o").await.unwrap();
    for (name, input) in inputs() {
        let gateway = Gateway::of(looking(origin.address()), "").await;
        let meter = gateway.meter();
        let mut held = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = RawClient::connect(gateway.address).await.unwrap();
            // All but its last byte.
            let _ = client.send(&input[..input.len() - 1]).await;
            held.push(client);
        }
        until_quiet(&gateway).await;
        let each = meter.grown() / CLIENTS as u64;
        println!("{name}: {} bytes hold {each}", input.len());
        assert!(each <= u64::from(TIMES) * input.len() as u64, "{name}: {each}");
        // Nor more than a buffer for each direction, and what a connection takes.
        assert!(each <= 160 * 1024, "{name}: {each}");
        drop(held);
    }
}

/// It spends next to no time of the processor any more.
async fn until_quiet(gateway: &Gateway) {
    let spent = || procfs::cpu_nanoseconds(gateway.pid()).unwrap();
    until("the gateway is quiet", async || {
        let before = spent();
        rest(Duration::from_millis(50)).await;
        // Upkeep alone takes a little.
        spent() - before < 5_000_000
    })
    .await;
}

/// Frames of a byte cost nine more each; a client that sends only such is one of many frames that
/// lead to little, and served or sent away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_data_frames_cost_little() {
    const BYTES: usize = 20_000;
    let _beside = ALONE.read().await;
    let origin = Origin::start("o").await.unwrap();
    let gateway = Gateway::start(origin.address()).await;
    let head = headers(1, END_HEADERS, request("POST", "/bytes/1", &[]));
    let ends = data(1, END_STREAM, "");
    let tiny = [&head[..], &data(1, 0, "x").repeat(BYTES), &ends].concat();
    let large =
        [&head[..], &data(1, 0, vec![b'x'; 10_000]).repeat(tiny.len() / 10_009), &ends].concat();
    let mut times = Vec::new();
    for (name, bytes) in [("one large body", large), ("frames of a byte", tiny)] {
        let mut client = gateway.client(&[]).await;
        let meter = gateway.meter();
        let _ = client.send(&bytes).await;
        while let Ok(Some(seen)) = client.next().await {
            if seen.ended() == Some(1) {
                break;
            }
        }
        times.push(meter.processor());
        meter.tell(name, &format!("{} bytes", bytes.len()), 4 * MIB);
    }
    assert!(times[1] <= TIMES * times[0], "{times:?}");
}

/// One byte of a field that is known stands for thousands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packed_fields_are_counted_unpacked() {
    let _beside = ALONE.read().await;
    let origin = Origin::start("o").await.unwrap();
    let gateway = Gateway::start(origin.address()).await;
    let first =
        block(&[(":method", "GET"), (":scheme", "http"), (":path", "/own"), (":authority", "a")]);
    let mut kept = vec![0x40];
    portcullis_testkit::h2::frame::text(&mut kept, b"x-bomb");
    portcullis_testkit::h2::frame::text(&mut kept, &[b'a'; 4000]);
    let bomb = [get("/own", &[]), vec![0x80 | 62; 10]].concat();
    let mut client = gateway.client(&[]).await;
    client.send(&headers(1, WHOLE, [first, kept].concat())).await.unwrap();
    client.until(|seen| seen.ended() == Some(1)).await.unwrap();
    let meter = gateway.meter();
    for at in 1..100 {
        client.send(&headers(2 * at + 1, WHOLE, &bomb)).await.unwrap();
        client.until(|seen| seen.ended() == Some(2 * at + 1)).await.unwrap();
    }
    // Forty kilobytes each time, in sixty bytes.
    meter.tell("ten fields of 4 KB in a byte each", "answered", MIB);
    println!("{:?} of processor for each", meter.processor() / 99);
}
