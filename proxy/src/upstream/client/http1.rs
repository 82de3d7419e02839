//! A call over a connection of HTTP/1.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use super::{CallError, ClientAnswer, ClientFailure, Limits, MAX_INTERIM, RULES, Reuse, put};
use crate::cause::Rule;
use crate::http1::body::{BodyDecoder, Side};
use crate::http1::request::Parsed;
use crate::http1::response::parse_response;
use crate::http1::scan::HeadScanner;
use crate::io::Io;
use crate::message::{Fields, Framing, ResponseParts};
use crate::upstream::endpoint::Endpoint;

/// What is read at a time.
const AT_ONCE: usize = 16 * 1024;

pub(super) async fn talk(
    io: &Io,
    request: &Request<Bytes>,
    endpoint: &Endpoint,
    limits: Limits,
) -> Result<ClientAnswer, ClientFailure> {
    let mut begun = false;
    let head = head_of(request, &endpoint.authority);
    let written = io.write_all(&head, request.body(), |count| begun |= count > 0).await;
    let whole = written.is_ok();
    if let Err(error) = written
        && !begun
    {
        return Err(ClientFailure { error: CallError::Broke(error), not_sent: true });
    }
    // An endpoint that answers early may close before it has read everything.
    let mut reader = Reader { io, bytes: Vec::new() };
    let parts = reader.head(request.method()).await.map_err(ClientFailure::sent)?;
    let mut answer = reader.answer(parts, limits.body).await.map_err(ClientFailure::sent)?;
    if !whole {
        // What it has not read of this request would be the beginning of the next one.
        answer.reuse = Reuse::No;
    }
    Ok(answer)
}

fn head_of(request: &Request<Bytes>, authority: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    for piece in [request.method().as_str(), " ", target, " HTTP/1.1"] {
        out.extend_from_slice(piece.as_bytes());
    }
    let mut line = |name: &str, value: &[u8]| {
        for piece in [b"\r\n", name.as_bytes(), b": ", value] {
            out.extend_from_slice(piece);
        }
    };
    let headers = request.headers();
    line("host", headers.get(HOST).map_or(authority.as_bytes(), HeaderValue::as_bytes));
    let ours = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];
    for (name, value) in headers.iter().filter(|(name, _)| !ours.contains(name)) {
        line(name.as_str(), value.as_bytes());
    }
    let has_body = [Method::POST, Method::PUT, Method::PATCH].contains(request.method());
    if has_body || !request.body().is_empty() {
        line("content-length", request.body().len().to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
    out
}

struct Reader<'a> {
    io: &'a Io,
    /// What was read and not yet understood.
    bytes: Vec<u8>,
}

impl Reader<'_> {
    /// Reads once more; false when the endpoint has closed its side.
    async fn fill(&mut self) -> Result<bool, CallError> {
        let start = self.bytes.len();
        self.bytes.resize(start + AT_ONCE, 0);
        let read = self.io.read(&mut self.bytes[start..]).await;
        self.bytes.truncate(start + read.as_ref().map_or(0, |count| *count));
        read.map(|count| count > 0).map_err(CallError::Broke)
    }

    /// The head of the answer, which stands at the front of the bytes.
    async fn head(&mut self, method: &Method) -> Result<ResponseParts, CallError> {
        let mut parts = ResponseParts::default();
        let mut scanner = HeadScanner::default();
        let mut interim = 0;
        loop {
            if !self.bytes.is_empty() && scanner.worth_parsing(&self.bytes, &RULES.limits()) {
                let method = method.as_str().as_bytes();
                let parsed = parse_response(&self.bytes, &RULES, method, &mut parts);
                if parsed.map_err(CallError::Malformed)? == Parsed::Complete {
                    match parts.status {
                        101 => return Err(malformed(Rule::SwitchedUnasked)),
                        100..=199 if interim == MAX_INTERIM => {
                            return Err(malformed(Rule::TooManyInterim));
                        }
                        100..=199 => interim += 1,
                        _ => return Ok(parts),
                    }
                    self.bytes.drain(..parts.length as usize);
                    scanner = HeadScanner::default();
                    continue;
                }
            }
            if !self.fill().await? {
                return Err(CallError::Truncated);
            }
        }
    }

    async fn answer(
        mut self,
        parts: ResponseParts,
        most: usize,
    ) -> Result<ClientAnswer, CallError> {
        let fields = Fields { bytes: &self.bytes, fields: &parts.fields };
        let mut headers = HeaderMap::new();
        for (name, value) in fields.iter() {
            let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
            if let (Ok(name), Ok(value)) = (name, value) {
                // Fails beyond 32,768 fields, which the rules do not let through.
                let _ = headers.try_append(name, value);
            }
        }
        if matches!(parts.framing, Framing::Length(length) if length > most as u64) {
            return Err(CallError::TooLarge(most));
        }
        self.bytes.drain(..parts.length as usize);
        let mut decoder = BodyDecoder::new(parts.framing, Side::Response);
        let mut body = Vec::new();
        let mut closed = false;
        while !decoder.is_done() && !closed {
            let decoded = decoder.decode(&self.bytes).map_err(CallError::Malformed)?;
            put(&mut body, &self.bytes[decoded.data], most)?;
            self.bytes.drain(..decoded.consumed);
            if decoded.consumed == 0 && !decoder.is_done() {
                closed = !self.fill().await?;
            }
        }
        if closed {
            decoder.finish_on_eof().map_err(|_| CallError::Truncated)?;
        }
        let mut response = Response::new(Bytes::from(body));
        *response.headers_mut() = headers;
        *response.status_mut() =
            StatusCode::from_u16(parts.status).map_err(|_| malformed(Rule::StatusLine))?;
        let stands_behind = !closed && parts.keep_alive && self.bytes.is_empty();
        let seconds = parts.keep_alive_timeout;
        let reuse = if stands_behind { Reuse::Yes(seconds) } else { Reuse::No };
        Ok(ClientAnswer { response, reuse })
    }
}

fn malformed(rule: Rule) -> CallError {
    CallError::Malformed(rule.in_response())
}
