//! One request as one JSON line.
//!
//! A record borrows what it says. Which fields there are, when each is present and what it means
//! is documented; a test compares the document with the lines.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::escape::{escape, escape_at_most, is_plain};
use super::format::LogFormat;
use super::secret::{HIDDEN, is_secret_parameter};
use crate::error::Reason;
use crate::message::{Fields, Version};
use crate::observe::clock::Clock;
use crate::observe::timeline::{Stage, Timeline};

/// What there is to say of a finished request.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub request_id: &'a [u8],
    /// `None` when the head could not be read.
    pub trace_id: Option<&'a [u8]>,
    /// The configuration generation that decided.
    pub generation: u64,
    pub listener: &'a str,
    /// The client that a trusted peer forwards for; else the peer is the client.
    pub forwarded_for: Option<IpAddr>,
    /// Address and port, or `unix`.
    pub peer: &'a str,
    pub tls: Option<TlsRecord<'a>>,
    /// Which request of its connection it is, from 1.
    pub connection_request: u64,
    /// Empty, like host and path, when the head could not be read.
    pub method: &'a [u8],
    pub host: &'a [u8],
    /// As sent, without the query.
    pub path: &'a [u8],
    /// What was matched and handed on; `None` when it never came so far.
    pub normalized_path: Option<&'a [u8]>,
    pub query: Option<&'a [u8]>,
    /// It asked for a WebSocket, and was allowed to.
    pub upgrade: bool,
    pub version: Version,
    pub route: Option<&'a str>,
    /// The upstream and endpoint of the last attempt.
    pub upstream: Option<&'a str>,
    pub endpoint: Option<&'a str>,
    pub attempts: u32,
    /// 0 when the client was not answered.
    pub status: u16,
    /// `None` when it was not answered.
    pub answered_by: Option<Answerer>,
    /// `None` when the request simply passed.
    pub reason: Option<Reason>,
    /// The rule or the event behind it. May hold what a peer sent.
    pub detail: Option<&'a str>,
    /// What a call of gRPC was answered with; `None` when that is not known.
    pub grpc_status: Option<u32>,
    pub request_body_bytes: u64,
    pub response_body_bytes: u64,
    pub timeline: &'a Timeline,
    /// From the first byte of the request to the last byte of the response.
    pub duration: Duration,
    /// The request's header lines, for those that the configuration names.
    pub headers: Option<Fields<'a>>,
}

/// Who made a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answerer {
    Origin,
    Gateway,
}

impl Answerer {
    fn label(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Gateway => "gateway",
        }
    }
}

/// What is known of a client's TLS session.
#[derive(Debug, Clone, Copy)]
pub struct TlsRecord<'a> {
    /// `TLSv1.3`
    pub version: &'static str,
    pub sni: Option<&'a str>,
}

/// Longer values are cut. A target is bounded by its listener's limit below this already.
const LONGEST_TARGET: usize = 16 * 1024;
pub(super) const LONGEST_VALUE: usize = 4 * 1024;

/// A sentence; what a peer sent may stand in it.
pub(super) const LONGEST_DETAIL: usize = 512;

/// Appends the record with its newline.
pub(super) fn write_line(
    out: &mut Vec<u8>,
    format: &LogFormat,
    clock: &Clock,
    record: &Record<'_>,
) {
    let mut line = LogLine::new(out);
    let started = record.timeline.started();
    line.raw(b"{\"time\":\"");
    line.raw(&clock.timestamp(started));
    line.raw(b"\"");
    line.plain(b",\"request_id\":\"", record.request_id);
    if let Some(trace) = record.trace_id {
        line.plain(b",\"trace_id\":\"", trace);
    }
    line.number(b",\"generation\":", record.generation);
    line.plain(b",\"listener\":\"", record.listener.as_bytes());
    match record.forwarded_for {
        Some(client) => {
            line.raw(b",\"client\":\"");
            line.address(client);
            line.raw(b"\"");
            line.plain(b",\"peer\":\"", record.peer.as_bytes());
        }
        None => line.plain(b",\"client\":\"", record.peer.as_bytes()),
    }
    if let Some(tls) = record.tls {
        line.plain(b",\"tls_version\":\"", tls.version.as_bytes());
        if let Some(sni) = tls.sni {
            line.text(b",\"sni\":\"", sni.as_bytes(), LONGEST_VALUE);
        }
    }
    line.number(b",\"connection_request\":", record.connection_request);
    line.text(b",\"method\":\"", record.method, LONGEST_VALUE);
    line.text(b",\"host\":\"", record.host, LONGEST_VALUE);
    line.text(b",\"path\":\"", record.path, LONGEST_TARGET);
    if let Some(normalized) = record.normalized_path.filter(|path| *path != record.path) {
        line.text(b",\"normalized_path\":\"", normalized, LONGEST_TARGET);
    }
    if let Some(query) = record.query {
        line.query(query);
    }
    line.raw(match record.version {
        Version::Http10 => b",\"protocol\":\"HTTP/1.0\"",
        Version::Http11 => b",\"protocol\":\"HTTP/1.1\"",
        Version::Http2 => b",\"protocol\":\"HTTP/2\"",
    });
    if record.upgrade {
        line.raw(b",\"upgrade\":\"websocket\"");
    }
    line.name(b",\"route\":\"", record.route);
    line.name(b",\"upstream\":\"", record.upstream);
    match record.endpoint {
        // The path of a Unix socket may hold anything.
        Some(address) => line.text(b",\"endpoint\":\"", address.as_bytes(), LONGEST_VALUE),
        None => line.raw(b",\"endpoint\":null"),
    }
    line.number(b",\"attempts\":", record.attempts.into());
    line.number(b",\"status\":", record.status.into());
    line.name(b",\"answered_by\":\"", record.answered_by.map(Answerer::label));
    line.name(b",\"reason\":\"", record.reason.map(Reason::label));
    if let Some(detail) = record.detail {
        line.text(b",\"detail\":\"", detail.as_bytes(), LONGEST_DETAIL);
    }
    if let Some(status) = record.grpc_status {
        line.number(b",\"grpc_status\":", status.into());
    }
    line.number(b",\"request_body_bytes\":", record.request_body_bytes);
    line.number(b",\"response_body_bytes\":", record.response_body_bytes);
    let duration = u64::try_from(record.duration.as_micros());
    line.number(b",\"duration_us\":", duration.unwrap_or(u64::MAX));
    if format.timeline {
        line.timeline(record.timeline);
    }
    if !format.headers.is_empty() {
        line.headers(format, record.headers);
    }
    if line.cut {
        line.raw(b",\"truncated\":true");
    }
    line.raw(b"}\n");
}

