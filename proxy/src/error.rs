//! Why a request did not simply pass: one closed list, and what each entry tells whom.
//!
//! A [`Reason`] is the metric label and the access log's word; its status and title are all that
//! a client learns. Addresses, names of upstreams and inner messages go to the log alone.

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    Client,
    Proxy,
    Upstream,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $status:literal, $fault:ident, $title:literal;)*) => {
        /// The reason code of a response made by the proxy, or of an exchange cut short.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word in the access log, the metric label and the problem body.
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// The status that a client is answered with; 0 where no answer can be given.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            pub fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)* }
            }

            /// The problem's title (RFC 9457): text for the client.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

reasons! {
    /// The head or the body's framing breaks RFC 9112, or could be read in two ways.
    BadRequest = "bad-request", 400, Client, "The request could not be understood";
    /// The path holds what no two servers read alike (`%2f`, `%00`, dots above the root).
    BadPath = "bad-path", 400, Client, "The path is not acceptable";
    BadHost = "bad-host", 400, Client, "The Host is missing or malformed";
    VersionUnsupported = "version-unsupported", 505, Client, "The HTTP version is not supported";
    TransferCodingUnsupported = "transfer-coding-unsupported", 501, Client, "The transfer coding is not supported";
    MethodUnsupported = "method-unsupported", 501, Client, "The method is not supported";
    UriTooLong = "uri-too-long", 414, Client, "The request target is too long";
    HeadTooLarge = "head-too-large", 431, Client, "The request head is too large";
    BodyTooLarge = "body-too-large", 413, Client, "The request body is too large";
    ExpectationFailed = "expectation-failed", 417, Client, "The expectation cannot be met";
    /// The host belongs to another certificate or client-auth rule than the SNI chose.
    Misdirected = "misdirected", 421, Client, "The request was sent to the wrong connection";
    HeadTimeout = "head-timeout", 408, Client, "The request head took too long";
    BodyTimeout = "body-timeout", 408, Client, "The request body took too long";
    /// A request for a WebSocket that breaks RFC 6455, section 4.2.1.
    WebSocketHandshake = "websocket-handshake", 400, Client, "The WebSocket handshake is not valid";
    WebSocketVersion = "websocket-version", 400, Client, "The WebSocket version is not supported";
    /// The client went away before its response was complete, or reset a tunnel.
    ClientAborted = "client-aborted", 0, Client, "The client closed the connection";
    /// The client did not read its response in time.
    ClientSlow = "client-slow", 0, Client, "The client reads too slowly";
    NoRoute = "no-route", 404, Client, "No such resource";
    Redirected = "redirect", 308, Proxy, "The resource is elsewhere";
    Replied = "reply", 200, Proxy, "Answered by the proxy";
    /// The preflight of a browser (CORS), answered with leave.
    Preflight = "preflight", 204, Proxy, "Answered by the proxy";
    /// The preflight of a browser asks for what the route's `cors` does not allow.
    CorsRefused = "cors-refused", 403, Client, "The origin may not do this";
    /// The client's address is in `addressRules.deny`, or not in `addressRules.allow`.
    AddressDenied = "address-denied", 403, Client, "The client's address is not allowed";
    Unauthenticated = "unauthenticated", 401, Client, "The credentials are missing or wrong";
    /// The credentials could not be checked in time.
    AuthUnavailable = "auth-unavailable", 503, Proxy, "The service is at its limit";
    ContentTypeUnsupported = "content-type-unsupported", 415, Client, "The media type of the body is not supported";
    /// What a client of a `tls-passthrough` listener sent first is no TLS handshake.
    ClientHelloInvalid = "client-hello-invalid", 0, Client, "The TLS handshake could not be understood";
    /// Neither side of a tunnel has sent a byte for too long.
    TunnelIdle = "tunnel-idle", 0, Client, "The connection was silent for too long";
    /// The connection has lived for as long as its listener allows.
    MaxAge = "max-age", 0, Proxy, "The connection has reached its age";
    /// The certificate that the client of a tunnel had shown was revoked since.
    ClientRevoked = "client-revoked", 0, Client, "The client is no longer trusted";
    /// The route that a tunnel took is no longer configured.
    RouteGone = "route-gone", 0, Proxy, "The connection is no longer served";
    /// The upstream has no endpoint to send to.
    NoEndpoint = "no-endpoint", 503, Upstream, "The service is unavailable";
    UpstreamConnectFailed = "upstream-connect-failed", 503, Upstream, "The service is unavailable";
    UpstreamConnectTimeout = "upstream-connect-timeout", 504, Upstream, "The service did not answer in time";
    UpstreamTlsFailed = "upstream-tls-failed", 502, Upstream, "The service could not be trusted";
    /// Too many requests wait for a connection already.
    UpstreamOverflow = "upstream-overflow", 503, Proxy, "The service is at its limit";
    /// No connection became free in time.
    PoolTimeout = "pool-timeout", 503, Proxy, "The service is at its limit";
    /// The upstream closed or reset before a response head, or reset a tunnel.
    UpstreamReset = "upstream-reset", 502, Upstream, "The service closed the connection";
    /// The upstream closed or reset in the middle of a response body.
    UpstreamTruncated = "upstream-truncated", 502, Upstream, "The service closed the connection";
    UpstreamProtocol = "upstream-protocol", 502, Upstream, "The service sent an invalid response";
    UpstreamHeadTooLarge = "upstream-head-too-large", 502, Upstream, "The service sent an invalid response";
    /// The upstream answered a request for a WebSocket with success, but did not switch. Only of
    /// HTTP/2, where a client would take that for the tunnel.
    UpgradeRefused = "upgrade-refused", 502, Upstream, "The service speaks no WebSocket here";
    /// No response head within the response or the per-try timeout.
    UpstreamTimeout = "upstream-timeout", 504, Upstream, "The service did not answer in time";
    /// A response body stood still for longer than the idle timeout.
    UpstreamIdle = "upstream-idle", 504, Upstream, "The service did not answer in time";
    /// The time that the client itself gave its call (`grpc-timeout`) is over.
    Deadline = "deadline", 504, Client, "The time of the call is over";
    /// The process is near its limit of memory.
    MemoryLimit = "memory-limit", 503, Proxy, "The service is at its limit";
    Draining = "draining", 503, Proxy, "The proxy is shutting down";
    Internal = "internal", 500, Proxy, "The proxy failed";
}

impl Reason {
    /// How many reasons there are: the length of a table indexed by [`Reason::index`].
    pub const COUNT: usize = Self::ALL.len();

    pub fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique_and_in_kebab_case() {
        let mut seen = std::collections::HashSet::new();
        for reason in Reason::ALL {
            assert!(seen.insert(reason.label()), "{} stands twice", reason.label());
            assert!(reason.label().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
            assert_eq!(Reason::ALL[reason.index()], *reason);
        }
    }

    #[test]
    fn a_fault_agrees_with_its_status() {
        for reason in Reason::ALL {
            if reason.fault() == Fault::Upstream {
                assert!(matches!(reason.status(), 502..=504), "{}", reason.label());
            }
        }
    }
}
