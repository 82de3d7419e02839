//! What the proxy tells an upstream of the client, and what no client may say of itself.
//!
//! No hop is trusted yet, so every claim of a client is dropped and the values are written
//! fresh. Once trusted proxies exist they are an argument here; nothing else changes.

use crate::http1::known::{KnownSet, known};
use crate::http1::write::Line;
use crate::message::Known;

use super::request_id::RequestId;

/// The fields of a client that are never handed on as they came.
pub const CLAIMS: KnownSet = KnownSet::of(&[
    Known::XForwardedFor,
    Known::XForwardedProto,
    Known::XForwardedHost,
    Known::XForwardedClientCert,
    Known::Forwarded,
    Known::XRequestId,
    Known::OtherClaim,
]);

/// Whether a client's field of this name is a claim.
pub fn is_claim(name: &[u8]) -> bool {
    CLAIMS.contains(known(name))
}

/// What is told of a request, in pieces that the head writer copies.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded<'a> {
    peer: [&'a [u8]; 1],
    proto: [&'a [u8]; 1],
    id: [&'a [u8]; 1],
    host: [&'a [u8]; 1],
}

impl<'a> Forwarded<'a> {
    /// `peer` is the client's address without port, empty on a Unix socket; `authority` is as
    /// the client sent it, and empty where HTTP/1.0 named none.
    pub fn new(peer: &'a [u8], tls: bool, authority: &'a [u8], id: &'a RequestId) -> Self {
        Self {
            peer: [peer],
            proto: [if tls { b"https" } else { b"http" }],
            id: [id.as_str().as_bytes()],
            host: [authority],
        }
    }

    /// The lines for the upstream.
    pub fn lines(&'a self) -> smallvec::SmallVec<[Line<'a>; 4]> {
        let line = |name, value| Line { name, value };
        let mut lines = smallvec::SmallVec::new();
        if !self.peer[0].is_empty() {
            lines.push(line(b"x-forwarded-for", &self.peer[..]));
        }
        lines.push(line(b"x-forwarded-proto", &self.proto));
        if !self.host[0].is_empty() {
            lines.push(line(b"x-forwarded-host", &self.host));
        }
        lines.push(line(b"x-request-id", &self.id));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(peer: &str, tls: bool, authority: &str) -> String {
        let id = RequestId::from_random(0);
        let forwarded = Forwarded::new(peer.as_bytes(), tls, authority.as_bytes(), &id);
        let mut text = String::new();
        for line in forwarded.lines() {
            let value = line.value.concat();
            let (name, value) =
                (String::from_utf8_lossy(line.name), String::from_utf8_lossy(&value));
            text.push_str(&format!("{name}: {value}\n"));
        }
        text
    }

    #[test]
    fn what_is_known_is_told() {
        assert_eq!(
            told("192.0.2.1", true, "a.example:8443"),
            "x-forwarded-for: 192.0.2.1\nx-forwarded-proto: https\n\
             x-forwarded-host: a.example:8443\n\
             x-request-id: 00000000-0000-4000-8000-000000000000\n"
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(
            told("", false, ""),
            "x-forwarded-proto: http\nx-request-id: 00000000-0000-4000-8000-000000000000\n"
        );
    }
}
