//! A second reader of HTTP/1.1 messages, written from RFC 9112 for clarity alone: whole messages,
//! owned pieces, no state. It shares nothing with the codec, so that the two can disagree.
//!
//! It accepts what every conforming parser must read alike. What it refuses is ambiguous.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The three pieces of the first line.
    pub start: [Vec<u8>; 3],
    /// Names in lower case.
    pub fields: Vec<(String, Vec<u8>)>,
    pub framing: Ends,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, Vec<u8>)>,
    pub has_extensions: bool,
    /// Bytes of the message.
    pub length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    AtHead,
    AfterLength(u64),
    AtLastChunk,
    WithConnection,
}

type Judged<T> = Result<T, &'static str>;

/// Reads the request that starts with the first of `bytes`.
pub fn request(bytes: &[u8]) -> Judged<Message> {
    let (start, fields, head) = head(bytes)?;
    let [method, target, version] = &start;
    ensure(is_token(method), "method")?;
    ensure(!target.is_empty() && target.iter().all(u8::is_ascii_graphic), "target")?;
    ensure(!target.contains(&b'#'), "fragment")?;
    let is_http11 = version_is_http11(version)?;
    let hosts = values(&fields, "host");
    ensure(hosts.len() <= 1, "two hosts")?;
    ensure(!is_http11 || hosts.len() == 1, "no host")?;
    let framing = match framing(&fields, is_http11)? {
        Ends::WithConnection => Ends::AtHead,
        framing => framing,
    };
    message(bytes, start, fields, head, framing)
}

/// Reads the response to a request of that method; `bytes` end with the connection.
pub fn response(bytes: &[u8], method: &[u8]) -> Judged<Message> {
    let (start, fields, head) = head(bytes)?;
    let [version, status, phrase] = &start;
    let is_http11 = version_is_http11(version)?;
    ensure(status.len() == 3 && status.iter().all(u8::is_ascii_digit), "status")?;
    ensure((b'1'..=b'9').contains(&status[0]), "status")?;
    ensure(phrase.iter().all(|&byte| is_text(byte)), "phrase")?;
    let announced = framing(&fields, is_http11)?;
    let bodiless = status[0] == b'1' || status == b"204";
    ensure(
        !bodiless || matches!(announced, Ends::WithConnection | Ends::AfterLength(0)),
        "a body where none can be",
    )?;
    let framing =
        if bodiless || status == b"304" || method == b"HEAD" { Ends::AtHead } else { announced };
    message(bytes, start, fields, head, framing)
}

type Head = ([Vec<u8>; 3], Vec<(String, Vec<u8>)>, usize);

fn head(bytes: &[u8]) -> Judged<Head> {
    let end = find(bytes, b"\r\n\r\n").ok_or("no end of head")?;
    let mut lines = split_lines(&bytes[..end]);
    let first = lines.remove(0);
    let mut pieces = first.splitn(3, |&byte| byte == b' ').map(<[u8]>::to_vec);
    let start = [
        pieces.next().ok_or("first line")?,
        pieces.next().ok_or("first line")?,
        // A missing phrase, with its space, is tolerated of responses and nothing else.
        pieces.next().unwrap_or_default(),
    ];
    let fields = lines.into_iter().map(line).collect::<Judged<Vec<_>>>()?;
    Ok((start, fields, end + 4))
}

fn line(line: &[u8]) -> Judged<(String, Vec<u8>)> {
    let colon = find(line, b":").ok_or("no colon")?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    ensure(is_token(name), "field name")?;
    ensure(value.iter().all(|&byte| is_text(byte)), "field value")?;
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let from = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !blank(byte)).map_or(from, |last| last + 1);
    let name = String::from_utf8(name.to_ascii_lowercase()).map_err(|_| "field name")?;
    Ok((name, value[from..to].to_vec()))
}

fn version_is_http11(version: &[u8]) -> Judged<bool> {
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err("version"),
    }
}

