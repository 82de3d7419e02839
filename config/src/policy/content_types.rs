//! Which media types the body of a request may have.
//!
//! It knows media types, and not whether a request has a body.

use std::fmt;

use serde_json::{Value, json};

use super::{Policy, bounded};
use crate::diagnostics::{Diagnostic, Report};
use crate::location::Location;
use crate::raw::shape::{List, object, scalar};
use crate::suggest::foreign::{Cure, Entry};
use crate::values::{HeaderName, ValueError};

/// Entries of one list.
const MOST: usize = 100;

/// What a request's body may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentTypes {
    /// Never empty.
    pub allow: Vec<MediaRange>,
}

impl ContentTypes {
    /// Of the whole value of `content-type`; parameters and case do not count.
    pub fn allows(&self, content_type: &str) -> bool {
        let end = content_type.find(';').unwrap_or(content_type.len());
        let media_type = content_type[..end].trim_matches([' ', '\t']);
        // A list is of several, of which readers could take another than this one.
        if content_type.contains(',') {
            return false;
        }
        self.allow.iter().any(|one| one.matches(media_type))
    }
}

/// Media types, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaRange {
    /// `application/json`.
    Exact(String),
    /// `application/*`, held as `application`.
    Type(String),
}

impl MediaRange {
    fn parse(text: &str) -> Result<Self, ValueError> {
        let wrong = |cure: &str| Err(ValueError(format!("`{text}` is not a media type: {cure}")));
        let Some((kind, subtype)) = text.split_once('/') else {
            return wrong("write `application/json`, or `application/*`");
        };
        if let Some((media_type, _)) = text.split_once(';') {
            return wrong(&format!("write `{}`: parameters do not count", media_type.trim()));
        }
        if kind == "*" {
            return wrong("list the types, or write `disabled` to take any");
        }
        // What a name of a header is made of, a media type is made of too.
        let is_token = |text: &str| HeaderName::parse(text).is_ok();
        if !is_token(kind) || kind.contains('*') || !is_token(subtype) {
            return wrong("write `application/json`, or `application/*`");
        }
        if subtype == "*" {
            return Ok(Self::Type(kind.to_ascii_lowercase()));
        }
        if subtype.contains('*') {
            return wrong("a `*` stands for a whole subtype; list each of these");
        }
        Ok(Self::Exact(text.to_ascii_lowercase()))
    }

    /// Of a media type without parameters, in any case.
    pub fn matches(&self, media_type: &str) -> bool {
        match self {
            Self::Exact(known) => media_type.eq_ignore_ascii_case(known),
            Self::Type(known) => media_type.split_once('/').is_some_and(|(kind, subtype)| {
                let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
                !subtype.is_empty()
                    && subtype.bytes().all(token)
                    && kind.eq_ignore_ascii_case(known)
            }),
        }
    }

    /// Whether everything that `other` matches is matched too.
    fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Exact(media_type) => self.matches(media_type),
            Self::Type(_) => self == other,
        }
    }
}

/// As it is written in the configuration.
impl fmt::Display for MediaRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(media_type) => out.write_str(media_type),
            Self::Type(kind) => write!(out, "{kind}/*"),
        }
    }
}

object! {
    /// What the body of a request may be; another is answered with 415.
    ContentTypesKeys, "`contentTypes`" {
        /// Media types without parameters: `application/json`, or `application/*` for all of a kind.
        allow: required List<MediaRangeText> = "allow",
    }
}

scalar! {
    /// A media type without parameters, `application/json`, or all of a kind, `application/*`.
    MediaRangeText: MediaRange = |node, reader| {
        let text = reader.text(node, "a media type like `application/json`")?;
        reader.accept(node, MediaRange::parse(text))
    }, {
        "type": "string", "title": "media type", "pattern": "^[^*/; ]+/([*]|[^*/; ]+)$",
        "examples": ["application/json", "image/*"]
    }
}

impl Policy for ContentTypes {
    type Keys = ContentTypesKeys;

