use super::*;
use crate::error::Reason;
use crate::http1::tests::{forward, judge};
use crate::message::Framing;

/// Payload, kept trailers and the bytes left over; the same for every cut into two and into
/// single bytes.
fn decode(input: &[u8]) -> Result<Option<(String, String, usize)>, Reason> {
    for cut in 0..=input.len() {
        judge::chunked(input, &[cut]);
    }
    let each: Vec<usize> = (0..input.len()).collect();
    judge::chunked(input, &each);
    let decoded = forward::decode_in_pieces(Framing::Chunked, Side::Request, input, &[])?;
    let (payload, consumed, trailers, done) = decoded;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ok(done.then(|| (text(payload), text(trailers), input.len() - consumed)))
}

fn accept(input: &str, payload: &str, trailers: &str, left: usize) {
    let expected = (payload.to_owned(), trailers.to_owned(), left);
    assert_eq!(decode(input.as_bytes()), Ok(Some(expected)), "{input:?}");
}

fn refuse(input: &str) {
    assert_eq!(decode(input.as_bytes()), Err(Reason::BadRequest), "{input:?}");
}

#[test]
fn bodies_are_taken_out_of_their_chunks() {
    accept("0\r\n\r\n", "", "", 0);
    accept("5\r\nhello\r\n0\r\n\r\nGET", "hello", "", 3);
    accept("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", "", 0);
    accept("a\r\n0123456789\r\n0\r\n\r\n", "0123456789", "", 0);
    accept("A\r\n0123456789\r\n000\r\n\r\n", "0123456789", "", 0);
    accept("0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n", "abc", "", 0);
    accept("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", "", 0);
    for part in ["", "5", "5\r", "5\r\n", "5\r\nhel", "5\r\nhello", "5\r\nhello\r\n0\r\n"] {
        assert_eq!(decode(part.as_bytes()), Ok(None), "{part:?}");
    }
}

#[test]
fn sizes_with_two_readings_are_refused() {
    for line in [
        "",
        " ",
        "\r",
        "g",
        "-1",
        "+1",
        "0x1",
        "1h",
        "1 ",
        " 1",
        "\t1",
        "1\t",
        "1 ;a",
        "1,1",
        "1.0",
        "1_0",
        "\u{661}",
        "00000000000000001",
        "10000000000000000",
        "ffffffffffffffff",
        "8000000000000000",
        ";a",
        "1;a\0b",
        "1;a\u{1}",
        "1;\u{7f}",
        "1;a\nb",
        "1;a\rb",
        "1:",
        "1\0",
    ] {
        refuse(&format!("{line}\r\nx\r\n0\r\n\r\n"));
    }
    for body in [
        "1\nx\r\n0\r\n\r\n",
        "1\rx\r\n0\r\n\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1\r\nx0\r\n\r\n",
        "1\r\nxy\r\n0\r\n\r\n",
        "1\r\nx\r0\r\n\r\n",
        "1\r\nx\r_0\r\n\r\n",
        "1\r_x\r\n0\r\n\r\n",
        "1\r\nx\r\n0\n\r\n",
        "1\r\nx\r\n0\r\n\n",
        "1\r\nx\r\n\r\n0\r\n\r\n",
        "0\r\n\rX",
        "\r\n0\r\n\r\n",
    ] {
        refuse(body);
    }
    // The largest size is a size, whatever follows.
    assert_eq!(decode(b"7fffffffffffffff\r\nx"), Ok(None));
}

#[test]
fn extensions_are_dropped_and_bounded() {
    accept("1;a\r\nx\r\n0;b=\"c;d\"\r\n\r\n", "x", "", 0);
    accept("1;\r\nx\r\n0;;; \t\u{e4}\r\n\r\n", "x", "", 0);
    let extended = |length: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(length - 1));
    let run = |text: String| {
        forward::decode_in_pieces(Framing::Chunked, Side::Request, text.as_bytes(), &[]).map(|_| ())
    };
    assert_eq!(run(extended(4096)), Ok(()));
    assert_eq!(run(extended(4097)), Err(Reason::BadRequest));
    // Of the message, not of a chunk.
    let spread = format!("{}0\r\n\r\n", "1;eeeeeee\r\nx\r\n".repeat(512));
    assert_eq!(run(spread), Ok(()));
    let spread = format!("{}0\r\n\r\n", "1;eeeeeee\r\nx\r\n".repeat(513));
    assert_eq!(run(spread), Err(Reason::BadRequest));
}

