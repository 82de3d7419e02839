//! What a client says in `authorization` (RFC 7617, section 2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of what is decoded: no user and no password is half as long.
const MAX: usize = 1024;

/// A user and a password, as the client wrote them.
#[derive(Clone)]
pub(super) struct Credentials {
    text: String,
    /// Where the colon stands.
    colon: usize,
}

impl Credentials {
    /// `Basic`, one space or more, and the base64 of `user:password` in UTF-8. `None` for all else:
    /// another scheme, another encoding, no colon, a control byte, or more than 1 KiB.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let (scheme, rest) = line.split_at_checked(b"basic ".len())?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let encoded = rest.trim_ascii();
        if encoded.len() > MAX.div_ceil(3) * 4 {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let colon = text.find(':')?;
        let is_text = colon > 0 && !text.chars().any(char::is_control);
        is_text.then_some(Self { text, colon })
    }

    pub(super) fn user(&self) -> &str {
        &self.text[..self.colon]
    }

    pub(super) fn password(&self) -> &[u8] {
        &self.text.as_bytes()[self.colon + 1..]
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_is_read_and_no_other() {
        for (line, expected) in [
            ("Basic YWRhOnNlY3JldA==", Some(("ada", "secret"))),
            ("basic   YWRhOnNlY3JldA==", Some(("ada", "secret"))),
            ("BASIC YWRhOg==", Some(("ada", ""))),
            ("Basic YWRhOmE6Yg==", Some(("ada", "a:b"))),
            ("Basic esO8ZTpwYcOf", Some(("züe", "paß"))),
            ("Basic OnNlY3JldA==", None),
            ("Basic YWRh", None),
            ("Basic YWRhOnNlY3JldA", None),
            ("Basic YWRhOnNlY3Jl\u{9}dA==", None),
            ("Basic YWQKYTpi", None),
            ("Basic /zph", None),
            ("Bearer YWRhOnNlY3JldA==", None),
            ("Basic", None),
            ("BasicYWRhOnNlY3JldA==", None),
            ("", None),
        ] {
            let read = Credentials::parse(line.as_bytes());
            let read =
                read.as_ref().map(|it| (it.user(), std::str::from_utf8(it.password()).unwrap()));
            assert_eq!(read, expected, "{line}");
        }
        let long = format!("Basic {}", STANDARD.encode("a:".repeat(MAX)));
        assert!(Credentials::parse(long.as_bytes()).is_none());
    }
}
