//! What the accept loop needs from a listener of either kind.
//!
//! Knows only the settings of each kind.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::model::{ProxyProtocol, Trust};

use super::HttpListener;
use super::stream::StreamListener;
use crate::observe::series::ListenerMetrics;
use crate::tls::ServerTls;

/// A listener that workers serve.
#[derive(Clone)]
pub enum LiveListener {
    Http(Arc<HttpListener>),
    Stream(Arc<StreamListener>),
}

macro_rules! of_both {
    ($live:expr, $listener:ident => $value:expr) => {
        match $live {
            LiveListener::Http($listener) => $value,
            LiveListener::Stream($listener) => $value,
        }
    };
}

impl LiveListener {
    pub fn name(&self) -> &Arc<str> {
        of_both!(self, listener => &listener.name)
    }

    pub fn metrics(&self) -> &Arc<ListenerMetrics> {
        of_both!(self, listener => &listener.metrics)
    }

    pub fn tls(&self) -> Option<&Arc<ServerTls>> {
        of_both!(self, listener => listener.tls.as_ref())
    }

    pub fn most_connections(&self) -> NonZeroU32 {
        of_both!(self, listener => *listener.settings.connection_limits.max)
    }

    /// How long a connection may live.
    pub fn max_age(&self) -> Option<Duration> {
        let limits = of_both!(self, listener => &listener.settings.connection_limits);
        limits.max_age.as_ref().map(|age| **age)
    }

    pub fn proxy_protocol(&self) -> (ProxyProtocol, &Trust) {
        of_both!(self, listener => (listener.settings.proxy_protocol, &listener.settings.trust))
    }

    /// How long a client may take before its first request.
    pub fn head_timeout(&self) -> Duration {
        of_both!(self, listener => *listener.settings.timeouts.head)
    }

    pub fn handshake_timeout(&self) -> Duration {
        of_both!(self, listener => *listener.settings.timeouts.handshake)
    }

    /// How long a client may make no progress in a message.
    pub fn patience(&self) -> Duration {
        match self {
            Self::Http(listener) => *listener.settings.timeouts.body,
            Self::Stream(listener) => *listener.settings.timeouts.head,
        }
    }
}
