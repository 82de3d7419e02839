//! Listeners as written.

use super::addresses::{FilePath, HostPatternText, ListenAddressText, NetworkText};
use super::scalars::{
    Connections, DurationText, Flag, HeaderBytes, HeaderLines, Hops, SizeText, TargetBytes,
};
use super::shape::{List, choice, object};
use super::texts::{Name, TlsVersionText};
use crate::model::{HttpProtocol, ProxyProtocol, ProxyVersion, Underscores, Upgrade};
use crate::policy::Written as Policies;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    Http,
    Tcp,
    TlsPassthrough,
    Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuthChoice {
    None,
    Optional,
    Required,
}

choice! {
    /// What a listener speaks: `http`; `tcp`, of which bytes are passed on unread;
    /// `tls-passthrough`, which is routed by the name that the client asks for and passed on
    /// encrypted; `status`, which answers `/livez`, `/readyz` and `/metrics` read-only.
    ListenerKindText: ListenerKind {
        "http" => ListenerKind::Http,
        "tcp" => ListenerKind::Tcp,
        "tls-passthrough" => ListenerKind::TlsPassthrough,
        "status" => ListenerKind::Status,
    }
}

choice! {
    /// Whether connections begin with a PROXY protocol header: `disabled`, `accept` (where one
    /// comes from a trusted proxy), `require`.
    ProxyProtocolText: ProxyProtocol {
        "disabled" => ProxyProtocol::Disabled,
        "accept" => ProxyProtocol::Accept,
        "require" => ProxyProtocol::Require,
    }
}

choice! {
    /// Whether each connection to the upstream begins with a PROXY protocol header, and which.
    ProxyVersionText: Option<ProxyVersion> {
        "disabled" => None, "v1" => Some(ProxyVersion::V1), "v2" => Some(ProxyVersion::V2),
    }
}

choice! {
    /// What becomes of headers with `_` in their names, which many servers read as `-`.
    UnderscoresText: Underscores {
        "reject" => Underscores::Reject, "allow" => Underscores::Allow,
    }
}

choice! {
    /// A version of HTTP: `http1` is 1.0 and 1.1; `http2` comes by ALPN under TLS and by prior
    /// knowledge (h2c) without.
    ProtocolText: HttpProtocol {
        "http1" => HttpProtocol::Http1,
        "http2" => HttpProtocol::Http2,
    }
}

choice! {
    /// A protocol that a connection may be upgraded to; others are never passed on.
    UpgradeText: Upgrade { "websocket" => Upgrade::WebSocket, }
}

choice! {
    /// Whether clients show a certificate: `none`, `optional` (verified when shown), `required`.
    ClientAuthText: ClientAuthChoice {
        "none" => ClientAuthChoice::None,
        "optional" => ClientAuthChoice::Optional,
        "required" => ClientAuthChoice::Required,
    }
}

object! {
    /// An address on which connections are accepted.
    Listener, "a listener" {
        /// Its name, for routes, metrics and the access log.
        name: required Name = "name",
        /// Where it listens.
        address: required ListenAddressText = "address",
        /// Refuse IPv4 on an IPv6 address; `[::]` takes both otherwise.
        v6only: optional Flag = "v6only",
        /// What it speaks; default: `http`.
        kind: optional ListenerKindText = "kind",
        /// TLS; plain text when absent.
        tls: optional Tls = "tls",
        /// The versions of HTTP spoken; default: `[http1, http2]`.
        protocols: optional List<ProtocolText> = "protocols",
        /// The largest request accepted.
        request_limits: optional RequestLimits = "requestLimits",
        /// How many connections are accepted.
        connection_limits: optional ConnectionLimits = "connectionLimits",
        /// How long a client may take.
        timeouts: optional ListenerTimeouts = "timeouts",
        /// Headers with `_` in their names; default: `reject`.
        header_underscores: optional UnderscoresText = "headerUnderscores",
        /// What connections may be upgraded to; default: `[websocket]`.
        upgrades: optional List<UpgradeText> = "upgrades",
        /// Whether connections begin with a PROXY protocol header; default: `disabled`.
        proxy_protocol: optional ProxyProtocolText = "proxyProtocol",
        /// Networks of the proxies that are trusted to name the client; default: none.
        trusted_proxies: optional List<NetworkText> = "trustedProxies",
        /// Instead: how many proxies stand before this one, whatever their addresses.
        trusted_hops: optional Hops = "trustedHops",
        ..policies: Policies,
    }
}

object! {
    /// TLS towards clients.
    Tls, "the `tls` of a listener" {
        /// `true` makes a development certificate for `localhost`; instead of `certificates`.
        self_signed: optional Flag = "selfSigned",
        /// Chosen by the name that the client asks for; the first answers all other names.
        certificates: optional List<Certificate> = "certificates",
        /// The oldest version accepted; default: `TLSv1.2`.
        min_version: optional TlsVersionText = "minVersion",
        /// The newest version accepted; default: `TLSv1.3`.
        max_version: optional TlsVersionText = "maxVersion",
        /// Certificates of clients.
        client_auth: optional ClientAuth = "clientAuth",
    }
}

object! {
    /// A certificate with its key, or one made at start for development.
    Certificate, "a certificate" {
        /// PEM file with the certificate and its chain.
        cert_file: optional FilePath = "certFile",
        /// PEM file with the private key.
        key_file: optional FilePath = "keyFile",
        /// `true` makes a development certificate at start; never for production.
        self_signed: optional Flag = "selfSigned",
        /// The names of the development certificate; default: `[localhost]`.
        names: optional List<HostPatternText> = "names",
    }
}

object! {
    /// Certificates of clients.
    ClientAuth, "`clientAuth`" {
        /// Whether clients show one.
        mode: required ClientAuthText = "mode",
        /// PEM file with the authorities that vouch for clients.
        ca_file: optional FilePath = "caFile",
        /// PEM file with certificates that are revoked.
        crl_file: optional FilePath = "crlFile",
    }
}

object! {
    /// The largest request accepted; a larger one is answered with 413, 414 or 431.
    RequestLimits, "`requestLimits`" {
        /// Request line and headers together, from 1KiB to 60KiB; default: 60KiB.
        header_bytes: optional HeaderBytes = "headerBytes",
        /// Header lines, from 1 to 100; default: 100.
        headers: optional HeaderLines = "headers",
        /// Request target, at most `headerBytes`; default: 16KiB.
        uri: optional TargetBytes = "uri",
        /// Body, without its transfer coding; default: 10MiB.
        body: optional SizeText = "body",
    }
}

object! {
    /// How many connections are accepted.
    ConnectionLimits, "`connectionLimits`" {
        /// Open connections of the listener; default: 50000.
        max: optional Connections = "max",
        /// The longest that one lives; up to a tenth sooner, so that many do not end at once.
        /// With HTTP it takes no new request then. Default: no limit.
        max_age: optional DurationText = "maxAge",
    }
}

object! {
    /// How long a client may take.
    ListenerTimeouts, "the `timeouts` of a listener" {
        /// From the first byte of a request to the end of its head, or from the accept to the end
        /// of a PROXY protocol header; default: 10s.
        head: optional DurationText = "head",
        /// A kept connection without a request; default: 75s.
        idle: optional DurationText = "idle",
        /// Without one byte of progress in a body; default: 30s.
        body: optional DurationText = "body",
        /// The TLS handshake, or its first message where it is passed on; default: 10s.
        handshake: optional DurationText = "handshake",
    }
}
