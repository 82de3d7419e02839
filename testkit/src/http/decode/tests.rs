use super::*;

/// Feeds the bytes cut at every offset: the answer may not depend on the pieces.
fn check(bytes: &[u8], to_head: bool, expected: Result<(u16, &str), Malformed>) {
    for cut in 0..=bytes.len() {
        let mut decoder = Decoder::default();
        decoder.push(&bytes[..cut]);
        let first = match decoder.response(to_head) {
            Ok(None) => {
                decoder.push(&bytes[cut..]);
                match decoder.response(to_head) {
                    Ok(None) => decoder.response_at_end(to_head),
                    other => other,
                }
            }
            other => other,
        };
        let found = first.map(|response| {
            response.map(|response| (response.status, response.text())).unwrap_or_default()
        });
        let expected = expected.clone().map(|(status, body)| (status, body.to_owned()));
        assert_eq!(found, expected, "{:?} cut at {cut}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn whole_responses() {
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", false, Ok((200, "abc")));
    check(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", false, Ok((200, "")));
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", true, Ok((200, "")));
    check(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n", false, Ok((304, "")));
    check(b"HTTP/1.1 204 No Content\r\n\r\n", false, Ok((204, "")));
    check(b"HTTP/1.1 100 Continue\r\n\r\n", false, Ok((100, "")));
    check(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", false, Ok((200, "until the end")));
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
    check(chunked, false, Ok((200, "abc0123456789")));
    let trailers =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\n\r\n";
    check(trailers, false, Ok((200, "a")));
}

#[test]
fn wrong_responses() {
    let framing = |text| Err(Malformed::Framing(text));
    check(
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        false,
        framing("content-length beside transfer-encoding"),
    );
    check(
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
        false,
        framing("content-length repeated"),
    );
    check(
        b"HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc",
        false,
        framing("content-length is no number"),
    );
    check(
        b"HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\n",
        false,
        framing("1xx and 204 declare no body"),
    );
    check(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        false,
        framing("transfer-encoding is not exactly chunked"),
    );
    check(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
        false,
        Err(Malformed::Chunk("the size is no plain hexadecimal number")),
    );
    check(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        false,
        Err(Malformed::Chunk("no line end follows the data")),
    );
    check(b"HTTP/1.1 200\r\n\r\n", false, Err(Malformed::StartLine("HTTP/1.1 200".to_owned())));
    check(b"HTTP/1.1 200 OK\nx: y\r\n\r\n", false, Err(Malformed::BareLineEnd));
    check(
        b"HTTP/1.1 200 OK\r\nx : y\r\n\r\n",
        false,
        Err(Malformed::HeaderLine("x : y".to_owned())),
    );
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", false, Err(Malformed::Truncated(41)));
    check(b"HTTP/1.1 20", false, Err(Malformed::Truncated(11)));
}

#[test]
fn pipelined_messages_leave_in_order() {
    let mut decoder = Decoder::default();
    decoder.push(
        b"GET /a HTTP/1.1\r\nhost: x\r\n\r\nPOST /b HTTP/1.0\r\nContent-Length: 2\r\n\r\nhiGET",
    );
    let first = decoder.request().unwrap().unwrap();
    assert_eq!((first.target.as_str(), first.keep_alive()), ("/a", true));
    let head = decoder.request_head().unwrap().unwrap();
    assert_eq!(head.method, "POST");
    let second = decoder.request().unwrap().unwrap();
    assert_eq!((second.body.as_slice(), second.keep_alive()), (&b"hi"[..], false));
    assert_eq!(decoder.request().unwrap(), None);
    assert!(!decoder.is_idle());
}
