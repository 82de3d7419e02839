//! One connection whose bytes were passed on, as one JSON line.

use std::time::{Duration, Instant};

use super::record::{LONGEST_DETAIL, LONGEST_VALUE, LogLine, TlsRecord};
use crate::error::Reason;
use crate::observe::clock::Clock;

/// What there is to say of a connection that has ended.
#[derive(Debug, Clone, Copy)]
pub struct TunnelRecord<'a> {
    pub connection_id: &'a [u8],
    /// The configuration generation that decided.
    pub generation: u64,
    pub listener: &'a str,
    /// `None` over a Unix socket.
    /// Address and port, or `unix`.
    pub client: &'a str,
    /// The session that ended here, if one did.
    pub tls: Option<TlsRecord<'a>>,
    /// The name that the client asked for, here or in what was passed on.
    pub sni: Option<&'a str>,
    pub route: Option<&'a str>,
    /// The upstream and endpoint of the last attempt.
    pub upstream: Option<&'a str>,
    pub endpoint: Option<&'a str>,
    pub attempts: u32,
    /// `None` when both sides have closed.
    pub reason: Option<Reason>,
    /// The event behind it. May hold what a peer sent.
    pub detail: Option<&'a str>,
    /// Bytes of the client that the upstream was given.
    pub received_bytes: u64,
    /// Bytes of the upstream that the client was given.
    pub sent_bytes: u64,
    pub accepted: Instant,
    pub duration: Duration,
    /// From the accept to the upstream's connection.
    pub connected: Option<Duration>,
}

/// Appends the record with its newline.
pub(super) fn write_line(out: &mut Vec<u8>, clock: &Clock, record: &TunnelRecord<'_>) {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let mut line = LogLine::new(out);
    line.raw(b"{\"time\":\"");
    line.raw(&clock.timestamp(record.accepted));
    line.raw(b"\"");
    line.text(b",\"connection_id\":\"", record.connection_id, LONGEST_VALUE);
    line.number(b",\"generation\":", record.generation);
    line.text(b",\"listener\":\"", record.listener.as_bytes(), LONGEST_VALUE);
    line.plain(b",\"client\":\"", record.client.as_bytes());
    if let Some(tls) = record.tls {
        line.text(b",\"tls_version\":\"", tls.version.as_bytes(), LONGEST_VALUE);
    }
    if let Some(sni) = record.sni {
        line.text(b",\"sni\":\"", sni.as_bytes(), LONGEST_VALUE);
    }
    line.raw(b",\"protocol\":\"TCP\"");
    line.name(b",\"route\":\"", record.route);
    line.name(b",\"upstream\":\"", record.upstream);
    line.name(b",\"endpoint\":\"", record.endpoint);
    line.number(b",\"attempts\":", record.attempts.into());
    line.name(b",\"reason\":\"", record.reason.map(Reason::label));
    if let Some(detail) = record.detail {
        line.text(b",\"detail\":\"", detail.as_bytes(), LONGEST_DETAIL);
    }
    line.number(b",\"received_bytes\":", record.received_bytes);
    line.number(b",\"sent_bytes\":", record.sent_bytes);
    line.number(b",\"duration_us\":", micros(record.duration));
    if let Some(connected) = record.connected {
        line.number(b",\"connect_us\":", micros(connected));
    }
    line.raw(b"}\n");
}
