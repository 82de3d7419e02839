//! HTTP/2 frames by hand: right ones in a word, wrong ones from [`frame`].
//!
//! Nothing is checked here; what may be sent is the test's business.

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const WITH_PRIORITY: u8 = 0x20;
/// A whole request in one frame.
pub const WHOLE: u8 = END_STREAM | END_HEADERS;

pub const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;

/// The names of error codes, in their order (RFC 9113, section 7).
pub const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

pub fn code_name(code: u32) -> &'static str {
    usize::try_from(code).ok().and_then(|code| CODES.get(code)).unwrap_or(&"UNKNOWN")
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

pub fn headers(stream: u32, flags: u8, block: impl AsRef<[u8]>) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

pub fn continuation(stream: u32, flags: u8, block: impl AsRef<[u8]>) -> Vec<u8> {
    frame(CONTINUATION, flags, stream, block)
}

pub fn data(stream: u32, flags: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(DATA, flags, stream, payload)
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in values {
        payload.extend_from_slice(&id.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, payload)
}

pub fn settings_ack() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, [])
}

pub fn ping(payload: [u8; 8]) -> Vec<u8> {
    frame(PING, 0, 0, payload)
}

pub fn pong(payload: [u8; 8]) -> Vec<u8> {
    frame(PING, ACK, 0, payload)
}

pub fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat())
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
}

pub fn priority(stream: u32, on: u32, weight: u8) -> Vec<u8> {
    let mut payload = on.to_be_bytes().to_vec();
    payload.push(weight);
    frame(PRIORITY, 0, stream, payload)
}

/// A header block of literals that no table keeps, exactly as given.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        text(&mut bytes, name.as_ref());
        text(&mut bytes, value.as_ref());
    }
    bytes
}

/// The head of a GET, and what follows it.
pub fn get(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    request("GET", path, more)
}

pub fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo =
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a.test")];
    [block(&pseudo), block(more)].concat()
}

/// A string without Huffman code (RFC 7541, section 5.2).
pub fn text(out: &mut Vec<u8>, text: &[u8]) {
    integer(out, 7, 0, text.len());
    out.extend_from_slice(text);
}

/// A number behind the first bits of a byte (RFC 7541, section 5.1).
pub fn integer(out: &mut Vec<u8>, bits: u8, first: u8, mut number: usize) {
    let most = (1_usize << bits) - 1;
    let low = |number: usize| u8::try_from(number & 0x7f).unwrap_or(0);
    if number < most {
        return out.push(first | low(number));
    }
    out.push(first | low(most & 0x7f) | if bits == 8 { 0x80 } else { 0 });
    number -= most;
    while number >= 128 {
        out.push(low(number) | 0x80);
        number >>= 7;
    }
    out.push(low(number));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_examples_say() {
        let check = |bits, first, number, expected: &[u8]| {
            let mut out = Vec::new();
            integer(&mut out, bits, first, number);
            assert_eq!(out, expected, "{number} in {bits} bits");
        };
        check(5, 0, 10, &[10]);
        check(5, 0x20, 1337, &[0x3f, 154, 10]);
        check(7, 0, 126, &[126]);
        check(7, 0, 127, &[127, 0]);
        check(7, 0x80, 200, &[0xff, 73]);
    }

    #[test]
    fn frames_are_read_back() {
        assert_eq!(ping(*b"12345678"), b"\0\0\x08\x06\0\0\0\0\x0012345678");
        let fields: Vec<_> = loona_hpack::Decoder::new().decode(&get("/a", &[("b", "c")])).unwrap();
        assert_eq!(fields.last(), Some(&(b"b".to_vec(), b"c".to_vec())));
        assert_eq!(code_name(11), "ENHANCE_YOUR_CALM");
    }
}
