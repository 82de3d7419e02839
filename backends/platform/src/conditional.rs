//! Conditional reads (RFC 9110, section 13): an entity tag on every answer, 304 when it is known.
//!
//! The tag is computed from the body, so it cannot be wrong; what a 304 saves is the network, not
//! the query. axum drops the body for HEAD and leaves the headers.

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::problem::Problem;

/// Answers `value` as JSON, or 304 if the request names its current tag.
pub fn json(request: &HeaderMap, cache: &'static str, value: &impl Serialize) -> Response {
    let body = match serde_json::to_vec(value) {
        Ok(body) => Bytes::from(body),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            return Problem::internal().into_response();
        }
    };
    let tag = entity_tag(&body);
    let mut response = if matches_any(request, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Body::from(body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// `If-None-Match` compares weakly: a cache may have weakened the tag by compressing the body.
fn matches_any(request: &HeaderMap, tag: &str) -> bool {
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        // Our tags hold no comma, so that a split inside a foreign tag cannot yield one of ours.
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// FNV-1a of 128 bits (draft-eastlake-fnv): the same on every machine and release, and collisions
/// among the versions of one document are out of reach by chance.
fn entity_tag(body: &[u8]) -> String {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash =
        body.iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME));
    format!("\"{hash:032x}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_the_published_test_vectors() {
        assert_eq!(entity_tag(b""), "\"6c62272e07bb014262b821756295c58d\"");
        assert_eq!(entity_tag(b"a"), "\"d228cb696f1a8caf78912b704e4a8964\"");
        assert_eq!(entity_tag(b"foobar"), "\"343e1662793c64bf6f0d3597ba446f18\"");
    }

    #[test]
    fn a_known_tag_is_found_in_every_spelling() {
        let tag = entity_tag(b"\"body\"");
        let check = |header: &str, expected: bool| {
            let mut request = HeaderMap::new();
            request.insert(IF_NONE_MATCH, HeaderValue::from_str(header).unwrap());
            let status = json(&request, "no-cache", &"body").status();
            assert_eq!(status == StatusCode::NOT_MODIFIED, expected, "{header}");
        };
        check(&tag, true);
        check(&format!("W/{tag}"), true);
        check(&format!("\"other\" , {tag}"), true);
        check("*", true);
        check("\"other\"", false);
        check(&tag[1..], false);
        check("", false);
    }

    #[test]
    fn a_304_has_the_headers_of_the_200_and_no_body() {
        let mut request = HeaderMap::new();
        let full = json(&request, "max-age=5", &"body");
        request.insert(IF_NONE_MATCH, full.headers()[ETAG].clone());
        let known = json(&request, "max-age=5", &"body");
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(known.headers()[ETAG], full.headers()[ETAG]);
        assert_eq!(known.headers()[CACHE_CONTROL], "max-age=5");
        assert!(known.headers().get(CONTENT_TYPE).is_none());
    }
}
