//! Claims about generated messages.

use proptest::collection::vec;
use proptest::prelude::*;

use super::codec::{Framing, Side, write_chunk, write_last_chunk};
use super::judge::{self, CodecOutcome};
use super::{forward, oracle};

/// Header lines that stay as they are.
fn plain_line() -> impl Strategy<Value = String> {
    let name = "[!#$%&'*+.^`|~0-9A-Za-z-]{1,12}";
    let value = "[ \t]{0,2}([!-~\u{e4}]([ -~\t]{0,20}[!-~])?)?[ \t]{0,2}";
    (name, value).prop_map(|(name, value)| format!("X{name}:{value}\r\n"))
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        "/[!-\"$->@-~]{0,20}(\\?[!-\"$-~]{0,20})?",
        "http://[a-z]{1,5}(:[1-9][0-9]{0,3})?(/[a-z]{0,5})?(\\?[a-z]{0,3})?",
    ]
}

fn body() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 1..40), 0..5)
}

fn encode(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in chunks {
        write_chunk(&mut out, chunk);
    }
    write_last_chunk(&mut out, b"");
    out
}

/// Pieces that some parser treats specially, combined at random.
fn shreds() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        &b"GET / HTTP/1.1\r\n"[..],
        b"POST /a?b HTTP/1.1\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200\r\n",
        b"host: a\r\n",
        b"host: a\r\n",
        b"content-length: 5\r\n",
        b"transfer-encoding: chunked\r\n",
        b"connection: ",
        b"authorization",
        b"\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b": ",
        b" ",
        b"\t",
        b"\0",
        b"x",
        b"_",
        b"5",
        b"0\r\n\r\n",
        b"5\r\nhello\r\n",
        b";e",
        b"x-t: 1\r\n",
        b"\x80",
    ]);
    let start = prop::sample::select(vec![
        &b""[..],
        b"POST / HTTP/1.1\r\nhost: a\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    ]);
    (start, vec(pieces, 0..14)).prop_map(|(start, pieces)| [start, &pieces.concat()].concat())
}

proptest! {
    #[test]
    fn chunks_survive_the_way_there_and_back(chunks in body(), cuts in vec(0usize..250, 0..6)) {
        let encoded = encode(&chunks);
        let mut cuts = cuts;
        cuts.sort_unstable();
        judge::chunked(&encoded, &cuts);
        let (payload, consumed, _, done) =
            forward::decode_in_pieces(Framing::Chunked, Side::Response, &encoded, &cuts).unwrap();
        prop_assert_eq!(payload, chunks.concat());
        prop_assert_eq!((consumed, done), (encoded.len(), true));
    }

    #[test]
    fn what_is_written_reads_as_what_was_read(
        lines in vec(plain_line(), 0..12),
        target in target(),
        chunks in body(),
        is_chunked in any::<bool>(),
    ) {
        let (framing, body) = if is_chunked {
            ("transfer-encoding: chunked".to_owned(), encode(&chunks))
        } else {
            let body = chunks.concat();
            (format!("content-length: {}", body.len()), body)
        };
        let lines = lines.concat();
        let head = format!("PUT {target} HTTP/1.1\r\nhost: a\r\n{lines}{framing}\r\n\r\n");
        let bytes = [head.as_bytes(), &body].concat();
        prop_assert_eq!(judge::request(&bytes), CodecOutcome::Whole);

        // The very same lines, in the same order.
        let forwarded = forward::request(&bytes).unwrap().unwrap();
        let ours = ["host", "content-length", "transfer-encoding", "x-forwarded-for"];
        let plain = |message: oracle::Message| -> Vec<_> {
            message.fields.into_iter().filter(|(name, _)| !ours.contains(&name.as_str())).collect()
        };
        let (before, after) =
            (oracle::request(&bytes).unwrap(), oracle::request(&forwarded.output).unwrap());
        prop_assert_eq!(plain(before), plain(after));

        // And what was written is forwarded again without a change but for the order of ours.
        prop_assert_eq!(judge::request(&forwarded.output), CodecOutcome::Whole);

        let head = format!("HTTP/1.1 201 Made\r\n{lines}{framing}\r\n\r\n");
        let bytes = [head.as_bytes(), &body].concat();
        prop_assert_eq!(judge::response(&bytes, b"PUT"), CodecOutcome::Whole);
    }

    #[test]
    fn shreds_of_messages_are_refused_or_clear(bytes in shreds()) {
        judge::request(&bytes);
        judge::response(&bytes, b"GET");
        judge::response(&bytes, b"HEAD");
        forward::check_request_prefixes(&bytes);
        forward::check_response_prefixes(&bytes, b"GET");
    }

    #[test]
    fn one_changed_byte_is_refused_or_clear(at in 0usize..170, byte in any::<u8>()) {
        let mut bytes = b"POST http://b:80/a?c HTTP/1.1\r\nHost: a:80\r\nX-A: b\r\nConnection: keep-alive, x-a\r\n\
            Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx-t: 1\r\n\r\n".to_vec();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        judge::request(&bytes);
        forward::check_request_prefixes(&bytes);
    }
}
