//! Carries a message through the codec as the data plane does: parse, plan, write, re-frame.
//! Tests and fuzz targets share it, so it names the codec only through its parent's `codec`.

use super::codec::{
    BodyDecoder, Decoded, Field, Framing, HeadScanner, Known, KnownSet, Line, OutgoingRequest,
    OutgoingResponse, Parsed, Reason, RequestHead, RequestParts, RequestRules, ResponseHead,
    ResponseParts, ResponseRules, Side, Underscores, client_framing, parse_request, parse_response,
    write_chunk, write_last_chunk, write_request, write_response,
};

pub const REQUEST_RULES: RequestRules = RequestRules {
    head_bytes: 60 << 10,
    uri_bytes: 16 << 10,
    headers: 100,
    underscores: Underscores::Reject,
};

pub const RESPONSE_RULES: ResponseRules = ResponseRules { head_bytes: 60 << 10, headers: 100 };

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedMessage {
    /// What the next hop is sent; ends where the input did when the body is not complete.
    pub output: Vec<u8>,
    /// The payload that was found.
    pub payload: Vec<u8>,
    pub framing: Framing,
    /// Bytes of the input that belong to the message.
    pub consumed: usize,
    /// The body came to its end.
    pub complete: bool,
}

/// `None` while the head is partial.
pub fn request(bytes: &[u8]) -> Result<Option<ForwardedMessage>, Reason> {
    let mut parts = RequestParts::default();
    if parse_request(bytes, &REQUEST_RULES, &mut parts).map_err(|cause| cause.reason)?
        == Parsed::Partial
    {
        return Ok(None);
    }
    let head = RequestHead { bytes, parts: &parts };
    let plan = OutgoingRequest {
        path: head.path(),
        query: head.query(),
        host: if head.authority().is_empty() { b"upstream" } else { head.authority() },
        framing: parts.framing,
        edits: None,
        changes: None,
        drop: KnownSet::of(&[Known::XForwardedFor]),
        append: &[Line { name: b"x-forwarded-for", value: &[b"192.0.2.1"] }],
        keep_expect: false,
        keep_upgrade: parts.upgrade,
        keep_alive: true,
    };
    let mut output = Vec::new();
    write_request(&mut output, &head, &plan);
    let length = parts.length as usize;
    let body = BodyDecoder::new(parts.framing, Side::Request);
    let framing = parts.framing;
    reframe(&bytes[length..], body, framing, framing, output, length).map(Some)
}

/// `None` while the head is partial. The end of `bytes` is the end of the connection.
pub fn response(bytes: &[u8], method: &[u8]) -> Result<Option<ForwardedMessage>, Reason> {
    let mut parts = ResponseParts::default();
    if parse_response(bytes, &RESPONSE_RULES, method, &mut parts).map_err(|cause| cause.reason)?
        == Parsed::Partial
    {
        return Ok(None);
    }
    let head = ResponseHead { bytes, parts: &parts };
    let framing = client_framing(parts.framing, super::codec::Version::Http11);
    let plan = OutgoingResponse {
        client: super::codec::Version::Http11,
        keep_alive: true,
        framing,
        date: b"Sun, 06 Nov 1994 08:49:37 GMT",
        edits: None,
        changes: None,
        drop: KnownSet::EMPTY,
        append: &[],
        keep_upgrade: false,
    };
    let mut output = Vec::new();
    write_response(&mut output, &head, &plan);
    let length = parts.length as usize;
    let body = BodyDecoder::new(parts.framing, Side::Response);
    reframe(&bytes[length..], body, parts.framing, framing, output, length).map(Some)
}

