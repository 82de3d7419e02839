//! The origin of a page: scheme, host and port, as browsers write them.
//!
//! It knows nothing of who may do what.

use std::fmt;
use std::num::NonZeroU16;

use crate::raw::addresses::host_pattern;
use crate::values::{HostPattern, ValueError};

/// An origin, or all whose host is below one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginPattern {
    /// In lower case, without the port that its scheme has anyway.
    Exact(String),
    /// `https://*.shop.example:8443`: `before` is `https://`, `after` is `.shop.example:8443`. One
    /// or more labels stand between them.
    Below { before: String, after: String },
}

impl OriginPattern {
    pub(super) fn parse(text: &str) -> Result<Self, ValueError> {
        let wrong =
            |why: &str| Err(ValueError(format!("`{text}` is not the origin of a page: {why}")));
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "null" => wrong("any page can have the origin `null`"),
                "" => wrong("write `https://shop.example`"),
                _ => wrong(&format!("write `https://{text}`")),
            };
        };
        let scheme = scheme.to_ascii_lowercase();
        if !is_scheme(&scheme) {
            return wrong("write `https` or `http` before `://`");
        }
        if let Some(end) = rest.find(['/', '?', '#']) {
            let cure = format!("write `{scheme}://{}`, without a path", &rest[..end]);
            return wrong(&cure);
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        if !host.is_ascii() {
            return wrong("write the name in its ASCII form (`xn--`), as browsers send it");
        }
        let Ok(pattern) = host_pattern(host) else {
            return wrong("a host is a name like `shop.example`, or `*.shop.example`");
        };
        let port = match port.map(|port| port_number(port).map(NonZeroU16::get)) {
            None => None,
            Some(None) => return wrong("a port is a number from 1 to 65535"),
            Some(Some(80)) if scheme == "http" => None,
            Some(Some(443)) if scheme == "https" => None,
            Some(port) => port,
        };
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        Ok(match pattern {
            HostPattern::Exact(host) => Self::Exact(format!("{scheme}://{host}{port}")),
            HostPattern::Suffix(suffix) => {
                Self::Below { before: format!("{scheme}://"), after: format!(".{suffix}{port}") }
            }
        })
    }

    /// Of the value of `origin`, as it was sent.
    pub fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Exact(known) => origin == known,
            Self::Below { before, after } => {
                let between =
                    origin.strip_prefix(&**before).and_then(|rest| rest.strip_suffix(&**after));
                between.is_some_and(|labels| labels.split('.').all(is_label))
            }
        }
    }
}

/// As it is written in the configuration.
impl fmt::Display for OriginPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(origin) => out.write_str(origin),
            Self::Below { before, after } => write!(out, "{before}*{after}"),
        }
    }
}

/// RFC 3986, section 3.1, in lower case.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|one: char| one.is_ascii_lowercase())
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)
        })
}

/// Leading zeros and signs are other texts than browsers write.
fn port_number(text: &str) -> Option<NonZeroU16> {
    text.parse::<NonZeroU16>().ok().filter(|port| port.to_string() == text)
}

/// A part of a host name as browsers send it.
fn is_label(text: &str) -> bool {
    let good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    !text.is_empty() && text.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        for (text, expected) in [
            ("https://shop.example", Ok("https://shop.example")),
            ("HTTPS://Shop.Example", Ok("https://shop.example")),
            ("https://shop.example:443", Ok("https://shop.example")),
            ("http://shop.example:80", Ok("http://shop.example")),
            ("http://shop.example:443", Ok("http://shop.example:443")),
            ("http://localhost:3000", Ok("http://localhost:3000")),
            ("http://127.0.0.1:3000", Ok("http://127.0.0.1:3000")),
            ("http://[::1]:3000", Ok("http://[::1]:3000")),
            ("http://[0:0::1]", Ok("http://[::1]")),
            ("https://*.shop.example", Ok("https://*.shop.example")),
            ("https://*.shop.example:443", Ok("https://*.shop.example")),
            ("https://*.shop.example:8443", Ok("https://*.shop.example:8443")),
            ("capacitor://localhost", Ok("capacitor://localhost")),
            ("shop.example", Err("write `https://shop.example`")),
            ("*.shop.example", Err("write `https://*.shop.example`")),
            ("", Err("write `https://shop.example`")),
            ("null", Err("any page")),
            ("https://shop.example/", Err("write `https://shop.example`, without a path")),
            ("https://shop.example/a?b", Err("write `https://shop.example`, without a path")),
            ("https://a.*.example", Err("a host is a name")),
            ("https://*shop.example", Err("a host is a name")),
            ("https://*", Err("a host is a name")),
            ("https://", Err("a host is a name")),
            ("https://b\u{fc}cher.example", Err("`xn--`")),
            ("https://user@shop.example", Err("a host is a name")),
            ("*://shop.example", Err("`https` or `http`")),
            ("://shop.example", Err("`https` or `http`")),
            ("https://shop.example:", Err("a port is a number")),
            ("https://shop.example:0", Err("a port is a number")),
            ("https://shop.example:0443", Err("a port is a number")),
            ("https://shop.example:*", Err("a port is a number")),
            ("https://shop.example:65536", Err("a port is a number")),
        ] {
            match (OriginPattern::parse(text), expected) {
                (Ok(origin), Ok(expected)) => assert_eq!(origin.to_string(), expected, "{text}"),
                (Err(error), Err(cure)) => assert!(error.0.contains(cure), "{text}: {error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_a_pattern_matches() {
        for (pattern, origin, expected) in [
            ("https://shop.example", "https://shop.example", true),
            ("https://shop.example", "http://shop.example", false),
            ("https://shop.example", "https://shop.example:8443", false),
            ("https://shop.example", "https://shop.example.evil.test", false),
            ("https://shop.example", "https://a.shop.example", false),
            ("https://*.shop.example", "https://a.shop.example", true),
            ("https://*.shop.example", "https://a.b.shop.example", true),
            ("https://*.shop.example", "https://shop.example", false),
            ("https://*.shop.example", "https://.shop.example", false),
            ("https://*.shop.example", "https://a..shop.example", false),
            ("https://*.shop.example", "https://evilshop.example", false),
            ("https://*.shop.example", "https://a.shop.example:8443", false),
            ("https://*.shop.example", "https://evil.test/.shop.example", false),
            ("https://*.shop.example", "https://evil.test?.shop.example", false),
            ("https://*.shop.example", "https://evil.test#.shop.example", false),
            ("https://*.shop.example", "https://evil.test:1.shop.example", false),
            ("https://*.shop.example", "https://u@a.shop.example", false),
            ("https://*.shop.example", "http://a.shop.example", false),
            ("https://*.shop.example", "null", false),
            ("https://*.shop.example:8443", "https://a.shop.example:8443", true),
            ("https://*.shop.example:8443", "https://a.shop.example", false),
        ] {
            let found = OriginPattern::parse(pattern).unwrap().matches(origin);
            assert_eq!(found, expected, "{pattern} {origin}");
        }
    }
}
