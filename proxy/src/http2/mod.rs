//! HTTP/2 in both directions: what connections are made of, and heads on their way into and out of
//! the form that routing and policies read.
//!
//! Framing, flow control and header compression are the `h2` crate's, which is also hyper's own
//! engine; it is used without hyper's layer above, because a proxy wants what that layer hides:
//! the stream's capacity, its reset code, interim responses. What a head may hold is judged by
//! the rules of HTTP/1: every head is written out as lines and parsed as if it had come so.

pub mod client;
pub mod connect;
pub mod fields;
mod frame;
pub mod head;
mod income;
pub(crate) mod meter;
pub(crate) mod metered;
mod sieve;
pub mod sniff;
pub(crate) mod transport;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;

/// What every client's connection begins with (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One request of a client's connection, as the library hands it out.
pub struct Stream {
    pub head: http::request::Parts,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
}