#[test]
fn trailers_pass_without_what_could_change_the_verdict() {
    accept("0\r\nx-sum: 1\r\n\r\n", "", "x-sum: 1\r\n", 0);
    accept("0\r\nGrpc-Status:0\r\nempty:\r\n\r\nrest", "", "Grpc-Status:0\r\nempty:\r\n", 4);
    for name in [
        "content-length",
        "Transfer-Encoding",
        "HOST",
        "authorization",
        "Cookie",
        "set-cookie",
        "connection",
        "trailer",
        "te",
        "expect",
        "x-forwarded-for",
        "X-Forwarded-Anything",
        "forwarded",
        "x-request-id",
        "content-type",
        "content-encoding",
        "cache-control",
        "www-authenticate",
        "if-none-match",
        "x_sum",
        "upgrade",
        "keep-alive",
        "date",
        "access-control-allow-origin",
        "proxy-authorization",
    ] {
        let text = format!("0\r\na: 1\r\n{name}: 5\r\nb: 2\r\n\r\n");
        accept(&text, "", "a: 1\r\nb: 2\r\n", 0);
    }
    for trailers in [
        "x",
        " x: y",
        "x : y",
        ": y",
        "x: y\r\n z",
        "x: \0",
        "x: a\rb",
        "x: \u{7f}",
        "x y: z",
        "x: y\n",
        "content-length : 5",
    ] {
        refuse(&format!("0\r\n{trailers}\r\n\r\n"));
    }
    // The names of responses may hold underscores: nothing is derived from them.
    let response =
        forward::decode_in_pieces(Framing::Chunked, Side::Response, b"0\r\nx_y: z\r\n\r\n", &[]);
    assert_eq!(response.unwrap().2, b"x_y: z\r\n");
}

#[test]
fn trailers_are_bounded() {
    let run = |text: String| {
        let cut = text.len() / 2;
        let whole =
            forward::decode_in_pieces(Framing::Chunked, Side::Request, text.as_bytes(), &[]);
        let cut =
            forward::decode_in_pieces(Framing::Chunked, Side::Request, text.as_bytes(), &[cut]);
        assert_eq!(whole, cut);
        whole.map(|_| ())
    };
    let line = |length: usize| format!("0\r\nx: {}\r\n\r\n", "y".repeat(length));
    assert_eq!(run(line(8192 - 5)), Ok(()));
    assert_eq!(run(line(8192 - 4)), Err(Reason::HeadTooLarge));
    // Dropped lines count too.
    assert_eq!(run(format!("0\r\n{}\r\n", "te: x\r\n".repeat(64))), Ok(()));
    assert_eq!(run(format!("0\r\n{}\r\n", "te: x\r\n".repeat(65))), Err(Reason::HeadTooLarge));
    // And a line without an end is not collected for ever.
    assert_eq!(run(format!("0\r\n{}", "x".repeat(9000))), Err(Reason::HeadTooLarge));
}

#[test]
fn flaws_are_the_senders_and_last() {
    let mut decoder = ChunkedDecoder::new(Side::Response);
    assert_eq!(decoder.decode(b"x").map_err(|cause| cause.reason), Err(Reason::UpstreamProtocol));
    assert_eq!(
        decoder.decode(b"0\r\n\r\n").map_err(|cause| cause.reason),
        Err(Reason::UpstreamProtocol)
    );
    assert!(!decoder.is_done());
}

#[test]
fn one_call_reports_one_piece_and_the_end_with_it() {
    let mut decoder = ChunkedDecoder::new(Side::Request);
    let first = decoder.decode(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\nX").unwrap();
    assert_eq!(first, Decoded { consumed: 9, data: 3..4, done: false });
    let second = decoder.decode(b"bc\r\n0\r\n\r\nX").unwrap();
    assert_eq!(second, Decoded { consumed: 9, data: 0..2, done: true });
    assert_eq!(decoder.decode(b"X").unwrap(), Decoded { consumed: 0, data: 0..0, done: true });
}

#[test]
fn chunks_are_written() {
    let mut out = Vec::new();
    write_chunk(&mut out, b"");
    write_chunk(&mut out, &[b'x'; 26]);
    write_last_chunk(&mut out, b"a: b\r\n");
    assert_eq!(out, b"1a\r\nxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n0\r\na: b\r\n\r\n");
    for length in [1, 15, 16, 255, 4096, 65536, usize::MAX] {
        let mut line = Vec::new();
        write_chunk_header(&mut line, length);
        assert_eq!(line, format!("{length:x}\r\n").as_bytes());
    }
}
