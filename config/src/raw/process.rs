//! The document, and what concerns the whole process, as written.

use std::path::PathBuf;

use super::addresses::ListenAddressText;
use super::listener::{ConnectionLimits, Listener, RequestLimits};
use super::route::{Retry, Route, RouteTimeouts};
use super::scalars::{DurationText, Flag, MemoryText, ShareText, WorkersText};
use super::shape::{List, choice, object, scalar};
use super::texts::{RecordedHeader, Token, Version};
use super::upstream::{Concurrency, KeepAlive, LoadBalancer, Upstream};
use crate::policy::Written as Policies;

/// Where access records go, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogTarget {
    Disabled,
    Stdout,
    Stderr,
    File(PathBuf),
}

scalar! {
    /// `stdout`, `stderr`, `disabled`, or the path of a file.
    LogPath: LogTarget = |node, reader| {
        let text = reader.text(node, "`stdout`, `stderr`, `disabled` or a path")?;
        match text {
            "disabled" => Some(LogTarget::Disabled),
            "stdout" => Some(LogTarget::Stdout),
            "stderr" => Some(LogTarget::Stderr),
            "" => {
                reader.error(&node.location, "expected `stdout`, `stderr`, `disabled` or a path");
                None
            }
            path => Some(LogTarget::File(reader.base.join(path))),
        }
    }, {"type": "string", "examples": ["stdout", "stderr", "disabled", "access.ndjson"]}
}

choice! {
    /// The form of access records.
    LogFormat: () { "json" => (), }
}

object! {
    /// A configuration of Portcullis.
    Document, "the configuration" {
        /// The version of the format.
        version: required Version = "version",
        /// How many workers serve; default: `auto`.
        workers: optional WorkersText = "workers",
        /// Addresses on which connections are accepted.
        listeners: optional List<Listener> = "listeners",
        /// What holds for routes, upstreams and listeners that say nothing else.
        defaults: optional Defaults = "defaults",
        /// Services to which requests are forwarded.
        upstreams: optional List<Upstream> = "upstreams",
        /// Which requests go where.
        routes: optional List<Route> = "routes",
        /// What the process as a whole may take.
        limits: optional Limits = "limits",
        /// One record for each request.
        access_log: optional AccessLog = "accessLog",
        /// The admin API; none when absent.
        admin: optional Admin = "admin",
        /// How the process ends.
        shutdown: optional Shutdown = "shutdown",
    }
}

object! {
    /// What holds where a route, an upstream or a listener says nothing else.
    Defaults, "`defaults`" {
        /// How long an upstream may take.
        timeouts: optional RouteTimeouts = "timeouts",
        /// When a request is sent again.
        retry: optional Retry = "retry",
        /// Connections kept open between requests.
        keep_alive: optional KeepAlive = "keepAlive",
        /// How much an upstream is given at once.
        concurrency: optional Concurrency = "concurrency",
        /// The longest a connect with its TLS handshake may take.
        connect_timeout: optional DurationText = "connectTimeout",
        /// How an endpoint is chosen.
        load_balancer: optional LoadBalancer = "loadBalancer",
        /// The largest request that listeners accept.
        request_limits: optional RequestLimits = "requestLimits",
        /// How many connections listeners accept.
        connection_limits: optional ConnectionLimits = "connectionLimits",
        ..policies: Policies,
    }
}

object! {
    /// What the process as a whole may take.
    Limits, "`limits`" {
        /// Resident memory, near which clients are sent away; default: `auto`.
        memory: optional MemoryText = "memory",
    }
}

object! {
    /// One record for each request.
    AccessLog, "`accessLog`" {
        /// The form of the records; default: `json`.
        format: optional LogFormat = "format",
        /// Where they go; default: `stdout`.
        path: optional LogPath = "path",
        /// Include when each phase of the request was reached; default: `true`.
        timeline: optional Flag = "timeline",
        /// The share of requests recorded; default: `100%`.
        sample: optional ShareText = "sample",
        /// Request headers to record.
        headers: optional List<RecordedHeader> = "headers",
    }
}

object! {
    /// The admin API.
    Admin, "`admin`" {
        /// A loopback address, `127.0.0.1:9901`, or `unix:` with a path; nothing else.
        address: required ListenAddressText = "address",
        /// Asked as a bearer token of every call that changes something.
        token: optional Token = "token",
    }
}

object! {
    /// How the process ends.
    Shutdown, "`shutdown`" {
        /// How long requests in flight may take to finish; default: 30s.
        drain_timeout: optional DurationText = "drainTimeout",
    }
}
