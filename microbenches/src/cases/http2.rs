//! HTTP/2: heads between the library's form and the engine's own.

use std::hint::black_box;

use http::{Request, Response, request, response};
use portcullis_proxy::http1::{OutgoingRequest, OutgoingResponse};
use portcullis_proxy::http2::head::{
    incoming_request, incoming_response, outgoing_request, outgoing_response,
};
use portcullis_proxy::message::{Fields, KnownSet, RequestParts, ResponseParts, Version};

use super::repeat;
use crate::case::Work;
use crate::fixture::{self, REQUEST_RULES, RESPONSE_RULES};

/// From a client, written out as lines and judged.
pub(super) fn request_in() -> Work {
    let head = request_of_library();
    let (mut bytes, mut parts) = (Vec::new(), RequestParts::default());
    repeat(move || {
        let read =
            incoming_request(black_box(&head), false, &REQUEST_RULES, &mut bytes, &mut parts);
        assert!(read.is_ok());
    })
}

/// To an upstream.
pub(super) fn request_out() -> Work {
    let parts = fixture::request_parts();
    repeat(move || {
        let head = black_box(fixture::request_head(&parts));
        let plan = OutgoingRequest {
            path: head.path(),
            query: head.query(),
            host: head.authority(),
            framing: parts.framing,
            edits: None,
            changes: None,
            drop: KnownSet::EMPTY,
            append: &[],
            keep_expect: false,
            keep_upgrade: false,
            keep_alive: true,
        };
        outgoing_request(&head, &plan, false).expect("a URI can hold it")
    })
}

/// From an upstream, written out as lines and judged.
pub(super) fn response_in() -> Work {
    let head = response_of_library();
    let (mut bytes, mut parts) = (Vec::new(), ResponseParts::default());
    let rules = &RESPONSE_RULES;
    repeat(move || {
        let read = incoming_response(black_box(&head), true, rules, b"GET", &mut bytes, &mut parts);
        assert!(read.is_ok());
    })
}

/// To a client.
pub(super) fn response_out() -> Work {
    let parts = fixture::response_parts();
    repeat(move || {
        let plan = OutgoingResponse {
            client: Version::Http2,
            keep_alive: true,
            framing: parts.framing,
            date: b"Mon, 23 Nov 2026 04:33:47 GMT",
            edits: None,
            changes: None,
            drop: KnownSet::EMPTY,
            append: &[],
            keep_upgrade: false,
        };
        let head = black_box(fixture::response_head(&parts));
        outgoing_response(&head, &plan).expect("the status is one")
    })
}

/// The shared request as HTTP/2 brings it: the host is the authority.
fn request_of_library() -> request::Parts {
    let parts = fixture::request_parts();
    let mut request = Request::get("http://host-0.example/segment-7/items/42?page=2");
    for (name, value) in others(fixture::request_head(&parts).fields(), b"host") {
        request = request.header(name, value);
    }
    request.body(()).expect("the fixture is in order").into_parts().0
}

fn response_of_library() -> response::Parts {
    let parts = fixture::response_parts();
    let mut response = Response::builder();
    for (name, value) in others(fixture::response_head(&parts).fields(), b"") {
        response = response.header(name, value);
    }
    response.body(()).expect("the fixture is in order").into_parts().0
}

fn others<'a>(
    fields: Fields<'a>,
    without: &'static [u8],
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    fields.iter().filter(move |(name, _)| *name != without)
}
