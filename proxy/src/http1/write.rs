//! Heads on their way out: verbatim runs of lines, and what this hop says for itself.
//!
//! Lines that stay are copied as they came, contiguous ones together. What belongs to the
//! connection (RFC 9110, section 7.6.1) is dropped, and the framing is always written anew, so
//! that the next hop reads the framing that we decided on and no other.

use super::changes::Changes;
use super::edits::Edits;
use super::fields::{is_nominated, nominates};
use super::known::known;
use super::syntax::{elements, target_length};
use crate::message::{
    Field, Fields, Framing, Known, KnownSet, RequestHead, ResponseHead, ResponseParts, Version,
};

/// A line that the proxy adds. The value is written piece after piece.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    pub name: &'a [u8],
    pub value: &'a [&'a [u8]],
}

/// How a request goes to an upstream.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingRequest<'a> {
    pub path: &'a [u8],
    /// Without its `?`.
    pub query: Option<&'a [u8]>,
    pub host: &'a [u8],
    /// Never [`Framing::UntilClose`].
    pub framing: Framing,
    pub edits: Option<&'a Edits>,
    /// What policies change.
    pub changes: Option<&'a Changes>,
    /// Lines that `append` replaces, or that clients may not send.
    pub drop: KnownSet,
    /// Written unless an edit removes or sets the same name.
    pub append: &'a [Line<'a>],
    /// The upstream answers the expectation, not we.
    pub keep_expect: bool,
    /// Pass `upgrade` on, with the connection option that it needs.
    pub keep_upgrade: bool,
    /// The connection stays open for another request.
    pub keep_alive: bool,
}

/// How a response goes to a client.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingResponse<'a> {
    /// The version of the request.
    pub client: Version,
    /// The connection stays open for another request; never so with [`Framing::UntilClose`].
    pub keep_alive: bool,
    /// As [`client_framing`] says.
    pub framing: Framing,
    /// The value for `date`, used when the upstream sent none.
    pub date: &'a [u8],
    pub edits: Option<&'a Edits>,
    /// What policies change.
    pub changes: Option<&'a Changes>,
    pub drop: KnownSet,
    /// Written unless an edit removes or sets the same name.
    pub append: &'a [Line<'a>],
    /// Pass `upgrade` on: of a 101.
    pub keep_upgrade: bool,
}

impl OutgoingRequest<'_> {
    /// The lines that do not go on, whichever protocol the rest is written in.
    pub(crate) fn dropped(&self) -> KnownSet {
        let mut dropped = HOP_BY_HOP.with(Known::Host);
        if self.keep_upgrade {
            dropped = dropped.without(Known::Upgrade);
        }
        dropped = dropped.union(self.drop);
        if !self.keep_expect {
            dropped = dropped.with(Known::Expect);
        }
        if self.framing == Framing::Chunked {
            dropped = dropped.without(Known::Trailer);
        }
        dropped
    }
}

impl OutgoingResponse<'_> {
    /// Whether the proxy has to say the date: neither the upstream nor an edit does.
    pub(crate) fn wants_date(&self, fields: Fields<'_>) -> bool {
        let edited = self
            .edits
            .is_some_and(|edits| edits.writes(Known::Date) || edits.drops(b"", Known::Date));
        !edited && (fields.known(Known::Date).is_none() || self.drop.contains(Known::Date))
    }

    /// Of a response that another one follows.
    pub fn interim() -> Self {
        Self {
            client: Version::Http2,
            keep_alive: true,
            framing: Framing::None,
            date: b"",
            edits: None,
            drop: KnownSet::EMPTY.with(Known::ContentLength),
            append: &[],
            changes: None,
            keep_upgrade: false,
        }
    }
}

/// How the body of a response is framed for a client: HTTP/1.0 knows no chunks.
pub fn client_framing(upstream: Framing, client: Version) -> Framing {
    match (upstream, client) {
        (Framing::None | Framing::Length(_), _) => upstream,
        (Framing::Chunked | Framing::UntilClose, Version::Http11 | Version::Http2) => {
            Framing::Chunked
        }
        (Framing::Chunked | Framing::UntilClose, Version::Http10) => Framing::UntilClose,
    }
}

