//! Extended CONNECT (RFC 8441): a WebSocket on a stream, in the form of a request that HTTP/1
//! would upgrade.

use h2::ext::Protocol;
use http::{Method, request};

use crate::cause::Rule;

/// Makes a CONNECT for a WebSocket the GET that it is in HTTP/1; says whether it was one. Any
/// other CONNECT stays as it is, to be refused.
pub fn as_get(head: &mut request::Parts) -> Result<bool, Rule> {
    if head.method != Method::CONNECT {
        return Ok(false);
    }
    match head.extensions.get::<Protocol>().map(Protocol::as_str) {
        None => Ok(false),
        Some("websocket") => {
            head.method = Method::GET;
            // They have no place there: the key for the upstream is our own.
            head.headers.remove("sec-websocket-key");
            head.headers.remove("sec-websocket-accept");
            Ok(true)
        }
        Some(_) => Err(Rule::ConnectProtocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, protocol: Option<&'static str>, expected: Result<bool, Rule>) {
        let mut request = http::Request::builder()
            .method(method)
            .uri("http://a/live")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        if let Some(protocol) = protocol {
            request = request.extension(Protocol::from_static(protocol));
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let kept = head.method.clone();
        assert_eq!(as_get(&mut head), expected);
        let asked = expected == Ok(true);
        assert_eq!(head.method, if asked { Method::GET } else { kept });
        assert_eq!(head.headers.is_empty(), asked);
    }

    #[test]
    fn a_connect_for_a_websocket_is_a_get() {
        check(Method::CONNECT, Some("websocket"), Ok(true));
        check(Method::CONNECT, Some("connect-udp"), Err(Rule::ConnectProtocol));
        check(Method::CONNECT, None, Ok(false));
        check(Method::GET, None, Ok(false));
    }
}
