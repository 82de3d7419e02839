//! Header lines and header maps, one into the other.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::http1::body::Side;
use crate::http1::known::known;
use crate::http1::trailers::may_follow;

/// The lines of a block, each with its CRLF, as name and value.
pub(super) fn lines(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    block.split(|&byte| byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = memchr::memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

/// Adds a field; one that HTTP/2 cannot carry is left out.
pub(super) fn add(map: &mut HeaderMap, name: &[u8], value: HeaderValue) {
    if let Ok(name) = HeaderName::from_bytes(name) {
        // Fails beyond 32,768 fields, which no limit of ours lets through.
        let _ = map.try_append(name, value);
    }
}

pub(super) fn add_copied(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value)) {
        add(map, name, value);
    }
}

/// Trailers that may be passed on: nothing that would change what the head said.
pub fn clean_trailers(trailers: HeaderMap, side: Side) -> HeaderMap {
    let spoof = side == Side::Request;
    let passes = |name: &HeaderName| {
        let name = name.as_str().as_bytes();
        may_follow(name, known(name), spoof)
    };
    if trailers.keys().all(passes) {
        return trailers;
    }
    let mut kept = HeaderMap::new();
    for (name, value) in trailers.iter().filter(|(name, _)| passes(name)) {
        kept.append(name.clone(), value.clone());
    }
    kept
}

/// Trailers as the lines behind a last chunk.
pub fn trailer_lines(trailers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in trailers {
        put_line(&mut lines, name.as_str().as_bytes(), value.as_bytes());
    }
    lines
}

/// Trailers from the lines behind a last chunk; `None` when there are none.
pub fn trailer_map(block: &[u8]) -> Option<HeaderMap> {
    if block.is_empty() {
        return None;
    }
    let mut map = HeaderMap::new();
    for (name, value) in lines(block) {
        add_copied(&mut map, name, value);
    }
    Some(map)
}

pub(super) fn put_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for piece in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_maps_hold_the_same() {
        let block = b"grpc-status: 0\r\ngrpc-message: all: well\r\n";
        let map = trailer_map(block).unwrap();
        assert_eq!(map["grpc-message"], "all: well");
        assert_eq!(trailer_lines(&map), block);
        assert!(trailer_map(b"").is_none());
    }

    #[test]
    fn a_trailer_that_would_change_the_head_is_left_out() {
        let trailers =
            trailer_map(b"grpc-status: 0\r\ncontent-length: 5\r\nhost: a\r\nx_y: 1\r\n").unwrap();
        let clean = clean_trailers(trailers.clone(), Side::Request);
        assert_eq!(trailer_lines(&clean), b"grpc-status: 0\r\n");
        assert_eq!(clean_trailers(trailers, Side::Response).len(), 2);
    }
}
