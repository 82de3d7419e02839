//! Names, header fields, paths, expressions and texts with references.

use regex::{Regex, RegexBuilder};

use super::addresses::host;
use super::shape::{Reader, choice, scalar};
use crate::diagnostics::Diagnostic;
use crate::model::{HostHandling, Scheme, TlsVersion};
use crate::secrets::{ReferenceError, resolve};
use crate::text::Template;
use crate::tree::Node;
use crate::values::{HeaderName, MethodName, ValueError};

/// Bytes of a compiled expression.
const REGEX_BYTES: usize = 1024 * 1024;

choice! {
    /// The version of the format.
    Version: () { "v1" => (), }
}

choice! {
    /// A version of TLS.
    TlsVersionText: TlsVersion { "TLSv1.2" => TlsVersion::V12, "TLSv1.3" => TlsVersion::V13, }
}

choice! {
    /// The scheme of a URL.
    SchemeText: Scheme { "http" => Scheme::Http, "https" => Scheme::Https, }
}

scalar! {
    /// A name: letters, digits, `-`, `_` and `.`, at most 100 of them.
    Name: String = |node, reader| {
        let text = reader.text(node, "a name")?;
        reader.accept(node, name(text))
    }, {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"}
}

scalar! {
    /// A text that is not empty.
    Text: String = |node, reader| {
        let text = reader.text(node, "a text")?;
        if text.is_empty() {
            reader.error(&node.location, "the text is empty");
            return None;
        }
        Some(text.to_owned())
    }, {"type": ["string", "number", "boolean"], "minLength": 1}
}

scalar! {
    /// The name of a header field.
    HeaderNameText: HeaderName = |node, reader| {
        let text = reader.text(node, "the name of a header")?;
        reader.accept(node, HeaderName::parse(text))
    }, {"type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}
}

scalar! {
    /// The name of a header field that may be edited: none that frames or routes the message.
    EditedHeader: HeaderName = edited_header,
    {"type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}
}

scalar! {
    /// The name of a header field that may be recorded: none that carries secrets.
    RecordedHeader: HeaderName = |node, reader| {
        let text = reader.text(node, "the name of a header")?;
        let name = reader.accept(node, HeaderName::parse(text))?;
        if matches!(
            name.as_str(),
            "authorization" | "proxy-authorization" | "cookie" | "set-cookie" | "x-api-key"
        ) {
            reader.error(&node.location, format!("`{text}` carries secrets: it is never recorded"));
            return None;
        }
        Some(name)
    }, {"type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}
}

scalar! {
    /// A request method, in capitals.
    Method: MethodName = |node, reader| {
        let text = reader.text(node, "a method")?;
        reader.accept(node, MethodName::parse(text))
    }, {"type": "string", "examples": ["GET", "POST"]}
}

scalar! {
    /// The name of a cookie.
    CookieName: String = |node, reader| {
        let text = reader.text(node, "the name of a cookie")?;
        // A cookie's name is a token like a header's, but its case counts.
        match HeaderName::parse(text) {
            Ok(_) => Some(text.to_owned()),
            Err(_) => {
                reader.error(&node.location, format!("`{text}` is not the name of a cookie"));
                None
            }
        }
    }, {"type": "string", "minLength": 1}
}

scalar! {
    /// A path: starts with `/`, without query, dot segments and doubled slashes.
    PathText: String = |node, reader| {
        let text = reader.text(node, "a path")?;
        reader.accept(node, path(text))
    }, {"type": "string", "pattern": "^/"}
}

scalar! {
    /// A regular expression that must match the whole.
    WholeRegex: Regex = |node, reader| {
        let text = reader.text(node, "a regular expression")?;
        let parsed = regex(text).and_then(|_| regex(&format!(r"\A(?:{text})\z")));
        reader.accept(node, parsed)
    }, {"type": "string", "format": "regex"}
}

scalar! {
    /// A regular expression that may match a part.
    PartRegex: Regex = |node, reader| {
        let text = reader.text(node, "a regular expression")?;
        reader.accept(node, regex(text))
    }, {"type": "string", "format": "regex"}
}

scalar! {
    /// What stands instead; `$1` and `${name}` stand for groups of the expression.
    Replacement: String = |node, reader| {
        reader.text(node, "a replacement").map(str::to_owned)
    }, {"type": "string"}
}

scalar! {
    /// `preserve` keeps the client's Host, `upstream` sends the endpoint's own; else a host name.
    HostHandlingText: HostHandling = |node, reader| {
        let text = reader.text(node, "`preserve`, `upstream` or a host name")?;
        match text {
            "preserve" => Some(HostHandling::Preserve),
            "upstream" => Some(HostHandling::Upstream),
            _ => {
                let port = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
                let parsed = match port {
                    Some((name, port)) if !name.contains(':') || name.starts_with('[') => {
                        host(name).map(|name| format!("{name}:{port}"))
                    }
                    _ => host(text),
                };
                reader.accept(node, parsed).map(HostHandling::Set)
            }
        }
    }, {"type": "string", "examples": ["preserve", "upstream", "users.internal"]}
}

scalar! {
    /// A media type, `text/plain`.
    MediaType: String = |node, reader| {
        let text = reader.text(node, "a media type")?;
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !printable || !text.contains('/') || text.trim() != text {
            reader.error(&node.location, format!("`{text}` is not a media type"));
            return None;
        }
        Some(text.to_owned())
    }, {"type": "string", "examples": ["text/plain", "application/json"]}
}

scalar! {
    /// A text; `${env:NAME}` and `${file:path}` are resolved, `$${` stands for `${`.
    TemplateText: Template = template, {"type": ["string", "number", "boolean"]}
}

scalar! {
    /// A header's value; `${env:NAME}` and `${file:path}` are resolved, `$${` stands for `${`.
    HeaderValue: Template = |node, reader| {
        let template = template(node, reader)?;
        let value = template.expose();
        let printable = value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
        if !printable || value.trim() != value {
            let message = "a header's value holds no control characters and no space at its ends";
            reader.error(&node.location, message);
            return None;
        }
        Some(template)
    }, {"type": ["string", "number", "boolean"]}
}

scalar! {
    /// A secret: a reference, `${env:NAME}` or `${file:path}`, never the secret itself.
    Token: Template = |node, reader| {
        let template = template(node, reader)?;
        if template.source() == template.expose() {
            reader.report.push(
                Diagnostic::error(node.location.clone(), "a secret does not stand in the file")
                    .help("refer to it: `${env:NAME}` or `${file:path}`"),
            );
            return None;
        }
        let value = template.expose();
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "the token is empty, or holds spaces or characters outside ASCII";
            reader.error(&node.location, message);
            return None;
        }
        Some(template)
    }, {"type": "string", "pattern": "[$][{](env|file):"}
}

fn template(node: &Node, reader: &mut Reader<'_>) -> Option<Template> {
    let source = reader.scalar(node, "a text")?;
    match resolve(source, reader.base, reader.secrets) {
        Ok(template) => Some(template),
        Err(error) => {
            let literal =
                matches!(error, ReferenceError::Unclosed | ReferenceError::UnknownKind(_));
            let mut wrong = Diagnostic::error(node.location.clone(), error.to_string());
            wrong.help = literal.then(|| "`$${` stands for a literal `${`".to_owned());
            reader.report.push(wrong);
            None
        }
    }
}

fn name(text: &str) -> Result<String, ValueError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts && text.len() <= 100 && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(ValueError(format!(
        "`{text}` is not a name: letters, digits, `-`, `_` and `.`, at most 100 of them"
    )))
}

fn edited_header(node: &Node, reader: &mut Reader<'_>) -> Option<HeaderName> {
    let text = reader.text(node, "the name of a header")?;
    let name = reader.accept(node, HeaderName::parse(text))?;
    let (message, help) = match name.as_str() {
        "host" => ("the Host is not edited as a header", "write `host: <name>` beside `backends`"),
        "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "upgrade"
        | "http2-settings" | "expect" => {
            ("this header belongs to one connection", "the proxy writes it itself")
        }
        "content-length" | "transfer-encoding" => {
            ("this header frames the message", "the proxy writes it itself")
        }
        _ => return Some(name),
    };
    reader.report.push(
        Diagnostic::error(
            node.location.clone(),
            format!("{message}: `{name}`", name = name.as_str()),
        )
        .help(help),
    );
    None
}

/// A path as the router sees one: resolved, merged, and nothing that it refuses.
fn path(text: &str) -> Result<String, ValueError> {
    let wrong = |why: &str| Err(ValueError(format!("`{text}` is not a path here: {why}")));
    if !text.starts_with('/') {
        return wrong("it starts with `/`");
    }
    if text.contains(['?', '#']) {
        return wrong("it ends before the query (`match.query` looks at that)");
    }
    if text.contains('{') && text.contains('}') {
        return wrong("there are no placeholders; `regex` has `[^/]+` for a segment");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte)) {
        return wrong("percent-encode what is not allowed in a URL");
    }
    if text.contains("//") || text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return wrong("requests are matched after `//`, `.` and `..` are resolved");
    }
    for (at, _) in text.match_indices('%') {
        let digits =
            text.get(at + 1..at + 3).filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if digits.is_none() {
            return wrong("`%` is followed by two hexadecimal digits");
        }
    }
    Ok(text.to_owned())
}

fn regex(text: &str) -> Result<Regex, ValueError> {
    RegexBuilder::new(text).size_limit(REGEX_BYTES).build().map_err(|error| {
        // The library's message draws the expression; its last line says what is wrong.
        let message = error.to_string();
        let reason = message.lines().last().unwrap_or_default();
        let reason = reason.trim_start_matches("error: ");
        ValueError(format!("not a regular expression: {reason}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for good in ["/", "/a", "/a/", "/a%2fb", "/a;x=1", "/~a/b.c", "/a:b@c", "/.well-known"] {
            assert!(path(good).is_ok(), "{good}");
        }
        for bad in [
            "", "a", "/a?b", "/a#b", "//", "/a//b", "/./a", "/a/..", "/a b", "/%", "/%2", "/%zz",
            "/\u{fc}", "/a\\b",
        ] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names() {
        assert!(name("orders-v2.eu_1").is_ok());
        for bad in ["", "-a", "a b", "a/b", "\u{fc}", &"a".repeat(101)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_expression_is_bounded_and_explained() {
        assert!(regex("(?:a{1000}){1000}").is_err());
        let error = regex("a(").unwrap_err().0;
        assert!(error.contains("unclosed group"), "{error}");
    }
}