/// Lines that never cross this hop as they are.
pub(crate) const HOP_BY_HOP: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::Trailer,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::ContentLength,
]);

/// Appends a request head, always as HTTP/1.1.
pub fn write_request(out: &mut Vec<u8>, head: &RequestHead<'_>, plan: &OutgoingRequest<'_>) {
    debug_assert!(plan.framing != Framing::UntilClose);
    let fields = head.fields();
    out.reserve(head.parts.length as usize + 256);
    put(out, &[head.method(), b" "]);
    put_target(out, plan.path);
    if let Some(query) = plan.query {
        out.push(b'?');
        put_target(out, query);
    }
    put(out, &[b" HTTP/1.1\r\nhost: ", plan.host, b"\r\n"]);

    let leaving = Leaving::new(fields, plan.dropped(), plan.edits, plan.changes);
    copy_fields(out, &leaving, head.parts.length as usize - 2);

    put_framing(out, plan.framing);
    let wants_trailers = wants_trailers(head);
    if wants_trailers {
        out.extend_from_slice(b"te: trailers\r\n");
    }
    put_connection(
        out,
        &[(wants_trailers, b"te"), (plan.keep_upgrade, b"upgrade"), (!plan.keep_alive, b"close")],
    );
    append(out, plan.append, plan.edits, plan.changes);
    out.extend_from_slice(b"\r\n");
}

/// Appends a response head, always as HTTP/1.1 (RFC 9110, section 2.5).
pub fn write_response(out: &mut Vec<u8>, head: &ResponseHead<'_>, plan: &OutgoingResponse<'_>) {
    let fields = head.fields();
    out.reserve(head.parts.length as usize + 256);
    put_status_line(out, head);

    let mut dropped = HOP_BY_HOP.union(plan.drop);
    if plan.framing == Framing::None && !is_bodiless(head.parts) {
        // What a response to HEAD and a 304 say of the body that they leave out.
        dropped = dropped.without(Known::ContentLength);
    }
    if plan.framing == Framing::Chunked {
        dropped = dropped.without(Known::Trailer);
    }
    if plan.keep_upgrade {
        dropped = dropped.without(Known::Upgrade);
    }
    let leaving = Leaving::new(fields, dropped, plan.edits, plan.changes);
    copy_fields(out, &leaving, head.parts.length as usize - 2);

    put_framing(out, plan.framing);
    if plan.wants_date(fields) {
        put(out, &[b"date: ", plan.date, b"\r\n"]);
    }
    let keep_alive = plan.keep_alive && plan.framing != Framing::UntilClose;
    put_connection(
        out,
        &[
            (plan.keep_upgrade, b"upgrade"),
            (!keep_alive && !plan.keep_upgrade, b"close"),
            (keep_alive && plan.client == Version::Http10, b"keep-alive"),
        ],
    );
    append(out, plan.append, plan.edits, plan.changes);
    out.extend_from_slice(b"\r\n");
}

/// Of a status that never has a body, nor a length.
fn is_bodiless(parts: &ResponseParts) -> bool {
    matches!(parts.status, 100..=199 | 204)
}

pub(super) fn put_status_line(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    let mut number = itoa::Buffer::new();
    let status = number.format(head.parts.status).as_bytes();
    put(out, &[b"HTTP/1.1 ", status, b" ", head.parts.reason.of(head.bytes), b"\r\n"]);
}

/// Copies the lines that stay; `end` is where the closing empty line starts.
pub(super) fn copy_fields(out: &mut Vec<u8>, leaving: &Leaving<'_>, end: usize) {
    let fields = leaving.fields;
    let line_start =
        |index: usize| fields.fields.get(index).map_or(end, |field| field.name.start as usize);
    let mut run = line_start(0);
    for (index, field) in fields.fields.iter().enumerate() {
        if leaving.contains(field) {
            out.extend_from_slice(&fields.bytes[run..line_start(index)]);
            run = line_start(index + 1);
        }
    }
    out.extend_from_slice(&fields.bytes[run..end]);
}

