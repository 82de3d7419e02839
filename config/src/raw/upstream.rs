//! Upstreams as written.

use super::addresses::{DnsName, EndpointAddressText, FilePath, HostText};
use super::listener::ProxyVersionText;
use super::scalars::{Amount, Connections, DurationText, EndpointWeight, Flag, Port};
use super::shape::{List, choice, object};
use super::texts::{CookieName, HeaderNameText, Name, Text, TlsVersionText};
use crate::model::UpstreamProtocol;

/// A balancing policy without what it hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Balancing {
    RoundRobin,
    LeastRequest,
    P2cEwma,
    Random,
    RingHash,
    Maglev,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpstreamTlsMode {
    Tls,
    Mutual,
    Insecure,
}

choice! {
    /// How an endpoint is chosen. `p2c-ewma` takes the better of two by latency and load;
    /// `ring-hash` and `maglev` keep what has the same `hash` together.
    BalancingText: Balancing {
        "round-robin" => Balancing::RoundRobin,
        "least-request" => Balancing::LeastRequest,
        "p2c-ewma" => Balancing::P2cEwma,
        "random" => Balancing::Random,
        "ring-hash" => Balancing::RingHash,
        "maglev" => Balancing::Maglev,
    }
}

choice! {
    /// `tls` verifies the upstream, `mutual` shows a certificate too, `insecure` verifies nothing.
    UpstreamTlsText: UpstreamTlsMode {
        "tls" => UpstreamTlsMode::Tls,
        "mutual" => UpstreamTlsMode::Mutual,
        "insecure" => UpstreamTlsMode::Insecure,
    }
}

choice! {
    /// `auto` is what the TLS handshake agrees on, and HTTP/1.1 without TLS; `http2` without TLS is
    /// by prior knowledge (h2c).
    UpstreamProtocolText: UpstreamProtocol {
        "auto" => UpstreamProtocol::Auto,
        "http1" => UpstreamProtocol::Http1,
        "http2" => UpstreamProtocol::Http2,
    }
}

object! {
    /// A service to which requests are forwarded.
    Upstream, "an upstream" {
        /// Its name, for routes, metrics and the access log.
        name: required Name = "name",
        /// Where it is reached.
        endpoints: required List<Endpoint> = "endpoints",
        /// How one of them is chosen.
        load_balancer: optional LoadBalancer = "loadBalancer",
        /// TLS towards the upstream; plain text when absent.
        tls: optional UpstreamTls = "tls",
        /// What it is spoken to in; default: `auto`.
        protocol: optional UpstreamProtocolText = "protocol",
        /// How much it is given at once.
        concurrency: optional Concurrency = "concurrency",
        /// Connections kept open between requests.
        keep_alive: optional KeepAlive = "keepAlive",
        /// The longest a connect with its TLS handshake may take; default: 5s.
        connect_timeout: optional DurationText = "connectTimeout",
        /// Tell it of the client by a PROXY protocol header; default: `disabled`. Its
        /// connections are then those of one client and request each.
        proxy_protocol: optional ProxyVersionText = "proxyProtocol",
    }
}

object! {
    /// One address, or all addresses of a DNS name.
    Endpoint, "an endpoint" {
        /// An IP address with a port, or `unix:` with a path.
        address: optional EndpointAddressText = "address",
        /// A host name; each of its addresses is an endpoint. Needs `port`.
        dns: optional DnsName = "dns",
        /// The port of `dns`.
        port: optional Port = "port",
        /// Its share of the traffic, relative to the others; default: 1.
        weight: optional EndpointWeight = "weight",
    }
}

object! {
    /// How an endpoint is chosen.
    LoadBalancer, "`loadBalancer`" {
        /// The policy; default: `round-robin`.
        policy: optional BalancingText = "policy",
        /// What `ring-hash` and `maglev` hash.
        hash: optional HashOn = "hash",
        /// A new endpoint's share grows from a tenth to its whole over this time.
        slow_start: optional DurationText = "slowStart",
    }
}

object! {
    /// What is hashed: exactly one of these.
    HashOn, "`hash`" {
        /// The value of a header.
        header: optional HeaderNameText = "header",
        /// The value of a cookie.
        cookie: optional CookieName = "cookie",
        /// The value of a query parameter.
        query: optional Text = "query",
        /// The client's address.
        source_ip: optional Flag = "sourceIp",
        /// The path.
        path: optional Flag = "path",
    }
}

object! {
    /// TLS towards an upstream.
    UpstreamTls, "the `tls` of an upstream" {
        /// What is verified; default: `tls`.
        mode: optional UpstreamTlsText = "mode",
        /// PEM file with the authorities that vouch for the upstream; default: the system's.
        ca_file: optional FilePath = "caFile",
        /// PEM file with the certificate shown to the upstream, for `mutual`.
        cert_file: optional FilePath = "certFile",
        /// PEM file with the key of `certFile`.
        key_file: optional FilePath = "keyFile",
        /// The name asked for and verified; default: the endpoint's own.
        server_name: optional HostText = "serverName",
        /// DNS names or URIs of which the certificate must hold one, instead of the server's name.
        identities: optional List<Text> = "identities",
        /// The oldest version used; default: `TLSv1.2`.
        min_version: optional TlsVersionText = "minVersion",
        /// The newest version used; default: `TLSv1.3`.
        max_version: optional TlsVersionText = "maxVersion",
    }
}

object! {
    /// How much an upstream is given at once, over all workers.
    Concurrency, "`concurrency`" {
        /// Open connections; default: 1024.
        max_connections: optional Connections = "maxConnections",
        /// Requests that wait for a connection; default: 1024.
        max_pending: optional Amount = "maxPending",
    }
}

object! {
    /// Connections kept open between requests.
    KeepAlive, "`keepAlive`" {
        /// Idle connections for each endpoint and worker; default: 256; 0 keeps none.
        max_idle: optional Amount = "maxIdle",
        /// How long one stays idle; default: 30s, shorter when the upstream says so.
        idle_timeout: optional DurationText = "idleTimeout",
    }
}
