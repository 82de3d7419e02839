//! The live feed: a WebSocket that tells an account what is new, as it happens.
//!
//! It knows no request: who may listen, and from where, is the route's.

use axum::extract::ws::CloseFrame;

pub(crate) mod news;
pub(crate) mod seats;
pub(crate) mod session;

/// Why a feed ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client went, or its connection did.
    Left,
    /// The service stops.
    Stopping,
    TokenExpired,
    /// Messages piled up that its connection did not take.
    Slow,
    /// It answered no ping.
    Silent,
    /// It sent what this feed does not take.
    Spoke,
    /// The messages could not be read.
    Failed,
}

impl Ending {
    /// The last frame (RFC 6455, section 7.4; 4000 and up are ours). None follows a client's own.
    fn frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Left => return None,
            Self::Stopping => (1001, "the service stops: connect again"),
            Self::Spoke => (1003, "this feed takes no messages"),
            Self::Failed => (1011, "the service failed: connect again"),
            Self::Slow => (1013, "too many messages wait: connect again, after the last one"),
            Self::TokenExpired => (4401, "the token has expired"),
            Self::Silent => (4408, "no answer to a ping"),
        };
        Some(CloseFrame { code, reason: reason.into() })
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Stopping => "stopping",
            Self::TokenExpired => "token_expired",
            Self::Slow => "slow",
            Self::Silent => "silent",
            Self::Spoke => "spoke",
            Self::Failed => "failed",
        }
    }
}