fn framing(fields: &[(String, Vec<u8>)], is_http11: bool) -> Judged<Ends> {
    let lengths = values(fields, "content-length");
    let codings = values(fields, "transfer-encoding");
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Ends::WithConnection),
        ([length], []) => {
            ensure(!length.is_empty() && length.iter().all(u8::is_ascii_digit), "length")?;
            let text = std::str::from_utf8(length).map_err(|_| "length")?;
            let length = text.parse::<i64>().map_err(|_| "length")?;
            Ok(Ends::AfterLength(length.unsigned_abs()))
        }
        ([], [coding]) => {
            ensure(is_http11, "coding in HTTP/1.0")?;
            ensure(coding.eq_ignore_ascii_case(b"chunked"), "coding")?;
            Ok(Ends::AtLastChunk)
        }
        _ => Err("more than one framing"),
    }
}

fn message(
    bytes: &[u8],
    start: [Vec<u8>; 3],
    fields: Vec<(String, Vec<u8>)>,
    head: usize,
    framing: Ends,
) -> Judged<Message> {
    let rest = &bytes[head..];
    let mut message = Message {
        start,
        fields,
        framing,
        body: Vec::new(),
        trailers: Vec::new(),
        has_extensions: false,
        length: head,
    };
    match framing {
        Ends::AtHead => {}
        Ends::AfterLength(length) => {
            let length = usize::try_from(length).map_err(|_| "truncated")?;
            message.body = rest.get(..length).ok_or("truncated")?.to_vec();
            message.length += length;
        }
        Ends::AtLastChunk => message.length += chunks(rest, &mut message)?,
        Ends::WithConnection => {
            message.body = rest.to_vec();
            message.length = bytes.len();
        }
    }
    Ok(message)
}

/// Bytes of the chunks, the last one and the trailers.
fn chunks(bytes: &[u8], message: &mut Message) -> Judged<usize> {
    let mut at = 0;
    loop {
        let line_end = at + find(&bytes[at..], b"\r\n").ok_or("truncated")?;
        let line = &bytes[at..line_end];
        ensure(line.iter().all(|&byte| is_text(byte)), "chunk line")?;
        let digits = find(line, b";").unwrap_or(line.len());
        message.has_extensions |= digits < line.len();
        ensure((1..=16).contains(&digits), "chunk size")?;
        ensure(line[..digits].iter().all(u8::is_ascii_hexdigit), "chunk size")?;
        let text = std::str::from_utf8(&line[..digits]).map_err(|_| "chunk size")?;
        let size = i64::from_str_radix(text, 16).map_err(|_| "chunk size")?;
        let size = usize::try_from(size).map_err(|_| "chunk size")?;
        at = line_end + 2;
        if size == 0 {
            break;
        }
        let end = at.checked_add(size).ok_or("truncated")?;
        message.body.extend(bytes.get(at..end).ok_or("truncated")?);
        ensure(bytes.get(end..end + 2).ok_or("truncated")? == b"\r\n", "end of chunk")?;
        at = end + 2;
    }
    loop {
        let line_end = at + find(&bytes[at..], b"\r\n").ok_or("truncated")?;
        let trailer = &bytes[at..line_end];
        at = line_end + 2;
        if trailer.is_empty() {
            return Ok(at);
        }
        message.trailers.push(line(trailer)?);
    }
}

/// The values of a field, in the order of its lines.
pub fn values<'a>(fields: &'a [(String, Vec<u8>)], name: &str) -> Vec<&'a [u8]> {
    fields.iter().filter(|(other, _)| other == name).map(|(_, value)| &value[..]).collect()
}

fn split_lines(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while let Some(end) = find(bytes, b"\r\n") {
        lines.push(&bytes[..end]);
        bytes = &bytes[end + 2..];
    }
    lines.push(bytes);
    lines
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (0x20..0x7f).contains(&byte) || byte >= 0x80
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|&byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte))
}

fn ensure(holds: bool, what: &'static str) -> Judged<()> {
    if holds { Ok(()) } else { Err(what) }
}
