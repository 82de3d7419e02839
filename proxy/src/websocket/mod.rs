//! WebSocket (RFC 6455, and RFC 8441 over HTTP/2): the handshake as this hop judges it, and the
//! frames after it.
//!
//! Frames are passed on as they come: their payload is not looked at, and what breaks the rules
//! of framing is for the endpoints to refuse, who know which extensions they have agreed on. Only
//! the boundaries of frames are followed, so that the proxy can send a Close frame between two of them.
//! Knows bytes and heads, no connection; the tunnel is one of `relay`.

use std::time::Duration;

pub mod frames;
pub mod handshake;

/// What a route says of its tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Without one byte in either direction.
    pub idle: Duration,
    /// However busy it is.
    pub max_age: Option<Duration>,
    pub close_code: u16,
    /// Over how long drained tunnels are spread.
    pub jitter: Duration,
}
