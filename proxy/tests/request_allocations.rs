//! What a request costs in allocations once a worker is warm, with every default policy on.
//!
//! A binary of its own, because it replaces the allocator. Client and origin belong to the test
//! and are left out; all other threads count, whoever they work for.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::model::ListenAddress;
use portcullis_proxy::server::Server;
use portcullis_testkit::allocations::{self, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUEST: &[u8] = b"GET /products/7?page=2 HTTP/1.1\r\nhost: shop.example\r\n\
    user-agent: test\r\naccept: */*\r\naccept-encoding: gzip\r\ncookie: session=0123456789\r\n\
    referer: http://shop.example/\r\ncache-control: no-cache\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nserver: origin\r\n\
    date: Mon, 23 Nov 2026 00:00:00 GMT\r\ncontent-length: 5\r\n\r\nhello";

const WARM: u64 = 300;
const MEASURED: u64 = 3_000;
/// Timers of the control side and the log's writer run meanwhile, a few times a second.
const BESIDE: u64 = 150;

/// What it costs to hand a request to its task and to hold what its answer needs.
const HTTP1: u64 = 2;
/// The library's streams and heads on top.
const HTTP2: u64 = 12;

#[tokio::test]
async fn a_request_allocates_no_more_than_its_bound() {
    allocations::leave_out();
    let origin = start_origin();
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = start_proxy(origin, &directory).await;
    let mut http1 = TcpStream::connect(address).unwrap();
    http1.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let of_http1 = cost(|| {
        http1.write_all(REQUEST).unwrap();
        read_response(&mut http1);
    });
    let of_http2 = http2_cost(address).await;
    println!("allocations of a request: {of_http1:.2} over HTTP/1, {of_http2:.2} over HTTP/2");
    assert!(of_http1 <= bound(HTTP1), "{of_http1} over HTTP/1");
    assert!(of_http2 <= bound(HTTP2), "{of_http2} over HTTP/2");
    drop(server);
}

#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
fn bound(of_request: u64) -> f64 {
    (of_request * MEASURED + BESIDE) as f64 / MEASURED as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
fn per_request(before: u64) -> f64 {
    (allocations::elsewhere() - before) as f64 / MEASURED as f64
}

fn cost(mut request: impl FnMut()) -> f64 {
    (0..WARM).for_each(|_| request());
    let before = allocations::elsewhere();
    (0..MEASURED).for_each(|_| request());
    per_request(before)
}

async fn http2_cost(address: SocketAddr) -> f64 {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut before = 0;
    for number in 0..WARM + MEASURED {
        if number == WARM {
            before = allocations::elsewhere();
        }
        let request = http::Request::get("http://shop.example/products/7").body(()).unwrap();
        let (response, _) = send.send_request(request, true).unwrap();
        let mut body = response.await.unwrap().into_body();
        while let Some(chunk) = body.data().await {
            body.flow_control().release_capacity(chunk.unwrap().len()).unwrap();
        }
    }
    per_request(before)
}

/// Answers every request of every connection alike.
fn start_origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        allocations::leave_out();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                allocations::leave_out();
                let mut room = [0; 4096];
                // A request is small: it comes in one piece.
                while stream.read(&mut room).is_ok_and(|count| count > 0) {
                    stream.write_all(RESPONSE).unwrap();
                }
            });
        }
    });
    address
}

async fn start_proxy(origin: SocketAddr, directory: &tempfile::TempDir) -> (Server, SocketAddr) {
    portcullis_proxy::tls::install_provider();
    let text = format!(
        "version: v1\nworkers: 1\nlisteners:\n  - {{name: front, address: \"127.0.0.1:0\"}}\n\
         upstreams:\n  - {{name: back, endpoints: [{{address: \"{origin}\"}}]}}\n\
         routes:\n  - {{name: all, backends: [{{upstream: back}}]}}\n\
         accessLog: {{path: \"{}/access.ndjson\"}}\n",
        directory.path().display()
    );
    let loaded = portcullis_config::parse_str("test.yaml", &text).unwrap();
    let server = Server::start(Arc::new(loaded.config)).await.unwrap();
    match server.addresses().first() {
        Some((_, ListenAddress::Tcp { address, .. })) => (server, *address),
        other => panic!("{other:?}"),
    }
}

fn read_response(stream: &mut TcpStream) {
    let mut room = [0; 4096];
    let mut filled = 0;
    while !room[..filled].ends_with(b"\r\n\r\nhello") {
        let count = stream.read(&mut room[filled..]).unwrap();
        assert!(count > 0, "{}", room[..filled].escape_ascii());
        filled += count;
    }
}
