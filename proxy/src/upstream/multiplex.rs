//! HTTP/2 connections to the endpoints of one upstream, kept by one worker.
//!
//! One connection to an endpoint serves everybody until its streams are used up; then another is
//! opened under the same cap as any. Only one is opened at a time: who comes meanwhile waits for
//! it instead of opening his own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ahash::AHashMap;
use portcullis_config::model::HttpProtocol;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::http2::client::{Channel, Lease};

/// One worker's HTTP/2 connections of one upstream.
#[derive(Default)]
pub(super) struct Multiplex {
    endpoints: RefCell<AHashMap<u64, EndpointConnections>>,
    /// Wakes those who wait for a stream.
    changes: Rc<Notify>,
    /// What the last TLS handshake has settled.
    learned: Cell<Option<HttpProtocol>>,
}

#[derive(Default)]
struct EndpointConnections {
    channels: Vec<Channel>,
    opening: bool,
}

/// The one opening of an endpoint that is under way; it ends on drop.
pub(super) struct Opening {
    pool: Rc<Multiplex>,
    endpoint: u64,
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(endpoint) = self.pool.endpoints.borrow_mut().get_mut(&self.endpoint) {
            endpoint.opening = false;
        }
        self.pool.changes.notify_waiters();
    }
}

impl Multiplex {
    pub(super) fn learned(&self) -> Option<HttpProtocol> {
        self.learned.get()
    }

    pub(super) fn learn(&self, protocol: HttpProtocol) {
        self.learned.set(Some(protocol));
    }

    /// A stream to the endpoint, where a connection has room for one.
    pub(super) fn lease(&self, endpoint: u64) -> Option<Lease> {
        let mut endpoints = self.endpoints.borrow_mut();
        let channels = &mut endpoints.get_mut(&endpoint)?.channels;
        channels.retain(Channel::is_open);
        let channel = channels.iter().find(|channel| channel.has_room())?;
        Some(channel.lease())
    }

    /// The right to open a connection, unless another request is opening one.
    pub(super) fn try_opening(self: &Rc<Self>, endpoint: u64) -> Option<Opening> {
        let mut endpoints = self.endpoints.borrow_mut();
        let opening = &mut endpoints.entry(endpoint).or_default().opening;
        let taken = std::mem::replace(opening, true);
        (!taken).then(|| Opening { pool: Rc::clone(self), endpoint })
    }

    pub(super) fn is_opening(&self, endpoint: u64) -> bool {
        self.endpoints.borrow().get(&endpoint).is_some_and(|endpoint| endpoint.opening)
    }

    /// Whom a connection of this upstream tells of its changes.
    pub(super) fn changes(&self) -> Rc<Notify> {
        Rc::clone(&self.changes)
    }

    /// Takes a new connection in, and gives its first stream.
    pub(super) fn add(&self, endpoint: u64, channel: Channel) -> Lease {
        let lease = channel.lease();
        self.endpoints.borrow_mut().entry(endpoint).or_default().channels.push(channel);
        lease
    }

    /// Ends when anything has changed since this call.
    pub(super) fn change(&self) -> Notified<'_> {
        self.changes.notified()
    }

    /// Closes connections that have been idle for too long, that are closed by the peer, or that lead
    /// to removed endpoints. Their open streams run to their end.
    pub(super) fn sweep(&self, now: Instant, idle: Duration, is_current: impl Fn(u64) -> bool) {
        self.endpoints.borrow_mut().retain(|id, endpoint| {
            if is_current(*id) {
                endpoint.channels.retain(|channel| {
                    channel.is_open()
                        && channel.quiet_since().is_none_or(|since| since + idle > now)
                });
            } else {
                endpoint.channels.clear();
            }
            endpoint.opening || !endpoint.channels.is_empty()
        });
    }
}
