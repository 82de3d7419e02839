//! Where a request comes from: the claims of its peer, if the peer is trusted.
//!
//! One pass over the head, without allocating. A peer that the listener does not trust is the client,
//! and its claims are ignored. Behind a trusted peer, the client is found in `x-forwarded-for` from
//! the right, where each proxy has appended its peer: past trusted addresses, or past the configured
//! number of hops. Knows the head and the listener's trust, no connection.
//! [`forwarded`](super::forwarded) writes the result for the upstream.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis_config::model::Trust;

use super::request_id::RequestId;
use super::trace::Trace;
use crate::http1::host;
use crate::http1::syntax::elements;
use crate::message::{Fields, Known, KnownSet, RequestHead, Span};

/// Entries of `x-forwarded-for`, from the right, that are read and forwarded.
pub const CHAIN_ENTRIES: usize = 32;
/// Bytes of these entries.
pub const CHAIN_BYTES: usize = 4 * 1024;

/// The other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// `None` on a Unix socket.
    pub address: Option<IpAddr>,
    pub tls: bool,
}

/// Where a request comes from. Spans are of its head.
#[derive(Debug, Clone, Copy, Default)]
pub struct Provenance {
    /// The client that a trusted peer forwards for; otherwise the peer is the client.
    pub forwarded_for: Option<IpAddr>,
    /// The client's connection is encrypted: as a trusted peer says, or as seen here.
    pub tls: bool,
    /// A trusted peer has sent the scheme; otherwise `tls` is that of the connection.
    pub forwarded_scheme: bool,
    pub(super) trusted: bool,
    pub(super) host: Option<Span>,
    pub(super) port: Option<Span>,
    request_id: Option<Span>,
    /// `None` before there is a head.
    pub trace: Option<Trace>,
}

impl Provenance {
    /// `random` gives the ids of a trace that begins here.
    pub fn judge(
        head: &RequestHead<'_>,
        trust: &Trust,
        peer: Peer,
        random: impl FnOnce() -> (u128, u64),
    ) -> Self {
        let claims = Claims::of(head.fields());
        let value = |once: Once| once.span().map(|span| (span, span.of(head.bytes)));
        let parent = value(claims.parent).map(|(_, parent)| parent);
        let trace = Some(Trace::new(parent, claims.state_bytes, random));
        if !trust.covers(peer.address) {
            return Self { tls: peer.tls, trace, ..Self::default() };
        }
        let well_formed = |once: Once, is: fn(&[u8]) -> bool| {
            value(once).filter(|(_, value)| is(value)).map(|(span, _)| span)
        };
        let forwarded_tls = value(claims.proto).and_then(|(_, proto)| is_encrypted(proto));
        Self {
            forwarded_for: claims.chain.then(|| find_client(head.fields(), trust)).flatten(),
            tls: forwarded_tls.unwrap_or(peer.tls),
            forwarded_scheme: forwarded_tls.is_some(),
            trusted: true,
            host: well_formed(claims.host, host::is_valid),
            port: well_formed(claims.port, |port| host::port(port).is_some()),
            request_id: well_formed(claims.request_id, RequestId::is_well_formed),
            trace,
        }
    }

    /// Whether the peer is trusted to name its client.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The id that a trusted peer gave the request.
    pub fn request_id(&self, head: &RequestHead<'_>) -> Option<RequestId> {
        RequestId::try_new(self.request_id?.of(head.bytes))
    }

    /// The port that the client used: `own`, unless a trusted peer sends another.
    pub fn port(&self, head: &RequestHead<'_>, own: Option<u16>) -> Option<u16> {
        match self.port {
            Some(port) => std::str::from_utf8(port.of(head.bytes)).ok()?.parse().ok(),
            None if self.forwarded_scheme => None,
            None => own,
        }
    }
}

