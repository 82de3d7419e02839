//! What a decision is made from: the request, its client, and the live state that counts.

use std::net::IpAddr;

use portcullis_config::model::{ListenerId, Upgrades};
use tokio::time::Instant;

use crate::message::RequestHead;
use crate::policy::Policy;
use crate::route::{Normalised, Table};
use crate::tls::ServerTls;

/// Other listeners that are asked whether they have a route; each costs as much as routing.
pub const LISTENERS_ASKED: usize = 8;

/// What the listener says. Borrowed from one generation of the configuration.
#[derive(Clone, Copy)]
pub struct Site<'t, 's> {
    pub listener: ListenerId,
    pub table: &'t Table,
    /// For requests that no route takes.
    pub policies: &'t [Policy],
    /// By which policies tell upstreams who the client is: no client may send these.
    pub identity_headers: &'t [Box<str>],
    /// Its certificates: which of them a name chooses.
    pub tls: Option<&'t ServerTls>,
    pub upgrades: Upgrades,
    /// The most bytes of a request's body, unless the route sets another limit.
    pub body_limit: u64,
    /// Whether another listener has a route for a request, asked when this one has none.
    pub elsewhere: &'s dyn Fn(&Normalised<'_>) -> bool,
}

impl<'t> Site<'t, 'static> {
    /// A listener that has a table and limits nothing.
    pub fn bare(table: &'t Table) -> Self {
        Self {
            listener: ListenerId(0),
            table,
            policies: &[],
            identity_headers: &[],
            tls: None,
            upgrades: Upgrades::default(),
            body_limit: u64::MAX,
            elsewhere: &|_| false,
        }
    }
}

/// What is known of a request when its head has been read.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub head: RequestHead<'a>,
    /// The client's address: from a trusted peer, or of its socket. `None` on a Unix socket.
    pub client: Option<IpAddr>,
    /// The client's connection is encrypted: as a trusted peer says, or as seen here.
    pub tls: bool,
    /// The name that the client asked for in its handshake.
    pub sni: Option<&'a str>,
    /// The port that the client used; `None` on a Unix socket, or where a trusted peer keeps it.
    pub local_port: Option<u16>,
    /// When the head was complete: a call's own time counts from there.
    pub received: Instant,
    /// When the decision is made, or goes on.
    pub now: Instant,
    /// The process is near its memory limit: it takes no request.
    pub memory_full: bool,
    /// Uniformly distributed; selects the backend.
    pub random: u64,
    /// The same; becomes the key of a WebSocket handshake that arrived over HTTP/2.
    pub random_key: u128,
}

impl<'a> Facts<'a> {
    /// For a head alone: over plain text, without a client address, now.
    pub fn of(head: RequestHead<'a>) -> Self {
        let now = Instant::now();
        Self {
            head,
            client: None,
            tls: false,
            sni: None,
            local_port: None,
            received: now,
            now,
            memory_full: false,
            random: 0,
            random_key: 0,
        }
    }
}
