//! What must hold of any bytes: the claims that tests and fuzz targets share.

use super::codec::{Framing, Side, client_framing};
use super::oracle::{self, Ends, Message};
use super::{codec, forward};

/// What the codec made of a message, for tests that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodecOutcome {
    Refused(codec::Reason),
    Partial,
    /// Forwarded with its whole body.
    Whole,
    /// Forwarded as far as it came.
    Cut,
}

/// Whatever a client sends, either it is refused, or the strict reader reads input and output
/// alike.
pub fn request(bytes: &[u8]) -> CodecOutcome {
    let forwarded = match forward::request(bytes) {
        Err(reason) => return CodecOutcome::Refused(reason),
        Ok(None) => return CodecOutcome::Partial,
        Ok(Some(forwarded)) => forwarded,
    };
    let input = oracle::request(bytes);
    if !forwarded.complete {
        assert_eq!(input.map(|message| message.length), Err("truncated"), "the input");
        return CodecOutcome::Cut;
    }
    let input = input.expect("the strict reader refuses what was forwarded");
    let output = oracle::request(&forwarded.output).expect("the output is ambiguous");
    check_same(&input, &output, &forwarded, forwarded.framing);
    assert_eq!(output.start[0], input.start[0], "the method changed");
    assert_eq!(oracle::values(&output.fields, "host").len(), 1, "not one host");
    assert_eq!(oracle::values(&output.fields, "x-forwarded-for"), [b"192.0.2.1"]);
    for name in ["authorization", "cookie", "x-forwarded-host"] {
        let (before, after) = (&input.fields, &output.fields);
        assert_eq!(oracle::values(before, name), oracle::values(after, name), "{name} changed");
    }
    CodecOutcome::Whole
}

/// Whatever an upstream sends, either it is refused, or both readers read it alike.
pub fn response(bytes: &[u8], method: &[u8]) -> CodecOutcome {
    let forwarded = match forward::response(bytes, method) {
        Err(reason) => return CodecOutcome::Refused(reason),
        Ok(None) => return CodecOutcome::Partial,
        Ok(Some(forwarded)) => forwarded,
    };
    let input = oracle::response(bytes, method);
    if !forwarded.complete {
        assert_eq!(input.map(|message| message.length), Err("truncated"), "the input");
        return CodecOutcome::Cut;
    }
    let input = input.expect("the strict reader refuses what was forwarded");
    let output = oracle::response(&forwarded.output, method).expect("the output is ambiguous");
    let framing = client_framing(forwarded.framing, codec::Version::Http11);
    check_same(&input, &output, &forwarded, framing);
    assert_eq!(output.start[1..], input.start[1..], "the status changed");
    for name in ["set-cookie", "location", "content-type"] {
        let (before, after) = (&input.fields, &output.fields);
        assert_eq!(oracle::values(before, name), oracle::values(after, name), "{name} changed");
    }
    CodecOutcome::Whole
}

fn check_same(
    input: &Message,
    output: &Message,
    forwarded: &forward::ForwardedMessage,
    framing: Framing,
) {
    assert_eq!(input.length, forwarded.consumed, "the readers see different ends");
    assert_eq!(input.body, forwarded.payload, "the readers see different payloads");
    assert_eq!(output.length, forwarded.output.len(), "the output holds more than one message");
    assert_eq!(output.body, forwarded.payload, "the payload changed");
    assert!(!output.has_extensions, "an extension was passed on");
    assert_eq!(ends(framing), output.framing, "the output is framed otherwise than planned");
    for name in ["connection", "keep-alive", "proxy-connection"] {
        let passed = oracle::values(&output.fields, name);
        let ours = |value: &[u8]| {
            name == "connection"
                && value
                    .split(|&byte| byte == b',')
                    .all(|option| matches!(option.trim_ascii(), b"te" | b"upgrade" | b"close"))
        };
        assert!(
            passed.len() <= 1 && passed.iter().all(|value| ours(value)),
            "{name} was passed on"
        );
    }
    for (name, value) in &output.trailers {
        let framing = ["content-length", "transfer-encoding", "host", "authorization", "cookie"];
        assert!(!framing.contains(&name.as_str()), "the trailer {name} was passed on");
        assert!(input.trailers.contains(&(name.clone(), value.clone())), "{name} was made up");
    }
}

fn ends(framing: Framing) -> Ends {
    match framing {
        Framing::None => Ends::AtHead,
        Framing::Length(length) => Ends::AfterLength(length),
        Framing::Chunked => Ends::AtLastChunk,
        Framing::UntilClose => Ends::WithConnection,
    }
}

/// A chunked body reads the same however it is cut, and as the strict reader reads it.
pub fn chunked(bytes: &[u8], cuts: &[usize]) {
    let whole = forward::decode_in_pieces(Framing::Chunked, Side::Request, bytes, &[]);
    let pieces = forward::decode_in_pieces(Framing::Chunked, Side::Request, bytes, cuts);
    assert_eq!(whole, pieces);
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let read = oracle::request(&[&head[..], bytes].concat());
    match whole {
        Ok((payload, consumed, _, true)) => {
            let message = read.expect("the strict reader refuses what was decoded");
            assert_eq!((message.body, message.length - head.len()), (payload, consumed));
        }
        Ok((.., false)) => assert!(read.is_err(), "the strict reader saw an end"),
        Err(_) => {}
    }
}
