//! WebSocket (RFC 6455, and RFC 8441 over HTTP/2): the handshake as this hop judges it, the
//! tunnel after it, and its end.
//!
//! Frames are passed on as they come: their payload is not looked at, and what breaks the rules
//! of framing is for the endpoints to refuse, who know which extensions they have agreed on. Only
//! the boundaries of frames are followed, so that the proxy can say goodbye between two of them.
//! Knows neither routing nor upstreams.

pub mod frames;
pub mod handshake;
pub mod live;
pub mod tunnel;
