//! Strict HTTP/1.1 messages for tests: what arrived, and whether it was right to the letter.
//!
//! It must not share code with the proxy's codec: it is the second opinion about it.

mod decode;

pub use decode::Decoder;

/// A message that breaks the rules, or the place where its bytes ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the start line is wrong: {0:?}")]
    StartLine(String),
    #[error("the header line is wrong: {0:?}")]
    HeaderLine(String),
    #[error("the head holds a CR or LF that ends no line")]
    BareLineEnd,
    #[error("the head is longer than {0} bytes")]
    HeadTooLong(usize),
    #[error("the framing is ambiguous: {0}")]
    Framing(&'static str),
    #[error("the chunked body is wrong: {0}")]
    Chunk(&'static str),
    #[error("the bytes end inside a message, {0} bytes after its start")]
    Truncated(usize),
}

/// Header lines in their order, names as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of a name in any case.
    pub fn first(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Every value of a name in any case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether a comma-separated field holds this token.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    }
}

/// A request as an origin received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub http10: bool,
    pub headers: Headers,
    pub body: Vec<u8>,
    pub trailers: Headers,
}

impl Request {
    /// Whether the sender wants the connection kept.
    pub fn keep_alive(&self) -> bool {
        keep_alive(self.http10, &self.headers)
    }
}

/// A response as a client received it; also an informational one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    pub http10: bool,
    pub headers: Headers,
    pub body: Vec<u8>,
    pub trailers: Headers,
    /// Only the end of the connection ended the body.
    pub until_close: bool,
}

impl Response {
    /// Whether another request may follow on the connection.
    pub fn keep_alive(&self) -> bool {
        !self.until_close && keep_alive(self.http10, &self.headers)
    }

    pub fn is_informational(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// The body as text, with what is no UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `Null` when it is none, so that a test's comparison fails readably.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn keep_alive(http10: bool, headers: &Headers) -> bool {
    if http10 {
        headers.has_token("connection", "keep-alive")
    } else {
        !headers.has_token("connection", "close")
    }
}
