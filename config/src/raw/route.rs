//! Routes as written.

use super::addresses::{HostPatternText, HostText};
use super::scalars::{
    BackendWeight, CloseCodeNumber, DurationText, Flag, Port, SizeText, StatusCode, Tries,
};
use super::shape::{List, object};
use super::texts::{
    CookieName, EditedHeader, HeaderNameText, HeaderValue, HostHandlingText, MediaType, Method,
    Name, PartRegex, PathText, Replacement, SchemeText, TemplateText, Text, WholeRegex,
};
use crate::location::Located;
use crate::policy::Written as Policies;

object! {
    /// Which requests go where, and what is changed on the way.
    Route, "a route" {
        /// Its name, for metrics and the access log.
        name: required Name = "name",
        /// The listeners that carry it, of one kind; default: all `http` listeners.
        listeners: optional List<Name> = "listeners",
        /// Which requests it takes; default: all.
        matcher: optional Match = "match",
        /// Upstreams that share its requests by weight.
        backends: optional List<Backend> = "backends",
        /// Answer with a redirect instead.
        redirect: optional Redirect = "redirect",
        /// Answer with a fixed text instead.
        reply: optional Reply = "reply",
        /// Change the path on its way to the upstream.
        rewrite: optional Rewrite = "rewrite",
        /// The Host that the upstream sees; default: `preserve`.
        host: optional HostHandlingText = "host",
        /// Keep a client with its backend and endpoint by a cookie.
        sticky: optional Sticky = "sticky",
        /// Changes to the request's headers.
        request_headers: optional HeaderEdits = "requestHeaders",
        /// Changes to the response's headers.
        response_headers: optional HeaderEdits = "responseHeaders",
        /// How long the upstream may take.
        timeouts: optional RouteTimeouts = "timeouts",
        /// When a request is sent again.
        retry: optional Retry = "retry",
        /// A path may hold `%2f`, handed on as it came.
        allow_encoded_slash: optional Flag = "allowEncodedSlash",
        /// Calls of gRPC-Web are translated to gRPC for the upstream.
        grpc_web: optional Flag = "grpcWeb",
        /// The largest request accepted on this route.
        request_limits: optional RouteRequestLimits = "requestLimits",
        /// Its WebSocket connections.
        websocket: optional WebSocket = "websocket",
        ..policies: Policies,
    }
}

object! {
    /// Which requests a route takes: all that is given must hold.
    Match, "`match`" {
        /// Hosts, without port; default: any.
        hosts: optional List<HostPatternText> = "hosts",
        /// The path; default: any.
        path: optional PathMatch = "path",
        /// Methods; default: any.
        methods: optional List<Method> = "methods",
        /// Headers, by name in any case.
        headers: optional List<HeaderMatch> = "headers",
        /// Query parameters.
        query: optional List<QueryMatch> = "query",
        /// Cookies.
        cookies: optional List<CookieMatch> = "cookies",
        /// Names that clients of a `tls-passthrough` listener ask for; default: any, or none.
        sni: optional List<HostPatternText> = "sni",
    }
}

object! {
    /// A path: exactly one of these.
    PathMatch, "`path`" {
        /// This path and no other.
        exact: optional PathText = "exact",
        /// This path and all below it, by whole segments.
        prefix: optional PathText = "prefix",
        /// Every path that the expression matches as a whole.
        regex: optional WholeRegex = "regex",
    }
}

macro_rules! value_match {
    ($(#[doc = $doc:literal])+ $name:ident, $what:literal, $shape:ty) => {
        object! {
            $(#[doc = $doc])+
            $name, $what {
                /// Its name.
                name: required $shape = "name",
                /// It has this value.
                exact: optional Text = "exact",
                /// Its value starts so.
                prefix: optional Text = "prefix",
                /// The expression matches its whole value.
                regex: optional WholeRegex = "regex",
                /// `true`: it is there with any value, as when nothing else is said; `false`: it is not there.
                present: optional Flag = "present",
            }
        }
    };
}

value_match! {
    /// A header: at most one of `exact`, `prefix`, `regex` and `present`.
    HeaderMatch, "a header to match", HeaderNameText
}
value_match! {
    /// A query parameter: at most one of `exact`, `prefix`, `regex` and `present`.
    QueryMatch, "a query parameter to match", Text
}
value_match! {
    /// A cookie: at most one of `exact`, `prefix`, `regex` and `present`.
    CookieMatch, "a cookie to match", CookieName
}

/// What the three kinds of value matches have in common.
pub(crate) struct ValueMatch<'a, N> {
    pub(crate) name: &'a Option<Located<N>>,
    pub(crate) exact: &'a Option<Located<String>>,
    pub(crate) prefix: &'a Option<Located<String>>,
    pub(crate) regex: &'a Option<Located<regex::Regex>>,
    pub(crate) present: &'a Option<Located<bool>>,
}

macro_rules! common {
    ($($name:ident: $value:ty,)+) => {
        $(impl $name {
            pub(crate) fn common(&self) -> ValueMatch<'_, $value> {
                ValueMatch {
                    name: &self.name,
                    exact: &self.exact,
                    prefix: &self.prefix,
                    regex: &self.regex,
                    present: &self.present,
                }
            }
        })+
    };
}

