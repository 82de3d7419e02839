//! Bytes in, whole messages out. Pieces may be of any size.

use super::{Headers, Malformed, Request, Response};

/// Longer heads are no business of the tests, and a decoder without a bound hides leaks.
const HEAD_LIMIT: usize = 256 * 1024;

/// Reads the messages of one direction of a connection.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    head: Option<Head>,
}

#[derive(Debug)]
struct Head {
    start: String,
    headers: Headers,
    framing: Framing,
    body: Vec<u8>,
    /// Chunked only: the trailer section is being read.
    trailers: bool,
    /// Bytes of this message that were taken out of the buffer.
    taken: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Decoder {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// No byte of an unfinished message is held.
    pub fn is_idle(&self) -> bool {
        self.buffer.is_empty() && self.head.is_none()
    }

    /// Bytes that came after the last whole message, for connections that changed protocol.
    pub fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// The start line and headers of a request whose body may still be on its way.
    pub fn request_head(&mut self) -> Result<Option<Request>, Malformed> {
        self.read_head(request_framing)?;
        let Some(head) = &self.head else { return Ok(None) };
        request(&head.start, head.headers.clone(), Vec::new(), Headers::default()).map(Some)
    }

    /// The next whole request.
    pub fn request(&mut self) -> Result<Option<Request>, Malformed> {
        self.read_head(request_framing)?;
        let Some((head, trailers)) = self.read_body(false)? else { return Ok(None) };
        request(&head.start, head.headers, head.body, trailers).map(Some)
    }

    /// The next whole response. `to_head` says that it answers a HEAD request.
    pub fn response(&mut self, to_head: bool) -> Result<Option<Response>, Malformed> {
        self.response_until(to_head, false)
    }

    /// The same at the end of the connection, which ends some bodies and cuts the others.
    pub fn response_at_end(&mut self, to_head: bool) -> Result<Option<Response>, Malformed> {
        if self.is_idle() {
            return Ok(None);
        }
        match self.response_until(to_head, true)? {
            Some(response) => Ok(Some(response)),
            None => {
                let taken = self.head.as_ref().map_or(0, |head| head.taken + head.body.len());
                Err(Malformed::Truncated(taken + self.buffer.len()))
            }
        }
    }

    fn response_until(&mut self, to_head: bool, end: bool) -> Result<Option<Response>, Malformed> {
        self.read_head(|start, headers| response_framing(start, headers, to_head))?;
        let Some((head, trailers)) = self.read_body(end)? else { return Ok(None) };
        let (http10, status, reason) = status_line(&head.start)?;
        Ok(Some(Response {
            status,
            reason,
            http10,
            headers: head.headers,
            body: head.body,
            trailers,
            until_close: head.framing == Framing::UntilClose,
        }))
    }

    fn read_head(
        &mut self,
        framing: impl Fn(&str, &Headers) -> Result<Framing, Malformed>,
    ) -> Result<(), Malformed> {
        if self.head.is_some() {
            return Ok(());
        }
        let Some(length) = find(&self.buffer, b"\r\n\r\n").map(|at| at + 4) else {
            check_partial(&self.buffer)?;
            return Ok(());
        };
        let (start, headers) = {
            let text = &self.buffer[..length - 4];
            let (start, rest) = match find(text, b"\r\n") {
                Some(at) => (&text[..at], &text[at + 2..]),
                None => (text, &[][..]),
            };
            (line(start)?, header_lines(rest)?)
        };
        let framing = framing(&start, &headers)?;
        self.buffer.drain(..length);
        self.head = Some(Head {
            start,
            headers,
            framing,
            body: Vec::new(),
            trailers: false,
            taken: length,
        });
        Ok(())
    }

    fn read_body(&mut self, end: bool) -> Result<Option<(Head, Headers)>, Malformed> {
        let Some(head) = &mut self.head else { return Ok(None) };
        let mut trailers = Headers::default();
        match head.framing {
            Framing::Length(length) => {
                if self.buffer.len() < length {
                    return Ok(None);
                }
                head.body = self.buffer.drain(..length).collect();
            }
            Framing::UntilClose => {
                head.body.append(&mut self.buffer);
                if !end {
                    return Ok(None);
                }
            }
            Framing::Chunked => match chunks(&mut self.buffer, head)? {
                Some(lines) => trailers = lines,
                None => return Ok(None),
            },
        }
        Ok(self.head.take().map(|head| (head, trailers)))
    }
}

/// Moves whole chunks out of the buffer; the trailers once the last chunk has come.
fn chunks(buffer: &mut Vec<u8>, head: &mut Head) -> Result<Option<Headers>, Malformed> {
    loop {
        if head.trailers {
            if buffer.starts_with(b"\r\n") {
                buffer.drain(..2);
                return Ok(Some(Headers::default()));
            }
            let Some(at) = find(buffer, b"\r\n\r\n") else { return Ok(None) };
            let lines = header_lines(&buffer[..at])?;
            buffer.drain(..at + 4);
            return Ok(Some(lines));
        }
        let Some(at) = find(buffer, b"\r\n") else {
            return if buffer.len() > 18 {
                Err(Malformed::Chunk("the size line is too long"))
            } else {
                Ok(None)
            };
        };
        let digits = &buffer[..at];
        if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Malformed::Chunk("the size is no plain hexadecimal number"));
        }
        let size = digits.iter().try_fold(0usize, |size, digit| {
            let digit = char::from(*digit).to_digit(16)? as usize;
            size.checked_mul(16)?.checked_add(digit)
        });
        let size = size.ok_or(Malformed::Chunk("the size overflows"))?;
        if size == 0 {
            buffer.drain(..at + 2);
            head.taken += at + 2;
            head.trailers = true;
            continue;
        }
        let Some(whole) = size.checked_add(at + 4) else {
            return Err(Malformed::Chunk("the size overflows"));
        };
        if buffer.len() < whole {
            return Ok(None);
        }
        if &buffer[whole - 2..whole] != b"\r\n" {
            return Err(Malformed::Chunk("no line end follows the data"));
        }
        head.body.extend_from_slice(&buffer[at + 2..whole - 2]);
        buffer.drain(..whole);
        head.taken += at + 4;
    }
}

