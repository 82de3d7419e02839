//! gRPC-Web, the form of gRPC for browsers, on its way to a service that speaks gRPC.
//!
//! After <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>. This file knows heads;
//! the bodies are in [`filter`](crate::relay::filter::grpc_web).

use smallvec::SmallVec;

use super::grpc::{is_grpc, suffix_behind};
use crate::message::{Fields, Known};

const BINARY: &[u8] = b"application/grpc-web";
const TEXT: &[u8] = b"application/grpc-web-text";

/// How a call of gRPC-Web is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Web {
    /// Its messages are in base64.
    pub text: bool,
    /// Those of its response will be.
    pub text_back: bool,
}

impl Web {
    /// How the call is written, if the head says that it is one.
    pub fn of(fields: Fields<'_>) -> Option<Self> {
        let text = is_text(fields.known(Known::ContentType)?)?;
        let text_back = fields.first("accept").and_then(is_text).unwrap_or(text);
        Some(Self { text, text_back })
    }

    /// The content type of an answer that the proxy gives.
    pub fn content_type(self) -> &'static [u8] {
        if self.text_back {
            b"application/grpc-web-text+proto"
        } else {
            b"application/grpc-web+proto"
        }
    }
}

/// Whether a content type is gRPC-Web's, and if so, the one in base64.
fn is_text(content_type: &[u8]) -> Option<bool> {
    if suffix_behind(BINARY, content_type).is_some() {
        return Some(false);
    }
    suffix_behind(TEXT, content_type).map(|_| true)
}

/// The content type that the service is to see.
pub fn to_service(content_type: &[u8]) -> SmallVec<[&[u8]; 2]> {
    let suffix = suffix_behind(TEXT, content_type).or_else(|| suffix_behind(BINARY, content_type));
    SmallVec::from_slice(&[&b"application/grpc"[..], suffix.unwrap_or_default()])
}

/// The content type that the client is to see, where the service answered with gRPC.
pub fn to_client(web: Web, content_type: &[u8]) -> Option<SmallVec<[&[u8]; 2]>> {
    let suffix = suffix_behind(b"application/grpc", content_type).filter(|_| is_grpc(content_type));
    let suffix = suffix.map(|it| if it.is_empty() { &b"+proto"[..] } else { it })?;
    Some(SmallVec::from_slice(&[if web.text_back { TEXT } else { BINARY }, suffix]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_change_and_keep_the_format_of_messages() {
        for (text, there) in [
            ("application/grpc-web", "application/grpc"),
            ("application/grpc-web+proto", "application/grpc+proto"),
            ("application/grpc-web-text", "application/grpc"),
            ("application/grpc-web-text+thrift", "application/grpc+thrift"),
        ] {
            assert_eq!(to_service(text.as_bytes()).concat(), there.as_bytes());
        }
        let (binary, text) =
            (Web { text: false, text_back: false }, Web { text: true, text_back: true });
        for (web, said, back) in [
            (binary, "application/grpc", Some("application/grpc-web+proto")),
            (binary, "application/grpc+json", Some("application/grpc-web+json")),
            (text, "application/grpc+proto", Some("application/grpc-web-text+proto")),
            (text, "text/html", None),
        ] {
            let found = to_client(web, said.as_bytes()).map(|pieces| pieces.concat());
            assert_eq!(found.as_deref(), back.map(str::as_bytes), "{said}");
        }
    }

    #[test]
    fn text_and_binary_are_distinguished() {
        assert_eq!(is_text(b"application/grpc-web-text+proto"), Some(true));
        assert_eq!(is_text(b"application/grpc-web+proto"), Some(false));
        assert_eq!(is_text(b"application/grpc"), None);
        assert_eq!(is_text(b"application/grpc-webby"), None);
    }
}
