//! The header lines that describe the client to an upstream, and the lines that no client may set.
//!
//! Every claim that arrived is removed, and the lines are written anew: from the claims of a trusted
//! peer, or from what is seen here. Knows neither trust nor connections:
//! [`provenance`](super::provenance) decides whether the peer is trusted.

use smallvec::{SmallVec, smallvec};

use crate::http1::known::known;
use crate::http1::write::Line;
use crate::message::{Known, KnownSet, RequestHead};

use super::provenance::{Provenance, chain};
use super::request_id::RequestId;

/// The client's fields that are never forwarded as they came.
pub const CLAIMS: KnownSet = KnownSet::of(&[
    Known::XForwardedFor,
    Known::XForwardedProto,
    Known::XForwardedHost,
    Known::XForwardedPort,
    Known::XForwardedClientCert,
    Known::Forwarded,
    Known::XRequestId,
    Known::OtherClaim,
]);

/// Whether a client's field of this name is a claim.
pub fn is_claim(name: &[u8]) -> bool {
    CLAIMS.contains(known(name))
}

/// The lines about a request's client, in pieces that the head writer copies.
#[derive(Debug, Clone)]
pub struct Forwarded<'a> {
    /// From left to right, with their separators. Chains are short, and bounded for a hostile client.
    chain: SmallVec<[&'a [u8]; 8]>,
    proto: [&'a [u8]; 1],
    host: [&'a [u8]; 1],
    port: [&'a [u8]; 1],
    id: [&'a [u8]; 1],
    parent: [&'a [u8]; 1],
    dropped: KnownSet,
}

impl<'a> Forwarded<'a> {
    /// `peer` is the address of the peer without port, empty on a Unix socket. The host is as the
    /// client sent it; in HTTP/1.0 it may be empty.
    pub fn new(
        provenance: &'a Provenance,
        head: &RequestHead<'a>,
        peer: &'a [u8],
        id: &'a RequestId,
    ) -> Self {
        let bytes_of = |span: crate::message::Span| span.of(head.bytes);
        let trace = provenance.trace.as_ref();
        let begun = trace.and_then(|trace| trace.begun());
        let mut dropped = CLAIMS;
        if begun.is_some() {
            dropped = dropped.with(Known::Traceparent);
        }
        if !trace.is_some_and(|trace| trace.keeps_state()) {
            dropped = dropped.with(Known::Tracestate);
        }
        Self {
            chain: if provenance.trusted {
                extended(head, peer)
            } else if peer.is_empty() {
                SmallVec::new()
            } else {
                smallvec![peer]
            },
            proto: [if provenance.tls { b"https" } else { b"http" }],
            host: [provenance.host.map_or(head.authority(), bytes_of)],
            port: [provenance.port.map_or(b"", bytes_of)],
            id: [id.as_bytes()],
            parent: [begun.unwrap_or_default()],
            dropped,
        }
    }

    /// The client's lines to drop.
    pub fn dropped(&self) -> KnownSet {
        self.dropped
    }

    /// The lines for the upstream.
    pub fn lines(&self) -> SmallVec<[Line<'_>; 6]> {
        let lines: [(&[u8], &[&[u8]]); 6] = [
            (b"x-forwarded-for", &self.chain),
            (b"x-forwarded-proto", &self.proto),
            (b"x-forwarded-host", &self.host),
            (b"x-forwarded-port", &self.port),
            (b"x-request-id", &self.id),
            (b"traceparent", &self.parent),
        ];
        let says = |line: &Line<'_>| line.value.first().is_some_and(|piece| !piece.is_empty());
        lines.into_iter().map(|(name, value)| Line { name, value }).filter(says).collect()
    }
}

/// The chain as it came, followed by the peer.
fn extended<'a>(head: &RequestHead<'a>, peer: &'a [u8]) -> SmallVec<[&'a [u8]; 8]> {
    let before = chain(head.fields());
    let mut pieces = SmallVec::new();
    for entry in Some(peer).filter(|peer| !peer.is_empty()).into_iter().chain(before) {
        if !pieces.is_empty() {
            pieces.push(&b", "[..]);
        }
        pieces.push(entry);
    }
    pieces.reverse();
    pieces
}

#[cfg(test)]
mod tests;
