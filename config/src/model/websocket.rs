//! WebSocket connections through a route, and what a listener may switch to.

use std::time::Duration;

use crate::location::Sourced;

/// What the clients of a listener may turn their connection into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrades {
    pub websocket: bool,
}

impl Default for Upgrades {
    fn default() -> Self {
        Self { websocket: true }
    }
}

/// A protocol that a connection may be upgraded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    WebSocket,
}

/// What holds for the WebSocket connections of a route.
#[derive(Debug, Clone)]
pub struct WebSocket {
    /// Without one byte in either direction.
    pub idle_timeout: Sourced<Duration>,
    /// However busy it is.
    pub max_age: Option<Sourced<Duration>>,
    pub drain: WebSocketDrain,
}

/// How the proxy ends a WebSocket connection.
#[derive(Debug, Clone)]
pub struct WebSocketDrain {
    /// What its Close frame says.
    pub close_code: Sourced<CloseCode>,
    /// Over how long the ends of many connections are spread, so that their clients do not all
    /// come back at once.
    pub jitter: Sourced<Duration>,
}

/// What holds when no file says anything.
impl Default for WebSocket {
    fn default() -> Self {
        Self {
            // As long as Envoy lets a silent stream live; who means to be silent longer sends pings.
            idle_timeout: Sourced::built_in(Duration::from_secs(5 * 60)),
            max_age: None,
            drain: WebSocketDrain {
                close_code: Sourced::built_in(CloseCode::GOING_AWAY),
                jitter: Sourced::built_in(Duration::from_secs(30)),
            },
        }
    }
}

/// The status of a Close frame, one that may be sent (RFC 6455, section 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// An endpoint is going away.
    pub const GOING_AWAY: Self = Self(1001);

    /// `None` for what is reserved, or only ever made up locally.
    pub fn try_new(code: u16) -> Option<Self> {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(code))
    }

    pub fn get(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_code_is_one_that_may_be_sent() {
        for code in [1000, 1001, 1003, 1007, 1012, 1014, 3000, 4999] {
            assert_eq!(CloseCode::try_new(code).map(CloseCode::get), Some(code));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            assert_eq!(CloseCode::try_new(code), None, "{code}");
        }
    }
}
