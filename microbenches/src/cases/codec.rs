//! HTTP/1: heads and chunks, in and out.

use std::hint::black_box;

use portcullis_proxy::http1::{
    BodyDecoder, Edits, OutgoingRequest, OutgoingResponse, Side, parse_request, parse_response,
    write_chunk, write_last_chunk, write_request, write_response,
};
use portcullis_proxy::message::{Framing, KnownSet, RequestParts, ResponseParts, Version};
use portcullis_proxy::policy::forwarded::Forwarded;
use portcullis_proxy::policy::provenance::Provenance;
use portcullis_proxy::policy::request_id::RequestId;

use super::repeat;
use crate::case::Work;
use crate::fixture::{self, REQUEST, REQUEST_RULES, RESPONSE, RESPONSE_RULES};

/// Bytes of a body that is sent in chunks.
const BODY: usize = 16 * 1024;

pub(super) fn parse_request_head() -> Work {
    let mut parts = RequestParts::default();
    repeat(move || parse_request(black_box(REQUEST), &REQUEST_RULES, &mut parts))
}

pub(super) fn parse_response_head() -> Work {
    let mut parts = ResponseParts::default();
    repeat(move || parse_response(black_box(RESPONSE), &RESPONSE_RULES, b"GET", &mut parts))
}

/// With what is told of the client, one line removed and one set.
pub(super) fn write_request_head() -> Work {
    let parts = fixture::request_parts();
    let edits = edits().0;
    let provenance = Provenance::default();
    let id = RequestId::from_random(7);
    let mut out = Vec::new();
    repeat(move || {
        let head = black_box(fixture::request_head(&parts));
        let told = Forwarded::new(&provenance, &head, b"192.0.2.7", &id);
        out.clear();
        let plan = OutgoingRequest {
            path: head.path(),
            query: head.query(),
            host: head.authority(),
            framing: parts.framing,
            edits: Some(&edits),
            changes: None,
            drop: told.dropped(),
            append: &told.lines(),
            keep_expect: false,
            keep_upgrade: false,
            keep_alive: true,
        };
        write_request(&mut out, &head, &plan);
        black_box(out.len())
    })
}

/// With two lines removed and one set.
pub(super) fn write_response_head() -> Work {
    let parts = fixture::response_parts();
    let edits = edits().1;
    let mut out = Vec::new();
    repeat(move || {
        out.clear();
        let plan = OutgoingResponse {
            client: Version::Http11,
            keep_alive: true,
            framing: parts.framing,
            date: b"Mon, 23 Nov 2026 04:33:47 GMT",
            edits: Some(&edits),
            changes: None,
            drop: KnownSet::EMPTY,
            append: &[],
            keep_upgrade: false,
        };
        write_response(&mut out, &black_box(fixture::response_head(&parts)), &plan);
        black_box(out.len())
    })
}

/// 16 KiB in chunks of this size.
pub(super) fn decode_chunks(size: usize) -> Work {
    let mut encoded = Vec::new();
    encode(&mut encoded, &[b'x'; BODY], size);
    assert_eq!(decode(&encoded), BODY);
    repeat(move || decode(black_box(&encoded)))
}

/// 16 KiB into chunks of this size.
pub(super) fn encode_chunks(size: usize) -> Work {
    let body = vec![b'x'; BODY];
    let mut out = Vec::new();
    repeat(move || {
        out.clear();
        encode(&mut out, black_box(&body), size);
        black_box(out.len())
    })
}

fn edits() -> (Edits, Edits) {
    let route = fixture::config("policy: random", 1).routes.remove(0);
    let compile = |edits| Edits::try_new(edits).expect("the fixture's edits are allowed");
    (compile(&route.request_headers), compile(&route.response_headers))
}

fn encode(out: &mut Vec<u8>, body: &[u8], size: usize) {
    body.chunks(size).for_each(|chunk| write_chunk(out, chunk));
    write_last_chunk(out, b"");
}

/// Bytes of payload.
fn decode(encoded: &[u8]) -> usize {
    let mut decoder = BodyDecoder::new(Framing::Chunked, Side::Response);
    let (mut at, mut payload) = (0, 0);
    while !decoder.is_done() {
        let decoded = decoder.decode(&encoded[at..]).expect("it was encoded here");
        at += decoded.consumed;
        payload += black_box(decoded.data).len();
    }
    payload
}