/// A line on its way into a batch.
pub(super) struct LogLine<'a> {
    out: &'a mut Vec<u8>,
    /// Some value was too long.
    cut: bool,
}

impl<'a> LogLine<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, cut: false }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// The key ends with the quotation mark that opens the value.
    pub(super) fn text(&mut self, key: &[u8], value: &[u8], limit: usize) {
        self.raw(key);
        self.cut |= escape_at_most(self.out, value, limit);
        self.raw(b"\"");
    }

    /// A value that stands for itself, whatever it is: it is made or was judged by the proxy.
    pub(super) fn plain(&mut self, key: &[u8], value: &[u8]) {
        debug_assert!(is_plain(value), "{} needs escapes", value.escape_ascii());
        self.raw(key);
        self.raw(value);
        self.raw(b"\"");
    }

    /// A name of the configuration that may be missing: `null` says that none was reached. The key
    /// is like that of [`LogLine::text`].
    pub(super) fn name(&mut self, key: &[u8], value: Option<&str>) {
        match value {
            Some(value) => self.plain(key, value.as_bytes()),
            None => {
                self.raw(key.strip_suffix(b"\"").unwrap_or(key));
                self.raw(b"null");
            }
        }
    }

    pub(super) fn number(&mut self, key: &[u8], value: u64) {
        self.raw(key);
        self.raw(itoa::Buffer::new().format(value).as_bytes());
    }

    fn address(&mut self, address: IpAddr) {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                for (at, octet) in address.octets().into_iter().enumerate() {
                    if at > 0 {
                        self.raw(b".");
                    }
                    self.raw(itoa::Buffer::new().format(octet).as_bytes());
                }
            }
            // Writing into a Vec cannot fail.
            IpAddr::V6(address) => _ = write!(self.out, "{address}"),
        }
    }

    fn query(&mut self, query: &[u8]) {
        self.raw(b",\"query\":\"");
        let mut rest = LONGEST_TARGET;
        for (at, parameter) in query.split(|byte| *byte == b'&').enumerate() {
            if at > 0 {
                self.raw(b"&");
                rest = rest.saturating_sub(1);
            }
            let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default();
            if name.len() < parameter.len() && is_secret_parameter(name) {
                escape(self.out, &parameter[..=name.len()]);
                self.raw(HIDDEN);
            } else {
                self.cut |= escape_at_most(self.out, parameter, rest);
            }
            rest = rest.saturating_sub(parameter.len());
            if rest == 0 {
                break;
            }
        }
        self.cut |= query.len() > LONGEST_TARGET;
        self.raw(b"\"");
    }

    fn timeline(&mut self, timeline: &Timeline) {
        self.raw(b",\"timeline_us\":{");
        let mut separated = 1;
        for stage in Stage::ALL {
            if let Some(micros) = timeline.at(stage) {
                // The first one goes without its comma.
                self.number(&stage_key(stage)[separated..], micros.into());
                separated = 0;
            }
        }
        self.raw(b"}");
    }

    fn headers(&mut self, format: &LogFormat, fields: Option<Fields<'_>>) {
        self.raw(b",\"headers\":{");
        let mut separated = 1;
        for header in &format.headers {
            if let Some(value) = fields.and_then(|fields| fields.first(&header.name)) {
                let value = if header.secret { HIDDEN } else { value };
                self.text(&header.key[separated..], value, LONGEST_VALUE);
                separated = 0;
            }
        }
        self.raw(b"}");
    }
}

fn stage_key(stage: Stage) -> &'static [u8] {
    match stage {
        Stage::Accept => b",\"accept\":",
        Stage::Tls => b",\"tls\":",
        Stage::Start => b",\"start\":",
        Stage::Head => b",\"head\":",
        Stage::Route => b",\"route\":",
        Stage::Wait => b",\"wait\":",
        Stage::Connect => b",\"connect\":",
        Stage::FirstByte => b",\"first_byte\":",
        Stage::LastByte => b",\"last_byte\":",
    }
}