/// Wrong bytes are told before the head is whole, or a test would wait for its deadline.
fn check_partial(buffer: &[u8]) -> Result<(), Malformed> {
    if buffer.len() > HEAD_LIMIT {
        return Err(Malformed::HeadTooLong(HEAD_LIMIT));
    }
    let complete = find_last(buffer, b"\r\n").map_or(&[][..], |at| &buffer[..at]);
    let mut lines = complete.split(|byte| *byte == b'\n').peekable();
    while let Some(text) = lines.next() {
        let text = match (text.strip_suffix(b"\r"), lines.peek()) {
            (Some(text), Some(_)) => text,
            (None, Some(_)) => return Err(Malformed::BareLineEnd),
            (_, None) => text,
        };
        line(text)?;
    }
    Ok(())
}

fn line(bytes: &[u8]) -> Result<String, Malformed> {
    if bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(Malformed::BareLineEnd);
    }
    // As Latin-1, so that no byte is lost.
    Ok(bytes.iter().map(|byte| char::from(*byte)).collect())
}

fn header_lines(bytes: &[u8]) -> Result<Headers, Malformed> {
    let mut headers = Headers::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (text, next) = match find(rest, b"\r\n") {
            Some(at) => (&rest[..at], &rest[at + 2..]),
            None => (rest, &[][..]),
        };
        let text = line(text)?;
        let Some((name, value)) = text.split_once(':') else {
            return Err(Malformed::HeaderLine(text));
        };
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Malformed::HeaderLine(text));
        }
        headers.0.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        rest = next;
    }
    Ok(headers)
}

fn request(
    start: &str,
    headers: Headers,
    body: Vec<u8>,
    trailers: Headers,
) -> Result<Request, Malformed> {
    let wrong = || Malformed::StartLine(start.to_owned());
    let mut parts = start.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let http10 = match version {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        _ => return Err(wrong()),
    };
    if method.is_empty() || !method.bytes().all(is_token) || target.is_empty() {
        return Err(wrong());
    }
    Ok(Request {
        method: method.to_owned(),
        target: target.to_owned(),
        http10,
        headers,
        body,
        trailers,
    })
}

fn status_line(start: &str) -> Result<(bool, u16, String), Malformed> {
    let wrong = || Malformed::StartLine(start.to_owned());
    let (version, rest) = start.split_once(' ').ok_or_else(wrong)?;
    let http10 = match version {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        _ => return Err(wrong()),
    };
    let (code, reason) = rest.split_once(' ').ok_or_else(wrong)?;
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    Ok((http10, code.parse().map_err(|_| wrong())?, reason.to_owned()))
}

fn request_framing(_: &str, headers: &Headers) -> Result<Framing, Malformed> {
    Ok(declared_framing(headers)?.unwrap_or(Framing::Length(0)))
}

/// RFC 9112, section 6.3.
fn response_framing(start: &str, headers: &Headers, to_head: bool) -> Result<Framing, Malformed> {
    let (_, status, _) = status_line(start)?;
    let declared = declared_framing(headers)?;
    if (100..200).contains(&status) || status == 204 {
        return match declared {
            None => Ok(Framing::Length(0)),
            Some(_) => Err(Malformed::Framing("1xx and 204 declare no body")),
        };
    }
    if to_head || status == 304 {
        return Ok(Framing::Length(0));
    }
    Ok(declared.unwrap_or(Framing::UntilClose))
}

fn declared_framing(headers: &Headers) -> Result<Option<Framing>, Malformed> {
    let mut lengths = headers.all("content-length");
    let mut codings = headers.all("transfer-encoding");
    match (lengths.next(), codings.next()) {
        (Some(_), Some(_)) => Err(Malformed::Framing("content-length beside transfer-encoding")),
        (Some(length), None) => {
            if lengths.next().is_some() {
                return Err(Malformed::Framing("content-length repeated"));
            }
            if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Malformed::Framing("content-length is no number"));
            }
            let length = length.parse();
            length
                .map(Framing::Length)
                .map(Some)
                .map_err(|_| Malformed::Framing("content-length overflows"))
        }
        (None, Some(coding)) => {
            if codings.next().is_some() || !coding.eq_ignore_ascii_case("chunked") {
                return Err(Malformed::Framing("transfer-encoding is not exactly chunked"));
            }
            Ok(Some(Framing::Chunked))
        }
        (None, None) => Ok(None),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

fn find_last(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).rposition(|window| window == pattern)
}

#[cfg(test)]
mod tests;