/// Decodes a body and writes it in its new framing behind the head in `output`.
fn reframe(
    input: &[u8],
    mut body: BodyDecoder,
    framing: Framing,
    outgoing: Framing,
    mut output: Vec<u8>,
    head: usize,
) -> Result<ForwardedMessage, Reason> {
    let mut at = 0;
    let mut payload = Vec::new();
    while !body.is_done() && at < input.len() {
        let Decoded { consumed, data, .. } =
            body.decode(&input[at..]).map_err(|cause| cause.reason)?;
        assert!(consumed > 0, "a decoder that takes nothing would spin");
        let piece = &input[at..][data];
        payload.extend_from_slice(piece);
        match outgoing {
            Framing::Chunked => write_chunk(&mut output, piece),
            _ => output.extend_from_slice(piece),
        }
        at += consumed;
    }
    let complete = body.finish_on_eof().is_ok();
    if complete && outgoing == Framing::Chunked {
        write_last_chunk(&mut output, body.trailers());
    }
    Ok(ForwardedMessage { output, payload, framing, consumed: head + at, complete })
}

/// Every verdict for a growing prefix is `Partial` or the verdict for the whole, and a scanner
/// that calls for parsing now and then misses none.
pub fn check_request_prefixes(bytes: &[u8]) {
    let mut whole = RequestParts::default();
    let verdict = parse_request(bytes, &REQUEST_RULES, &mut whole);
    let mut parts = RequestParts::default();
    let mut scanner = HeadScanner::default();
    for length in 0..=bytes.len() {
        let prefix = &bytes[..length];
        let partial = parse_request(prefix, &REQUEST_RULES, &mut parts);
        if partial != Ok(Parsed::Partial) {
            assert_eq!(partial, verdict, "cut at {length}");
            assert_eq!(parts.length, whole.length, "cut at {length}");
        }
        let asked = scanner.worth_parsing(prefix, &REQUEST_RULES.limits());
        assert!(asked || partial != Ok(Parsed::Complete), "the scanner missed the end at {length}");
    }
    assert_same_fields(&parts.fields, &whole.fields);
}

/// The same for responses.
pub fn check_response_prefixes(bytes: &[u8], method: &[u8]) {
    let mut whole = ResponseParts::default();
    let verdict = parse_response(bytes, &RESPONSE_RULES, method, &mut whole);
    let mut parts = ResponseParts::default();
    let mut scanner = HeadScanner::default();
    for length in 0..=bytes.len() {
        let prefix = &bytes[..length];
        let partial = parse_response(prefix, &RESPONSE_RULES, method, &mut parts);
        if partial != Ok(Parsed::Partial) {
            assert_eq!(partial, verdict, "cut at {length}");
            assert_eq!(parts.length, whole.length, "cut at {length}");
        }
        let asked = scanner.worth_parsing(prefix, &RESPONSE_RULES.limits());
        assert!(asked || partial != Ok(Parsed::Complete), "the scanner missed the end at {length}");
    }
    assert_same_fields(&parts.fields, &whole.fields);
}

fn assert_same_fields(left: &[Field], right: &[Field]) {
    assert_eq!(left, right);
}

/// Decodes in pieces cut at the given places: payload, consumed bytes, trailers, whether done.
pub fn decode_in_pieces(
    framing: Framing,
    side: Side,
    input: &[u8],
    cuts: &[usize],
) -> Result<(Vec<u8>, usize, Vec<u8>, bool), Reason> {
    let mut body = BodyDecoder::new(framing, side);
    let mut payload = Vec::new();
    let mut total = 0;
    let ends = cuts.iter().copied().filter(|&cut| cut <= input.len()).chain([input.len()]);
    for end in ends {
        while total < end && !body.is_done() {
            let piece = &input[total..end];
            let decoded = body.decode(piece).map_err(|cause| cause.reason)?;
            assert!(decoded.data.end <= decoded.consumed && decoded.consumed <= piece.len());
            assert!(decoded.consumed > 0);
            payload.extend_from_slice(&piece[decoded.data]);
            total += decoded.consumed;
            assert_eq!(decoded.done, body.is_done());
        }
    }
    Ok((payload, total, body.trailers().to_vec(), body.is_done()))
}
