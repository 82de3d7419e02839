//! As much of an HTTP/1 response as a generator must read to know that it is whole.
//!
//! Bodies have a length: the origins here send no others, and an engine that changes the framing
//! is one that a run should not pass over in silence.

use std::io;

/// The longest head that is read.
const LONGEST_HEAD: usize = 16 * 1024;

/// Reads one response after another from the bytes of a connection.
#[derive(Debug, Default)]
pub(super) struct ResponseReader {
    head: Vec<u8>,
    under_way: Option<(Response, usize)>,
}

/// What is told of a response that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    /// The peer takes another request on this connection.
    pub(super) keeps_open: bool,
}

impl ResponseReader {
    /// `None` while the response is not whole. Bytes behind its end are an error, because nobody
    /// has asked for them.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> io::Result<Option<Response>> {
        if self.under_way.is_none() {
            let before = self.head.len();
            self.head.extend_from_slice(bytes);
            let Some(length) = end_of_head(&self.head) else {
                return if self.head.len() > LONGEST_HEAD {
                    wrong("a longer head")
                } else {
                    Ok(None)
                };
            };
            self.under_way = Some(parse(&self.head[..length])?);
            bytes = &bytes[length - before..];
            self.head.clear();
        }
        let Some((response, body_left)) = &mut self.under_way else { return Ok(None) };
        let Some(left) = body_left.checked_sub(bytes.len()) else {
            return wrong("more than the response");
        };
        *body_left = left;
        let whole = (left == 0).then_some(*response);
        if whole.is_some() {
            self.under_way = None;
        }
        Ok(whole)
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4)
}

fn parse(head: &[u8]) -> io::Result<(Response, usize)> {
    let text = std::str::from_utf8(head).or_else(|_| wrong("a head of other bytes than text"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let Some(status) = status else { return wrong("no status line") };
    let (mut length, mut keeps_open) = (None, true);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            keeps_open = !value.trim().eq_ignore_ascii_case("close");
        }
    }
    // A switch of protocols has no body, and what comes behind it is no part of it.
    let length = if status == 101 { Some(0) } else { length };
    let Some(length) = length else { return wrong("no content-length") };
    Ok((Response { status, keeps_open }, length))
}

fn wrong<T>(what: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("the peer sent {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

    /// The bytes in pieces of this size, and what the last piece made of them.
    fn read(bytes: &[u8], piece: usize) -> io::Result<Option<Response>> {
        let mut reader = ResponseReader::default();
        let mut last = None;
        for piece in bytes.chunks(piece) {
            assert_eq!(last, None, "nothing comes behind a response that is whole");
            last = reader.push(piece)?;
        }
        Ok(last)
    }

    #[test]
    fn a_response_is_whole_at_its_last_byte_however_it_is_cut() {
        for piece in 1..=OK.len() {
            let response = Response { status: 200, keeps_open: true };
            assert_eq!(read(OK, piece).unwrap(), Some(response), "pieces of {piece}");
            assert_eq!(read(&OK[..OK.len() - 1], piece).unwrap(), None, "pieces of {piece}");
        }
    }

    #[test]
    fn one_reader_reads_response_after_response() {
        let mut reader = ResponseReader::default();
        let close = b"HTTP/1.1 503 no\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert!(reader.push(OK).unwrap().is_some());
        let second = reader.push(close).unwrap().unwrap();
        assert_eq!((second.status, second.keeps_open), (503, false));
    }

    #[test]
    fn what_nobody_asked_for_is_an_error() {
        let behind = [OK, b"x"].concat();
        let unframed = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let endless = vec![b'x'; LONGEST_HEAD + 1];
        for bytes in [&behind[..], unframed, b"HTTP/1.1 abc\r\n\r\n", &endless] {
            assert!(read(bytes, bytes.len()).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