/// The elements of all `x-forwarded-for` lines, the last first, within the bounds. An element
/// that the bounds would cut is left out.
pub(super) fn chain<'a>(fields: Fields<'a>) -> impl Iterator<Item = &'a [u8]> {
    let mut budget = CHAIN_BYTES;
    let lines = fields.fields.iter().rev().filter(|field| field.known == Known::XForwardedFor);
    lines
        .map_while(move |field| {
            let value = field.value.of(fields.bytes);
            let Some(beyond) = value.len().checked_sub(budget).filter(|beyond| *beyond > 0) else {
                budget -= value.len();
                return Some(value);
            };
            let value = &value[beyond..];
            let rest = std::mem::take(&mut budget);
            let whole = value.iter().position(|byte| *byte == b',').map_or(rest, |at| at + 1);
            (rest > 0).then(|| &value[whole..])
        })
        .flat_map(|value| elements(value).rev())
        .take(CHAIN_ENTRIES)
}

fn find_client(fields: Fields<'_>, trust: &Trust) -> Option<IpAddr> {
    let mut addresses = chain(fields).map(address);
    match trust {
        Trust::None => None,
        Trust::Proxies(networks) => {
            let mut client = None;
            // A malformed entry ends the search: the client is the last valid address.
            for met in addresses.map_while(|address| address) {
                client = Some(met);
                if !networks.contains(met) {
                    break;
                }
            }
            client
        }
        // Fewer entries than hops: the request has not passed all proxies, so the peer is used.
        Trust::Hops(hops) => {
            (1..hops.get()).try_for_each(|_| addresses.next()?.map(drop))?;
            addresses.next()?
        }
    }
}

/// An address as proxies write it: with or without a port, IPv6 with or without brackets.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let is_port = |port: &str| host::port(port.as_bytes()).is_some();
    let parsed = if let Some(literal) = text.strip_prefix('[') {
        let (address, rest) = literal.split_once(']')?;
        let ends = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        address.parse::<Ipv6Addr>().ok().filter(|_| ends).map(IpAddr::V6)
    } else {
        match text.split_once(':') {
            Some((address, port)) if is_port(port) && !address.is_empty() => {
                address.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
            }
            _ => text.parse().ok(),
        }
    };
    parsed.map(|address: IpAddr| address.to_canonical())
}

fn is_encrypted(proto: &[u8]) -> Option<bool> {
    match proto {
        _ if proto.eq_ignore_ascii_case(b"https") => Some(true),
        _ if proto.eq_ignore_ascii_case(b"http") => Some(false),
        _ => None,
    }
}

/// A field that counts only if it occurs once.
#[derive(Debug, Clone, Copy, Default)]
enum Once {
    #[default]
    Never,
    One(Span),
    Several,
}

impl Once {
    fn see(&mut self, span: Span) {
        *self = match self {
            Self::Never => Self::One(span),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    fn span(self) -> Option<Span> {
        match self {
            Self::One(span) => Some(span),
            Self::Never | Self::Several => None,
        }
    }
}

/// The claims of a head about its origin, from any peer.
#[derive(Debug, Default)]
struct Claims {
    chain: bool,
    proto: Once,
    host: Once,
    port: Once,
    request_id: Once,
    parent: Once,
    state_bytes: usize,
}

impl Claims {
    fn of(fields: Fields<'_>) -> Self {
        const CLAIMS: KnownSet = KnownSet::of(&[
            Known::XForwardedFor,
            Known::XForwardedProto,
            Known::XForwardedHost,
            Known::XForwardedPort,
            Known::XRequestId,
            Known::Traceparent,
            Known::Tracestate,
        ]);
        let mut claims = Self::default();
        if !fields.fields.seen().intersects(CLAIMS) {
            return claims;
        }
        for field in fields.fields.iter() {
            match field.known {
                Known::XForwardedFor => claims.chain = true,
                Known::XForwardedProto => claims.proto.see(field.value),
                Known::XForwardedHost => claims.host.see(field.value),
                Known::XForwardedPort => claims.port.see(field.value),
                Known::XRequestId => claims.request_id.see(field.value),
                Known::Traceparent => claims.parent.see(field.value),
                Known::Tracestate => {
                    let comma = usize::from(claims.state_bytes > 0);
                    claims.state_bytes += field.value.of(fields.bytes).len() + comma;
                }
                _ => {}
            }
        }
        claims
    }
}

#[cfg(test)]
mod tests;