/// Which lines of a head do not go on.
pub(crate) struct Leaving<'a> {
    fields: Fields<'a>,
    dropped: KnownSet,
    edits: Option<&'a Edits>,
    changes: Option<&'a Changes>,
    nominates: bool,
    /// A known name alone does not tell: there are edits, changes or nominations.
    by_rule: bool,
}

impl<'a> Leaving<'a> {
    pub(crate) fn new(
        fields: Fields<'a>,
        dropped: KnownSet,
        edits: Option<&'a Edits>,
        changes: Option<&'a Changes>,
    ) -> Self {
        let edits = edits.filter(|edits| edits.drops_any());
        let changes = changes.filter(|changes| changes.drops_any());
        let nominates = nominates(fields);
        let by_rule = edits.is_some() || changes.is_some() || nominates;
        Self { fields, dropped, edits, changes, nominates, by_rule }
    }

    #[inline]
    pub(crate) fn contains(&self, field: &Field) -> bool {
        self.dropped.contains(field.known) || (self.by_rule && self.is_ruled_out(field))
    }

    fn is_ruled_out(&self, field: &Field) -> bool {
        let name = field.name.of(self.fields.bytes);
        self.edits.is_some_and(|edits| edits.drops(name, field.known))
            || self.changes.is_some_and(|changes| changes.drops(name, field.known))
            || (self.nominates && is_nominated(self.fields, field))
    }
}

/// Writes what policies add, what the proxy adds, then what the route adds.
pub(super) fn append(
    out: &mut Vec<u8>,
    lines: &[Line<'_>],
    edits: Option<&Edits>,
    changes: Option<&Changes>,
) {
    let dropping = edits.filter(|edits| edits.drops_any());
    if let Some(changes) = changes.filter(|changes| !changes.lines().is_empty()) {
        for line in changes.lines().split_inclusive(|&byte| byte == b'\n') {
            let name = &line[..memchr::memchr(b':', line).unwrap_or_default()];
            if !dropping.is_some_and(|edits| edits.drops(name, known(name))) {
                out.extend_from_slice(line);
            }
        }
    }
    for line in lines {
        if dropping.is_some_and(|edits| edits.drops(line.name, known(line.name))) {
            continue;
        }
        put_line(out, line);
    }
    if let Some(edits) = edits {
        out.extend_from_slice(edits.lines());
    }
}

fn put_line(out: &mut Vec<u8>, line: &Line<'_>) {
    put(out, &[line.name, b": "]);
    put(out, line.value);
    out.extend_from_slice(b"\r\n");
}

/// Announces a body. `None` announces nothing, which of a request means that there is none.
fn put_framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => put_length(out, length),
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

pub(super) fn put_length(out: &mut Vec<u8>, length: u64) {
    let mut number = itoa::Buffer::new();
    put(out, &[b"content-length: ", number.format(length).as_bytes(), b"\r\n"]);
}

/// One `connection` line with the options that apply, or none.
pub(super) fn put_connection(out: &mut Vec<u8>, options: &[(bool, &[u8])]) {
    let mut separator: &[u8] = b"connection: ";
    for (_, option) in options.iter().filter(|(applies, _)| *applies) {
        put(out, &[separator, option]);
        separator = b", ";
    }
    if separator == b", " {
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether the client said that it reads trailers; some servers send none otherwise.
pub(crate) fn wants_trailers(head: &RequestHead<'_>) -> bool {
    let value = match head.parts.version {
        Version::Http11 | Version::Http2 => head.fields().known(Known::Te),
        Version::Http10 => None,
    };
    value
        .is_some_and(|value| elements(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers")))
}

/// Writes a path or query, escaping what may not stand in a request line: a rewrite can bring it.
fn put_target(out: &mut Vec<u8>, mut piece: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    loop {
        let clean = target_length(piece);
        out.extend_from_slice(&piece[..clean]);
        let Some(&byte) = piece.get(clean) else {
            return;
        };
        out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        piece = &piece[clean + 1..];
    }
}

pub(super) fn put(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests;