common! {
    HeaderMatch: crate::values::HeaderName,
    QueryMatch: String,
    CookieMatch: String,
}

object! {
    /// An upstream with its share of a route's requests.
    Backend, "a backend" {
        /// The name of the upstream.
        upstream: required Name = "upstream",
        /// Its share, relative to the others; default: 1; 0 takes nothing.
        weight: optional BackendWeight = "weight",
    }
}

object! {
    /// A redirect; what is not given stays as the client asked.
    Redirect, "`redirect`" {
        /// The scheme.
        scheme: optional SchemeText = "scheme",
        /// The host.
        host: optional HostText = "host",
        /// The port; that of the scheme when only the scheme is given.
        port: optional Port = "port",
        /// The whole path.
        path: optional PathText = "path",
        /// What replaces the matched prefix.
        prefix: optional PathText = "prefix",
        /// 301, 302, 303, 307 or 308; default: 302.
        status: optional StatusCode = "status",
    }
}

object! {
    /// A fixed answer.
    Reply, "`reply`" {
        /// Its status; default: 200.
        status: optional StatusCode = "status",
        /// Its media type; default: `text/plain; charset=utf-8`.
        content_type: optional MediaType = "contentType",
        /// Its body; default: empty.
        body: optional TemplateText = "body",
    }
}

object! {
    /// A change of the path: `prefix`, `path`, or `regex` with `replacement`.
    Rewrite, "`rewrite`" {
        /// Replaces the matched prefix.
        prefix: optional PathText = "prefix",
        /// Replaces the whole path.
        path: optional PathText = "path",
        /// Whatever it matches in the path is replaced.
        regex: optional PartRegex = "regex",
        /// What stands instead; `$1` and `${name}` stand for groups.
        replacement: optional Replacement = "replacement",
    }
}

object! {
    /// A cookie that keeps a client with its backend and endpoint.
    Sticky, "`sticky`" {
        /// The name of the cookie.
        cookie: required CookieName = "cookie",
        /// How long the client keeps it; default: until the browser closes.
        max_age: optional DurationText = "maxAge",
    }
}

object! {
    /// Changes to headers, applied in the order remove, set, add.
    HeaderEdits, "header changes" {
        /// Headers that go.
        remove: optional List<EditedHeader> = "remove",
        /// Headers that have this value and no other.
        set: optional List<HeaderEdit> = "set",
        /// Values added to those that are there.
        add: optional List<HeaderEdit> = "add",
    }
}

object! {
    /// A header with its value.
    HeaderEdit, "a header" {
        /// Its name.
        name: required EditedHeader = "name",
        /// Its value.
        value: required HeaderValue = "value",
    }
}

object! {
    /// How long an upstream may take.
    RouteTimeouts, "`timeouts`" {
        /// From the end of the request's head to the response's head, over all tries; default:
        /// 15s. What a client takes to send its body is added.
        response: optional DurationText = "response",
        /// One try of it, from the end of a body that was waited for. Default: the `response` that
        /// is written, or 5s where none is.
        per_try: optional DurationText = "perTry",
        /// Without one byte in either direction once the response has begun (default: 1m); of
        /// a `tcp` or `tls-passthrough` route from the start (default: 1h).
        idle: optional DurationText = "idle",
    }
}

object! {
    /// When a request is sent again: only when it surely never reached the upstream.
    Retry, "`retry`" {
        /// Extra tries; default: 1.
        retries: optional Tries = "retries",
    }
}

object! {
    /// The largest request accepted on a route.
    RouteRequestLimits, "the `requestLimits` of a route" {
        /// Body, without its transfer coding; default: the listener's limit.
        body: optional SizeText = "body",
    }
}

object! {
    /// What holds for the WebSocket connections of a route.
    WebSocket, "`websocket`" {
        /// Without one byte in either direction; default: 5m.
        idle_timeout: optional DurationText = "idleTimeout",
        /// However busy it is; default: no limit.
        max_age: optional DurationText = "maxAge",
        /// How the proxy ends one.
        drain: optional WebSocketDrain = "drain",
    }
}

object! {
    /// How the proxy ends WebSocket connections.
    WebSocketDrain, "the `drain` of `websocket`" {
        /// The status in its Close frame; default: 1001, going away.
        close_code: optional CloseCodeNumber = "closeCode",
        /// Over how long the ends of many are spread when they are drained; default: 30s.
        jitter: optional DurationText = "jitter",
    }
}