    #[rustfmt::skip]
    const FOREIGN: &'static [Entry] = &[
        ("a route", &["contentType", "allowedContentTypes", "mediaTypes", "mimeTypes", "consumes", "accepts"], Cure::Key("routes.contentTypes", "`contentTypes: {allow: [application/json]}`")),
        ("`contentTypes`", &["allowed", "types", "mediaTypes", "mimeTypes", "consumes"], Cure::Key("routes.contentTypes.allow", "`allow: [application/json]`")),
        ("`contentTypes`", &["deny", "denied", "except"], Cure::Elsewhere("what is not listed in `allow` is refused")),
    ];

    #[cfg(test)]
    const LEAST: &'static str = r#"{"allow": ["application/json"]}"#;

    fn lower(keys: &ContentTypesKeys, _: &Location, report: &mut Report) -> Option<Self> {
        let listed = keys.allow.as_ref()?;
        if listed.value.is_empty() {
            report.push(
                Diagnostic::error(listed.location.clone(), "`allow` lists no media type")
                    .help("`[application/json]`, or write `contentTypes: disabled` to take any"),
            );
            return None;
        }
        bounded(listed, MOST, report)?;
        for (index, one) in listed.value.iter().enumerate() {
            let mut others = listed.value.iter().enumerate().filter(|(other, _)| *other != index);
            // Of two that are the same, the second one is too much.
            let wider = others.find(|(at, other)| {
                other.value.covers(&one.value) && (*at < index || other.value != one.value)
            });
            if let Some((_, wider)) = wider {
                report.push(
                    Diagnostic::warning(one.location.clone(), "this media type is allowed already")
                        .related(wider.location.clone(), "it is allowed here"),
                );
            }
        }
        Some(Self { allow: listed.value.iter().map(|one| one.value.clone()).collect() })
    }

    fn show(&self) -> Value {
        json!({"allow": self.allow.iter().map(ToString::to_string).collect::<Vec<_>>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_read_strictly() {
        for (text, expected) in [
            ("application/json", Ok("application/json")),
            ("Application/JSON", Ok("application/json")),
            ("application/*", Ok("application/*")),
            ("application/vnd.shop.v1+json", Ok("application/vnd.shop.v1+json")),
            ("*/*", Err("`disabled`")),
            ("*/json", Err("`disabled`")),
            ("*", Err("write `application/json`")),
            ("json", Err("write `application/json`")),
            ("", Err("write `application/json`")),
            ("application/", Err("write `application/json`")),
            ("/json", Err("write `application/json`")),
            ("app*/json", Err("write `application/json`")),
            ("application/a/b", Err("write `application/json`")),
            ("application/ json", Err("write `application/json`")),
            ("application/*+json", Err("a whole subtype")),
            ("text/plain; charset=utf-8", Err("write `text/plain`")),
        ] {
            match (MediaRange::parse(text), expected) {
                (Ok(range), Ok(expected)) => assert_eq!(range.to_string(), expected, "{text}"),
                (Err(error), Err(cure)) => assert!(error.0.contains(cure), "{text}: {error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_is_allowed() {
        let allow = ["application/json", "image/*"].map(|text| MediaRange::parse(text).unwrap());
        let types = ContentTypes { allow: allow.into() };
        for (content_type, expected) in [
            ("application/json", true),
            ("APPLICATION/JSON", true),
            ("application/json; charset=utf-8", true),
            ("application/json ;charset=utf-8", true),
            ("application/json;", true),
            ("image/png", true),
            ("image/svg+xml;a=b", true),
            ("image/", false),
            ("image", false),
            ("images/png", false),
            ("application/jsonp", false),
            ("application/xml", false),
            ("text/plain;application/json", false),
            ("", false),
            (";", false),
            ("multipart/form-data; boundary=image/png", false),
        ] {
            assert_eq!(types.allows(content_type), expected, "{content_type}");
        }
    }
}
