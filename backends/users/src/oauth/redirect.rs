//! Redirect URIs: which may be registered, which request matches one, and what is sent there.
//!
//! A request's address is compared as text with the registered ones (RFC 9700, section 2.1). The
//! one freedom is the port of an address on the user's own machine, which a native application
//! learns only when it starts (RFC 8252, section 7.3).

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but the unreserved characters (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const MAX_LENGTH: usize = 512;
/// A name would be whatever the machine's resolver says.
const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// Where a client's users may be sent back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a redirect URI is https://HOST/PATH, or http://HOST/PATH with 127.0.0.1, [::1] or localhost \
     for host, without fragment, user and unusual characters"
)]
pub struct RedirectUriError;

impl RedirectUri {
    /// Whether users may be sent to `requested`.
    pub(crate) fn matches(&self, requested: &str) -> bool {
        self.0 == requested
            || without_loopback_port(&self.0)
                .is_some_and(|parts| without_loopback_port(requested) == Some(parts))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RedirectUri {
    type Err = RedirectUriError;

    fn from_str(text: &str) -> Result<Self, RedirectUriError> {
        // The excluded ones separate words in a list, in a Content-Security-Policy or in HTML, or
        // are read as something else by some browser.
        let is_usual = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>\\^`{|}*,;#@".contains(&byte);
        let well_formed = text.len() <= MAX_LENGTH
            && text.bytes().all(is_usual)
            && origin(text).is_some_and(|(scheme, host, port)| {
                let port = port.is_none_or(is_port);
                port && match scheme {
                    "https" => host == "[::1]" || is_host(host),
                    _ => matches!(host, "127.0.0.1" | "[::1]" | "localhost"),
                }
            });
        well_formed.then(|| Self(text.to_owned())).ok_or(RedirectUriError)
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The address with parameters added to its query.
pub(crate) fn with_parameters(uri: &str, parameters: &[(&str, &str)]) -> String {
    let mut uri = uri.to_owned();
    for (name, value) in parameters {
        uri.push(if uri.contains('?') { '&' } else { '?' });
        uri.push_str(name);
        uri.push('=');
        uri.extend(utf8_percent_encode(value, ENCODED));
    }
    uri
}

/// The address's origin as a source of a Content-Security-Policy: browsers hold the answer to a
/// form to its `form-action` too. The policy's grammar has no addresses in brackets.
pub(crate) fn policy_source(uri: &str) -> &str {
    match origin(uri) {
        Some((_, host, _)) if !host.starts_with('[') => {
            let path = uri.find("://").map_or(0, |at| at + 3);
            &uri[..path + uri[path..].find('/').unwrap_or(0)]
        }
        _ => "http:",
    }
}

/// An address on this machine in two parts, its port left out; `None` for any other.
fn without_loopback_port(uri: &str) -> Option<(&str, &str)> {
    LOOPBACK.iter().find_map(|origin| {
        let rest = uri.strip_prefix(origin)?;
        let Some(after) = rest.strip_prefix(':') else { return Some((*origin, rest)) };
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (port, path) = after.split_at(end);
        is_port(port).then_some((*origin, path))
    })
}

/// Scheme, host and port of an address that has a path.
fn origin(uri: &str) -> Option<(&str, &str, Option<&str>)> {
    let (scheme, rest) = uri.split_once("://")?;
    let authority = &rest[..rest.find('/')?];
    if !matches!(scheme, "http" | "https") || authority.contains('?') {
        return None;
    }
    let bracket = authority.find(']').unwrap_or(0);
    match authority[bracket..].find(':') {
        Some(at) => {
            let (host, port) = authority.split_at(bracket + at);
            Some((scheme, host, Some(&port[1..])))
        }
        None => Some((scheme, authority, None)),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && !text.starts_with('0')
        && text.parse::<u16>().is_ok()
}

fn is_host(text: &str) -> bool {
    text.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_mean_one_thing_are_registered() {
        let check = |text: &str, good| {
            assert_eq!(text.parse::<RedirectUri>().is_ok(), good, "{text}");
        };
        check("https://web.shop/callback", true);
        check("https://web.shop:8443/a/b?tenant=1", true);
        check("http://127.0.0.1/callback", true);
        check("http://127.0.0.1:5000/callback", true);
        check("http://[::1]/callback", true);
        check("http://localhost:3000/callback", true);
        check("http://web.shop/callback", false);
        check("http://127.0.0.1.evil.shop/callback", false);
        check("https://web.shop", false);
        check("https:///callback", false);
        check("https://web.shop?/callback", false);
        check("https://ada@web.shop/callback", false);
        check("https://web.shop/callback#part", false);
        check("https://*.shop/callback", false);
        check("https://web.shop:0/callback", false);
        check("https://web.shop:65536/callback", false);
        check("https://web.shop:/callback", false);
        check("https://web..shop/callback", false);
        check("https://wéb.shop/callback", false);
        check("https://web.shop/call back", false);
        check("https://web.shop/;script", false);
        check("https://web.shop\\/callback", false);
        check("javascript:alert(1)//", false);
        check("data:text/html,1", false);
        check("/callback", false);
        check("", false);
        check(&format!("https://web.shop/{}", "a".repeat(512)), false);
    }

    #[test]
    fn a_request_matches_exactly_except_for_a_loopback_port() {
        let check = |registered: &str, requested: &str, expected| {
            let registered: RedirectUri = registered.parse().unwrap();
            assert_eq!(registered.matches(requested), expected, "{registered} {requested}");
        };
        let web = "https://web.shop/callback";
        check(web, web, true);
        check(web, "https://web.shop:443/callback", false);
        check(web, "https://web.shop/callback/", false);
        check(web, "https://web.shop/callback?", false);
        check(web, "https://WEB.shop/callback", false);
        let local = "http://127.0.0.1/callback";
        check(local, "http://127.0.0.1:1/callback", true);
        check(local, "http://127.0.0.1:65535/callback", true);
        check("http://127.0.0.1:5000/callback", "http://127.0.0.1:6000/callback", true);
        check("http://[::1]/callback", "http://[::1]:5000/callback", true);
        check(local, "http://[::1]:5000/callback", false);
        check(local, "http://127.0.0.1:/callback", false);
        check(local, "http://127.0.0.1:0/callback", false);
        check(local, "http://127.0.0.1:00080/callback", false);
        check(local, "http://127.0.0.1:65536/callback", false);
        check(local, "http://127.0.0.1:80@evil.shop/callback", false);
        check(local, "http://127.0.0.1@evil.shop/callback", false);
        check(local, "http://127.0.0.1.evil.shop/callback", false);
        check(local, "https://127.0.0.1:5000/callback", false);
        check("http://localhost/callback", "http://localhost:5000/callback", false);
    }

    #[test]
    fn parameters_are_added_and_cannot_break_out() {
        let check = |uri, expected: &str| {
            assert_eq!(with_parameters(uri, &[("code", "a-b"), ("state", "&x=#\r\nä")]), expected);
        };
        check("https://a.b/c", "https://a.b/c?code=a-b&state=%26x%3D%23%0D%0A%C3%A4");
        check("https://a.b/c?d=1", "https://a.b/c?d=1&code=a-b&state=%26x%3D%23%0D%0A%C3%A4");
    }

    #[test]
    fn the_policy_names_the_origin() {
        let check = |uri, expected| assert_eq!(policy_source(uri), expected, "{uri}");
        check("https://web.shop/callback", "https://web.shop");
        check("http://127.0.0.1:5000/a/b", "http://127.0.0.1:5000");
        check("http://[::1]:5000/a", "http:");
    }
}
