//! The list of all cases. What each one is, is described in `docs/benchmarks-micro.md`.

mod balance;
mod codec;
mod http2;
mod observe;
mod pool;
mod routing;

use std::hint::black_box;

use crate::case::{Case, Work};

/// Every case, in the order of a request's way through the engine.
pub const CASES: &[Case] = &[
    case("head-parse/request", codec::parse_request_head),
    case("head-parse/response", codec::parse_response_head),
    case("head-write/request", codec::write_request_head),
    case("head-write/response", codec::write_response_head),
    case("chunked/decode-1k", || codec::decode_chunks(1024)),
    case("chunked/decode-16k", || codec::decode_chunks(16 * 1024)),
    // Not in larger ones: there the copy is one instruction that callgrind counts by its bytes.
    case("chunked/encode-1k", || codec::encode_chunks(1024)),
    case("http2-head/request-in", http2::request_in),
    case("http2-head/request-out", http2::request_out),
    case("http2-head/response-in", http2::response_in),
    case("http2-head/response-out", http2::response_out),
    case("route/10", || routing::find(10)),
    case("route/1000", || routing::find(1_000)),
    case("route/10000", || routing::find(10_000)),
    case("decide/10", || routing::decide(10)),
    case("decide/10000", || routing::decide(10_000)),
    case("balance/round-robin-1", || balance::pick("policy: round-robin", 1)),
    case("balance/round-robin-10", || balance::pick("policy: round-robin", 10)),
    case("balance/least-request-1", || balance::pick("policy: least-request", 1)),
    case("balance/least-request-10", || balance::pick("policy: least-request", 10)),
    case("balance/p2c-ewma-1", || balance::pick("policy: p2c-ewma", 1)),
    case("balance/p2c-ewma-10", || balance::pick("policy: p2c-ewma", 10)),
    case("balance/random-1", || balance::pick("policy: random", 1)),
    case("balance/random-10", || balance::pick("policy: random", 10)),
    case("balance/ring-hash-1", || balance::pick("policy: ring-hash, hash: {path: true}", 1)),
    case("balance/ring-hash-10", || balance::pick("policy: ring-hash, hash: {path: true}", 10)),
    case("balance/maglev-1", || balance::pick("policy: maglev, hash: {path: true}", 1)),
    case("balance/maglev-10", || balance::pick("policy: maglev, hash: {path: true}", 10)),
    case("pool/lend-and-return", pool::lend_and_return),
    case("metrics/request", observe::count_request),
    case("access-log/line", observe::write_line),
];

const fn case(name: &'static str, prepare: fn() -> Work) -> Case {
    Case { name, prepare }
}

/// Keeps the compiler from leaving out what nobody looks at.
fn repeat<T>(mut piece: impl FnMut() -> T + 'static) -> Work {
    Box::new(move || {
        black_box(piece());
    })
}
