//! Small values with rules: each is parsed once and cannot hold anything else afterwards.

use std::fmt;

/// A value that breaks its rule, with what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub String);

/// A header field name (RFC 9110, section 5.1), in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeaderName(String);

impl HeaderName {
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text.is_empty() || !text.bytes().all(is_token_byte) {
            return Err(ValueError(format!("`{text}` is not a header name")));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request method (RFC 9110, section 9.1), case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MethodName(String);

impl MethodName {
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text.is_empty() || !text.bytes().all(is_token_byte) {
            return Err(ValueError(format!("`{text}` is not a method")));
        }
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Err(ValueError(format!(
                "methods are case-sensitive: write `{}`",
                text.to_ascii_uppercase()
            )));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whose requests a route wants, in lower case and without port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    Exact(String),
    /// `*.example.com`, held as `example.com`: one or more labels before it.
    Suffix(String),
}

impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => out.write_str(host),
            Self::Suffix(suffix) => write!(out, "*.{suffix}"),
        }
    }
}

/// What a route wants of the normalised path.
#[derive(Debug, Clone)]
pub enum PathPattern {
    Exact(String),
    /// By whole segments: `/a` matches `/a` and `/a/b`, never `/ab`. Held without a trailing
    /// slash; the root is the empty string.
    Prefix(String),
    /// Anchored at both ends already: it matches the whole path or nothing.
    Regex(regex::Regex),
}

/// An HTTP status from 200 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(u16);

impl Status {
    pub fn parse(code: u16) -> Result<Self, ValueError> {
        if (200..=599).contains(&code) {
            Ok(Self(code))
        } else {
            Err(ValueError(format!("{code} is not a status between 200 and 599")))
        }
    }

    pub fn code(self) -> u16 {
        self.0
    }
}

/// A share from 0 % to 100 %, in parts of a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    pub const ALL: Self = Self(1_000_000);

    pub fn from_millionths(parts: u32) -> Result<Self, ValueError> {
        if parts <= Self::ALL.0 {
            Ok(Self(parts))
        } else {
            Err(ValueError("a share is at most 100%".to_owned()))
        }
    }

    pub fn millionths(self) -> u32 {
        self.0
    }
}
