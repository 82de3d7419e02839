//! Responses that the proxy makes itself, and interim ones that it passes on.

use super::changes::Changes;
use super::edits::Edits;
use super::write::{
    HOP_BY_HOP, Leaving, Line, append, copy_fields, put, put_connection, put_length,
    put_status_line,
};
use crate::message::{ResponseHead, Version};

/// A whole response: a problem, a redirect, a reply.
#[derive(Debug, Clone, Copy)]
pub struct SimpleResponse<'a> {
    /// 200 or above.
    pub status: u16,
    pub content_type: Option<&'a [u8]>,
    pub body: &'a [u8],
    /// Applied to the lines of `headers`, and adding its own.
    pub edits: Option<&'a Edits>,
    /// What policies add; it has nothing that they could drop.
    pub changes: Option<&'a Changes>,
    /// Neither framing nor connection, date or content type.
    pub headers: &'a [Line<'a>],
    /// The value for `date`.
    pub date: &'a [u8],
    /// For a HEAD request: with the length, without the body.
    pub head_only: bool,
    /// The version of the request, where it is known.
    pub client: Version,
    /// The connection stays open for another request.
    pub keep_alive: bool,
}

impl SimpleResponse<'_> {
    /// Whether its status lets it have one, be it left out for HEAD or not.
    pub(crate) fn has_body(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }
}

/// Appends head and body.
pub fn write_simple_response(out: &mut Vec<u8>, response: &SimpleResponse<'_>) {
    let mut number = itoa::Buffer::new();
    let status = number.format(response.status).as_bytes();
    put(out, &[b"HTTP/1.1 ", status, b" ", reason_phrase(response.status), b"\r\n"]);
    put(out, &[b"date: ", response.date, b"\r\n"]);
    if response.has_body() {
        if let Some(content_type) = response.content_type {
            put(out, &[b"content-type: ", content_type, b"\r\n"]);
        }
        put_length(out, response.body.len() as u64);
    }
    append(out, response.headers, response.edits, response.changes);
    put_connection(
        out,
        &[
            (!response.keep_alive, b"close"),
            (response.keep_alive && response.client == Version::Http10, b"keep-alive"),
        ],
    );
    out.extend_from_slice(b"\r\n");
    if response.has_body() && !response.head_only {
        out.extend_from_slice(response.body);
    }
}

/// Passes an interim response (1xx but 101) on. Never to an HTTP/1.0 client.
pub fn write_informational(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    put_status_line(out, head);
    let leaving = Leaving::new(head.fields(), HOP_BY_HOP, None, None);
    copy_fields(out, &leaving, head.parts.length as usize - 2);
    out.extend_from_slice(b"\r\n");
}

/// The registered phrase (RFC 9110, section 15); of other statuses, none.
fn reason_phrase(status: u16) -> &'static [u8] {
    match status {
        200 => b"OK",
        201 => b"Created",
        202 => b"Accepted",
        203 => b"Non-Authoritative Information",
        204 => b"No Content",
        205 => b"Reset Content",
        206 => b"Partial Content",
        300 => b"Multiple Choices",
        301 => b"Moved Permanently",
        302 => b"Found",
        303 => b"See Other",
        304 => b"Not Modified",
        307 => b"Temporary Redirect",
        308 => b"Permanent Redirect",
        400 => b"Bad Request",
        401 => b"Unauthorized",
        402 => b"Payment Required",
        403 => b"Forbidden",
        404 => b"Not Found",
        405 => b"Method Not Allowed",
        406 => b"Not Acceptable",
        408 => b"Request Timeout",
        409 => b"Conflict",
        410 => b"Gone",
        411 => b"Length Required",
        412 => b"Precondition Failed",
        413 => b"Content Too Large",
        414 => b"URI Too Long",
        415 => b"Unsupported Media Type",
        416 => b"Range Not Satisfiable",
        417 => b"Expectation Failed",
        421 => b"Misdirected Request",
        422 => b"Unprocessable Content",
        425 => b"Too Early",
        426 => b"Upgrade Required",
        428 => b"Precondition Required",
        429 => b"Too Many Requests",
        431 => b"Request Header Fields Too Large",
        451 => b"Unavailable For Legal Reasons",
        500 => b"Internal Server Error",
        501 => b"Not Implemented",
        502 => b"Bad Gateway",
        503 => b"Service Unavailable",
        504 => b"Gateway Timeout",
        505 => b"HTTP Version Not Supported",
        507 => b"Insufficient Storage",
        511 => b"Network Authentication Required",
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(response: SimpleResponse<'_>) -> String {
        let mut out = Vec::new();
        write_simple_response(&mut out, &response);
        String::from_utf8(out).unwrap()
    }

    const PLAIN: SimpleResponse<'_> = SimpleResponse {
        status: 404,
        content_type: Some(b"text/plain"),
        body: b"gone",
        headers: &[Line { name: b"x-a", value: &[b"1", b", ", b"2"] }],
        edits: None,
        changes: None,
        date: b"D",
        head_only: false,
        client: Version::Http11,
        keep_alive: true,
    };

    #[test]
    fn a_response_has_its_length_and_says_whether_the_connection_is_kept() {
        let head = "HTTP/1.1 404 Not Found\r\ndate: D\r\ncontent-type: text/plain\r\ncontent-length: 4\r\nx-a: 1, 2\r\n";
        assert_eq!(write(PLAIN), format!("{head}\r\ngone"));
        assert_eq!(write(SimpleResponse { head_only: true, ..PLAIN }), format!("{head}\r\n"));
        let closing = write(SimpleResponse { keep_alive: false, ..PLAIN });
        assert_eq!(closing, format!("{head}connection: close\r\n\r\ngone"));
        let old = write(SimpleResponse { client: Version::Http10, ..PLAIN });
        assert_eq!(old, format!("{head}connection: keep-alive\r\n\r\ngone"));
    }

    #[test]
    fn a_status_without_a_body_announces_none() {
        let empty = write(SimpleResponse { status: 204, headers: &[], ..PLAIN });
        assert_eq!(empty, "HTTP/1.1 204 No Content\r\ndate: D\r\n\r\n");
    }
}
