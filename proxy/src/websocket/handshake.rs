//! The opening handshake (RFC 6455, section 4): what a client must have said for its request to
//! go on as one for a WebSocket, and what an upstream must answer before any other byte passes.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

use portcullis_config::model::Upgrades;

use crate::cause::Rule;
use crate::http1::syntax::elements;
use crate::message::{Fields, Framing, Known, RequestHead, ResponseHead, Version};

/// The one version there is.
pub const VERSION: &[u8] = b"13";
/// What makes an answer to a key one that only a WebSocket server gives (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A key is 16 bytes, in base64.
const KEY: usize = 24;
const ACCEPT: usize = 28;

/// Some clients put together random letters: the bits that no byte takes may be any.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// A request for a WebSocket that is to be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    key: [u8; KEY],
}

/// What is to become of the request's wish for an upgrade. Where none is allowed it goes on as if
/// it had not asked; a CONNECT cannot do without.
pub fn wanted(
    head: &RequestHead<'_>,
    allowed: Upgrades,
    random: impl FnOnce() -> u128,
) -> Result<Option<Handshake>, Rule> {
    if allowed.websocket {
        return asked(head, random);
    }
    match head.parts.version {
        Version::Http2 if head.parts.upgrade => Err(Rule::WebSocketDisabled),
        _ => Ok(None),
    }
}

/// Whether a request asks for a WebSocket, and in good form. In HTTP/2 there is no key: `random`
/// is the one for the upstream (RFC 8441, section 5).
fn asked(head: &RequestHead<'_>, random: impl FnOnce() -> u128) -> Result<Option<Handshake>, Rule> {
    let fields = head.fields();
    let connect = head.parts.version == Version::Http2;
    let offered = || {
        all(fields, Known::Upgrade)
            .flat_map(elements)
            .any(|it| it.eq_ignore_ascii_case(b"websocket"))
    };
    if !head.parts.upgrade || !(connect || offered()) {
        return Ok(None);
    }
    // A body would stand where the frames belong.
    if head.method() != b"GET" || !head.parts.framing.is_empty() {
        return Err(Rule::WebSocketMethod);
    }
    if only(fields, "sec-websocket-version") != Some(VERSION) {
        return Err(Rule::WebSocketVersionField);
    }
    if connect {
        return Ok(Some(Handshake::from_random(random())));
    }
    let key = only(fields, "sec-websocket-key").and_then(Handshake::from_key);
    key.map(Some).ok_or(Rule::WebSocketKey)
}

impl Handshake {
    fn from_key(key: &[u8]) -> Option<Self> {
        let key = *key.first_chunk::<KEY>().filter(|_| key.len() == KEY)?;
        let mut nonce = [0; KEY];
        let decoded = BASE64.decode_slice(key, &mut nonce);
        matches!(decoded, Ok(16)).then_some(Self { key })
    }

    fn from_random(random: u128) -> Self {
        let mut key = [0; KEY];
        // It always fits.
        let _ = BASE64.encode_slice(random.to_be_bytes(), &mut key);
        Self { key }
    }

    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// What only a server says that has read the key.
    fn accept(&self) -> [u8; ACCEPT] {
        let digest = Sha1::new().chain_update(self.key).chain_update(GUID).finalize();
        let mut accept = [0; ACCEPT];
        let _ = BASE64.encode_slice(digest, &mut accept);
        accept
    }

    /// Whether a 101 is the answer to this request (section 4.1).
    pub fn is_answered_by(&self, head: &ResponseHead<'_>) -> bool {
        let fields = head.fields();
        let mut protocols = all(fields, Known::Upgrade).flat_map(elements);
        let switches = protocols.next().is_some_and(|it| it.eq_ignore_ascii_case(b"websocket"))
            && protocols.next().is_none();
        let mut options = all(fields, Known::Connection).flat_map(elements);
        head.parts.status == 101
            && head.parts.version == Version::Http11
            && head.parts.framing == Framing::None
            && switches
            && options.any(|option| option.eq_ignore_ascii_case(b"upgrade"))
            && only(fields, "sec-websocket-accept") == Some(&self.accept()[..])
    }
}

fn all<'a>(fields: Fields<'a>, known: Known) -> impl Iterator<Item = &'a [u8]> {
    let lines = fields.fields.iter().filter(move |field| field.known == known);
    lines.map(move |field| field.value.of(fields.bytes))
}

/// The value of a field that stands there exactly once.
fn only<'a>(fields: Fields<'a>, name: &str) -> Option<&'a [u8]> {
    let mut values = fields.all(name);
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests;
