//! What the codecs produce and the policies read: heads as slices of one buffer.
//!
//! A head never owns its bytes. The parts ([`RequestParts`], [`ResponseParts`]) hold offsets into
//! the buffer that was parsed and are reused from request to request; a view joins the two for as
//! long as it is read. This module knows no codec and no socket, so that every protocol
//! meets the routing and the policies in the same form.

use std::ops::Deref;

/// A range of bytes relative to the first byte of its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }

    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub name: Span,
    pub value: Span,
    pub known: Known,
}

/// Header names that the engine itself uses, recognised once while parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Known {
    Other,
    Host,
    Connection,
    ContentLength,
    TransferEncoding,
    KeepAlive,
    ProxyConnection,
    Te,
    Trailer,
    Upgrade,
    Expect,
    Cookie,
    Date,
    Server,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    Forwarded,
    XRequestId,
    XForwardedClientCert,
    Traceparent,
    Tracestate,
    ContentType,
    GrpcTimeout,
    /// Another claim that only a trusted hop may make: `x-real-ip`, or a known one with `_`.
    OtherClaim,
}

/// A set of names that the engine knows. [`Known::Other`] is never in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownSet(u32);

impl KnownSet {
    pub const EMPTY: Self = Self(0);

    pub const fn of(names: &[Known]) -> Self {
        let mut set = Self::EMPTY;
        let mut index = 0;
        while index < names.len() {
            set = set.with(names[index]);
            index += 1;
        }
        set
    }

    #[must_use]
    pub const fn with(self, known: Known) -> Self {
        match known {
            Known::Other => self,
            known => Self(self.0 | 1 << known as u32),
        }
    }

    #[must_use]
    pub const fn without(self, known: Known) -> Self {
        Self(self.0 & !(1 << known as u32))
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn contains(self, known: Known) -> bool {
        self.0 & 1 << known as u32 != 0
    }

    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Header lines in the order in which they arrived, and which known names are among them: most
/// questions are for a name that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldList {
    lines: Vec<Field>,
    seen: KnownSet,
}

impl FieldList {
    pub fn push(&mut self, field: Field) {
        self.seen = self.seen.with(field.known);
        self.lines.push(field);
    }

    /// Keeps the allocation.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.seen = KnownSet::EMPTY;
    }

    pub fn seen(&self) -> KnownSet {
        self.seen
    }
}

impl Deref for FieldList {
    type Target = [Field];

    fn deref(&self) -> &[Field] {
        &self.lines
    }
}

/// The header lines of a message, in the order in which they arrived.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    pub bytes: &'a [u8],
    pub fields: &'a FieldList,
}

impl<'a> Fields<'a> {
    /// The first value of a field, by name in any case.
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Every value of a field, by name in any case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The first value of a name that the engine knows.
    pub fn known(&self, known: Known) -> Option<&'a [u8]> {
        if !self.fields.seen.contains(known) {
            return None;
        }
        self.fields
            .iter()
            .find(|field| field.known == known)
            .map(|field| field.value.of(self.bytes))
    }

    /// The value of the first cookie of exactly that name (RFC 6265, section 4.2), without its
    /// quotes. Every caller gets the same one.
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        let bytes = self.bytes;
        let lines = self.fields.iter().filter(|field| field.known == Known::Cookie);
        let mut pairs = lines.flat_map(|field| field.value.of(bytes).split(|byte| *byte == b';'));
        pairs.find_map(|pair| {
            let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(value.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")).unwrap_or(value))
        })
    }

    /// Name and value of each line.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        self.fields.iter().map(move |field| (field.name.of(bytes), field.value.of(bytes)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

/// How the end of a body is found (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    #[default]
    None,
    /// Exactly this many bytes.
    Length(u64),
    /// Until its own end mark: the last chunk in HTTP/1, END_STREAM in HTTP/2.
    Chunked,
    /// Only of responses: the body ends with the connection.
    UntilClose,
}

