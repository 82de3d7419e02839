//! Why a message or an exchange failed, more exactly than its [`Reason`] says.
//!
//! A [`Rule`] is one entry of a closed list of static sentences; an access line shows it as `detail`.
//! Clients never see it. It knows no message: the codec names the rule, and this list says which
//! reason stands for it.

use crate::error::Reason;

/// A reason with the rule behind it, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    pub reason: Reason,
    pub rule: Option<Rule>,
}

impl From<Reason> for Cause {
    fn from(reason: Reason) -> Self {
        Self { reason, rule: None }
    }
}

macro_rules! rules {
    ($($name:ident = $reason:ident, $text:literal;)*) => {
        /// A rule that a message broke, or a mistaken setting that it shows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Rule { $($name,)* }

        impl Rule {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The sentence in the access log: plain ASCII that JSON need not escape.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What stands for it when a client breaks it, or when it can concern one side only.
            pub fn reason(self) -> Reason {
                match self { $(Self::$name => Reason::$reason,)* }
            }
        }
    };
}

rules! {
    // The request line.
    TlsToPlain = BadRequest, "a TLS handshake was sent to a listener without TLS";
    Http2ToHttp1 = BadRequest, "HTTP/2 was sent to a listener that speaks HTTP/1 alone";
    RequestLine = BadRequest, "the request line is not method, target and version with one space between";
    TargetByte = BadRequest, "the target holds a byte that must be percent-encoded";
    TargetForm = BadRequest, "the target is neither a path nor an absolute http or https URL";
    TargetHost = BadHost, "the absolute target names no valid host";
    MethodLong = MethodUnsupported, "the method is longer than any registered one";
    Connect = MethodUnsupported, "CONNECT asks for a tunnel";
    ConnectProtocol = MethodUnsupported, "an extended CONNECT asks for a protocol other than websocket";
    UriLong = UriTooLong, "the target is longer than requestLimits.uri";
    VersionForm = BadRequest, "the version is not HTTP/1.0 or HTTP/1.1";
    VersionLater = VersionUnsupported, "the version is a later HTTP/1";
    // Lines of a head or a trailer section.
    HeadBytes = HeadTooLarge, "the head has more bytes than requestLimits.headerBytes";
    HeadLines = HeadTooLarge, "the head has more lines than requestLimits.headers";
    NameEmpty = BadRequest, "a header line has no name";
    NameByte = BadRequest, "a header name holds a byte that is not allowed there";
    NameUnderscore = BadRequest, "a header name holds an underscore (headerUnderscores)";
    Colon = BadRequest, "a header line has no colon";
    SpaceBeforeColon = BadRequest, "a header line has white space before its colon";
    ObsFold = BadRequest, "a header line begins with white space (obsolete line folding)";
    BareLineFeed = BadRequest, "a line ends with LF alone";
    BareCarriageReturn = BadRequest, "a CR is inside of a line";
    ValueByte = BadRequest, "a header value holds a control byte";
    ConnectionOption = BadRequest, "Connection has more than 32 options, or one that is no token";
    // What the fields say together.
    HostMissing = BadHost, "Host is missing";
    HostRepeated = BadHost, "Host appears twice";
    HostForm = BadHost, "Host is not a name or an address with an optional port";
    Expectation = ExpectationFailed, "Expect is not 100-continue, once";
    LengthRepeated = BadRequest, "Content-Length appears twice";
    LengthForm = BadRequest, "Content-Length is not one decimal number below 2^63";
    LengthAndCoding = BadRequest, "Content-Length and Transfer-Encoding are both present";
    CodingRepeated = BadRequest, "Transfer-Encoding appears twice";
    CodingInHttp10 = BadRequest, "Transfer-Encoding is not allowed in HTTP/1.0";
    CodingForm = BadRequest, "Transfer-Encoding does not end with chunked, once";
    CodingUnknown = TransferCodingUnsupported, "Transfer-Encoding names another coding besides chunked";
    // Bodies.
    ChunkSize = BadRequest, "a chunk size is not 1 to 16 hexadecimal digits and CR LF";
    ChunkExtensions = BadRequest, "the chunk extensions are longer than 4 KiB";
    ChunkEnd = BadRequest, "a chunk does not end with CR LF behind its announced size";
    TrailerBytes = HeadTooLarge, "the trailer section is larger than 8 KiB, or than its buffer";
    TrailerLines = HeadTooLarge, "the trailer section has more than 64 lines";
    BodyLimit = BodyTooLarge, "the body is larger than requestLimits.body";
    MessageLimit = BodyTooLarge, "a gRPC message is larger than requestLimits.body";
    WebBase64 = BadRequest, "the gRPC-Web body is not base64";
    // Paths.
    PathForm = BadPath, "the path does not begin with a slash";
    PathByte = BadPath, "the path holds a backslash, a space or a control byte";
    PathEscape = BadPath, "the path holds a % without two hexadecimal digits";
    PathNul = BadPath, "the path holds %00";
    PathBackslash = BadPath, "the path holds %5C";
    PathSlash = BadPath, "the path holds %2F, which the route does not allow (allowEncodedSlash)";
    PathAboveRoot = BadPath, "the path climbs above its root";
    PathDots = BadPath, "the path holds dots that some servers read as a step";
    PathRewritten = BadPath, "the rewrite of the route makes no valid path";
    PathRewrittenLong = UriTooLong, "the rewrite of the route makes a path that is too long";
    // HTTP/2.
    SchemeMissing = BadRequest, "an HTTP/2 request has an authority and no scheme";
    ValueSpace = BadRequest, "an HTTP/2 header value begins or ends with white space";
    ConnectionField = BadRequest, "an HTTP/2 message holds a field of the connection (Connection, Transfer-Encoding, Upgrade ...)";
    TeField = BadRequest, "TE is not trailers";
    LengthWithoutBody = BadRequest, "Content-Length announces a body and the HTTP/2 stream ends without one";
    LineInjection = BadRequest, "an HTTP/2 field would end a line of HTTP/1";
    // WebSocket.
    WebSocketMethod = WebSocketHandshake, "a request for a WebSocket is not GET, or has a body";
    WebSocketKey = WebSocketHandshake, "Sec-WebSocket-Key is missing, repeated or not 16 bytes of base64";
    WebSocketVersionField = WebSocketVersion, "Sec-WebSocket-Version is not 13, once";
    WebSocketDisabled = MethodUnsupported, "the listener allows no WebSocket upgrade";
    // Routing.
    NoRouteHost = NoRoute, "the listener has no route for this host";
    NoRoutePath = NoRoute, "no route of this host has this path";
    NoRouteMethod = NoRoute, "the routes of this host and path take other methods";
    NoRouteListener = NoRoute, "only another listener has a route for this request";
    NoRouteMatch = NoRoute, "the routes of this host and path ask for other headers, query parameters or cookies";
    OtherCertificate = Misdirected, "the host belongs to another certificate or client-auth rule than the name in the TLS handshake";
    // Policies of a route.
    CorsOrigin = CorsRefused, "the origin is not in cors.allowOrigins";
    CorsMethod = CorsRefused, "the method is not in cors.allowMethods";
    CorsHeader = CorsRefused, "a header is not in cors.allowHeaders";
    AddressDenied = AddressDenied, "the client's address is in addressRules.deny";
    AddressNotAllowed = AddressDenied, "the client's address is not in addressRules.allow";
    CredentialsMissing = Unauthenticated, "Authorization is missing";
    CredentialsForm = Unauthenticated, "Authorization is not one user and password of the Basic scheme";
    CredentialsWrong = Unauthenticated, "no such user, or another password";
    ContentTypeMissing = ContentTypeUnsupported, "a request with a body has no Content-Type";
    ContentTypeRepeated = ContentTypeUnsupported, "Content-Type appears twice";
    ContentTypeOther = ContentTypeUnsupported, "the media type is not in contentTypes.allow";
    // Responses.
    StatusLine = UpstreamProtocol, "the response does not begin with an HTTP/1 status line";
    TlsFromPlain = UpstreamProtocol, "the endpoint speaks TLS and the upstream has no tls";
    Http2FromHttp1 = UpstreamProtocol, "the endpoint speaks HTTP/2 and the upstream has no protocol: http2";
    Http1FromHttp2 = UpstreamProtocol, "the endpoint speaks HTTP/1 and the upstream has protocol: http2";
    BodyForbidden = UpstreamProtocol, "a response of status 1xx or 204 announces a body";
    TooManyInterim = UpstreamProtocol, "the endpoint sent more than 16 interim responses";
    SwitchedUnasked = UpstreamProtocol, "the endpoint switched protocols for a request that did not ask for it";
    WebSocketAccept = UpstreamProtocol, "the 101 of the endpoint does not answer the WebSocket handshake (Upgrade, Connection, Sec-WebSocket-Accept)";
    WebNeedsHttp2 = UpstreamProtocol, "gRPC-Web was called and the upstream speaks HTTP/1";
    UpstreamWriteTimeout = UpstreamTimeout, "the endpoint took no more of the request body in time (timeouts.body of the listener)";
    PerTryTimeout = UpstreamTimeout, "no response head within timeouts.perTry";
    ResponseTimeout = UpstreamTimeout, "no response head within timeouts.response";
    ResponseHead = UpstreamHeadTooLarge, "the head of the response has more than 60 KiB or 256 lines";
}

impl Rule {
    /// Broken by a client.
    pub fn in_request(self) -> Cause {
        Cause { reason: self.reason(), rule: Some(self) }
    }

    /// Broken by an upstream.
    pub fn in_response(self) -> Cause {
        let reason = match self.reason() {
            Reason::HeadTooLarge | Reason::UpstreamHeadTooLarge => Reason::UpstreamHeadTooLarge,
            Reason::UpstreamTimeout => Reason::UpstreamTimeout,
            _ => Reason::UpstreamProtocol,
        };
        Cause { reason, rule: Some(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_short_sentences_that_json_need_not_escape() {
        let mut seen = std::collections::HashSet::new();
        for rule in Rule::ALL {
            let text = rule.text();
            assert!(seen.insert(text), "{text} stands twice");
            assert!(text.len() <= 120, "{text}");
            assert!(
                text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte))
            );
        }
    }

    #[test]
    fn a_rule_broken_by_an_upstream_is_not_the_clients_fault() {
        for rule in Rule::ALL {
            assert_eq!(rule.in_response().reason.fault(), crate::error::Fault::Upstream);
        }
    }
}