impl Framing {
    /// Nothing of a body is still to come.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// The parts of a request head, as offsets. Reused: `clear` keeps the allocation.
#[derive(Debug, Clone, Default)]
pub struct RequestParts {
    /// Bytes of the whole head, with its closing empty line.
    pub length: u32,
    pub method: Span,
    /// As it stood in the request line.
    pub target: Span,
    /// The path of the target without its query; of `OPTIONS *` it is `*`.
    pub path: Span,
    /// What follows the `?`, without it; `None` when there was no `?`.
    pub query: Option<Span>,
    /// From an absolute target, which overrides `Host`, else from `Host`; with its port.
    pub authority: Span,
    pub version: Version,
    pub fields: FieldList,
    pub framing: Framing,
    /// The client wants the connection kept after this exchange.
    pub keep_alive: bool,
    pub expect_continue: bool,
    /// `connection: upgrade` together with an `upgrade` field.
    pub upgrade: bool,
}

/// A request head to read: parts and the bytes that they point into.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// Starts at the first byte of the request line.
    pub bytes: &'a [u8],
    pub parts: &'a RequestParts,
}

impl<'a> RequestHead<'a> {
    pub fn method(&self) -> &'a [u8] {
        self.parts.method.of(self.bytes)
    }

    pub fn path(&self) -> &'a [u8] {
        self.parts.path.of(self.bytes)
    }

    pub fn query(&self) -> Option<&'a [u8]> {
        self.parts.query.map(|query| query.of(self.bytes))
    }

    pub fn authority(&self) -> &'a [u8] {
        self.parts.authority.of(self.bytes)
    }

    pub fn fields(&self) -> Fields<'a> {
        Fields { bytes: self.bytes, fields: &self.parts.fields }
    }
}

/// What could be read of a head before the rule that it breaks: for the log, never to act on.
#[derive(Debug, Clone, Copy, Default)]
pub struct PartialHead<'a> {
    pub method: &'a [u8],
    pub host: &'a [u8],
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
    pub version: Version,
}

impl<'a> PartialHead<'a> {
    /// Of a head that starts with the first of `bytes`, as far as it was parsed into `parts`.
    pub fn of(bytes: &'a [u8], parts: &RequestParts) -> Self {
        let host = parts.fields.iter().find(|field| field.known == Known::Host);
        let authority = match parts.authority {
            absent if absent.is_empty() => host.map(|field| field.value).unwrap_or_default(),
            authority => authority,
        };
        Self {
            method: parts.method.of(bytes),
            host: without_user(authority.of(bytes)),
            path: parts.path.of(bytes),
            query: parts.query.map(|query| query.of(bytes)),
            version: parts.version,
        }
    }

    /// Writes it into `bytes`; the parts that point there.
    pub fn write(&self, bytes: &mut Vec<u8>) -> RequestParts {
        bytes.clear();
        let mut put = |piece: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(piece);
            let offset = |at| u32::try_from(at).unwrap_or(u32::MAX);
            Span { start: offset(start), end: offset(bytes.len()) }
        };
        RequestParts {
            method: put(self.method),
            authority: put(self.host),
            path: put(self.path),
            query: self.query.map(put),
            version: self.version,
            ..RequestParts::default()
        }
    }
}

/// An authority without what stands before its `@`: a password is not for the log.
pub fn without_user(authority: &[u8]) -> &[u8] {
    authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default()
}

/// The parts of a response head, as offsets. Reused like [`RequestParts`].
#[derive(Debug, Clone, Default)]
pub struct ResponseParts {
    pub length: u32,
    pub version: Version,
    pub status: u16,
    pub reason: Span,
    pub fields: FieldList,
    pub framing: Framing,
    /// The upstream will take another request on this connection.
    pub keep_alive: bool,
    /// Seconds of `keep-alive: timeout=`, when the upstream names one.
    pub keep_alive_timeout: Option<u32>,
}

/// A response head to read.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'a> {
    pub bytes: &'a [u8],
    pub parts: &'a ResponseParts,
}

impl<'a> ResponseHead<'a> {
    pub fn fields(&self) -> Fields<'a> {
        Fields { bytes: self.bytes, fields: &self.parts.fields }
    }
}
