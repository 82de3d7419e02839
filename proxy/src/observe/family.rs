//! The list of metric families: every name, kind, label and help text in one place.
//!
//! `docs/observability.md` repeats this list, and a test compares the two.

use prometheus::proto::MetricType;

macro_rules! families {
    ($($name:ident = $text:literal, $kind:ident, [$($label:literal),*], $help:literal;)*) => {
        /// One metric family.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Family { $($name,)* }

        impl Family {
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            pub(super) fn kind(self) -> MetricType {
                match self { $(Self::$name => MetricType::$kind,)* }
            }

            pub(super) fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($label,)*],)* }
            }

            pub(super) fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)* }
            }
        }
    };
}

families! {
    Requests = "portcullis_requests_total", COUNTER, ["route", "code"],
        "Requests finished, by route and status code; the route is empty when none was chosen.";
    Reasons = "portcullis_request_reasons_total", COUNTER, ["route", "reason"],
        "Requests that did not simply pass: answered by the proxy or cut short, by reason.";
    Durations = "portcullis_request_duration_seconds", HISTOGRAM, ["route"],
        "Time from the first byte of a request to the last byte of its response.";
    RequestBytes = "portcullis_request_body_bytes_total", COUNTER, ["route"],
        "Bytes of request bodies received from clients.";
    ResponseBytes = "portcullis_response_body_bytes_total", COUNTER, ["route"],
        "Bytes of response bodies sent to clients.";
    WebSockets = "portcullis_websocket_connections", GAUGE, ["route"],
        "WebSocket connections open now.";

    ListenerAccepted = "portcullis_listener_connections_total", COUNTER, ["listener"],
        "Client connections accepted.";
    ListenerActive = "portcullis_listener_connections", GAUGE, ["listener"],
        "Client connections open now.";
    ListenerAcceptFailures = "portcullis_listener_accept_failures_total", COUNTER, ["listener", "reason"],
        "Times that a waiting client could not be accepted for want of descriptors or memory.";
    ListenerRefused = "portcullis_listener_refused_connections_total", COUNTER, ["listener", "reason"],
        "Client connections closed at once because the listener or the memory was at its limit.";
    ListenerHandshakeFailures = "portcullis_listener_handshake_failures_total", COUNTER, ["listener", "reason"],
        "TLS handshakes with clients that failed or took too long, by reason.";
    ListenerBrokenOff = "portcullis_listener_broken_off_connections_total", COUNTER, ["listener", "reason"],
        "HTTP/2 connections broken off for what the client sent, by reason.";
    ListenerProxyHeaderFailures = "portcullis_listener_proxy_header_failures_total", COUNTER, ["listener", "reason"],
        "Client connections closed for want of a PROXY protocol header of a trusted proxy, by reason.";
    ListenerRequests = "portcullis_listener_requests_total", COUNTER, ["listener"],
        "Requests that arrived, counted at their head.";

    UpstreamOpened = "portcullis_upstream_connections_total", COUNTER, ["upstream"],
        "Connections to the upstream that were opened.";
    UpstreamClosed = "portcullis_upstream_closed_connections_total", COUNTER, ["upstream"],
        "Connections to the upstream that were closed by either side.";
    UpstreamActive = "portcullis_upstream_active_connections", GAUGE, ["upstream"],
        "Connections to the upstream that carry a request or a tunnel now; of HTTP/2, those that are open.";
    UpstreamIdle = "portcullis_upstream_idle_connections", GAUGE, ["upstream"],
        "Connections to the upstream that are kept for the next request.";
    UpstreamConnectFailures = "portcullis_upstream_connect_failures_total", COUNTER, ["upstream", "reason"],
        "Connections to the upstream that could not be opened, by reason.";
    UpstreamPending = "portcullis_upstream_pending_requests", GAUGE, ["upstream"],
        "Requests that wait for a connection to the upstream now.";
    UpstreamRetries = "portcullis_upstream_retries_total", COUNTER, ["upstream"],
        "Attempts after the first of a request.";

    EndpointRequests = "portcullis_endpoint_requests_total", COUNTER, ["upstream", "endpoint"],
        "Attempts sent to the endpoint.";
    EndpointFailures = "portcullis_endpoint_failures_total", COUNTER, ["upstream", "endpoint"],
        "Attempts that ended without a whole response from the endpoint.";
    EndpointInFlight = "portcullis_endpoint_requests_in_flight", GAUGE, ["upstream", "endpoint"],
        "Attempts that the endpoint works on now.";

    BuildInfo = "portcullis_build_info", GAUGE, ["version"],
        "Always 1; the label says which build runs.";
    Workers = "portcullis_workers", GAUGE, [],
        "Worker threads of the data path.";
    Draining = "portcullis_draining", GAUGE, [],
        "1 once the process has begun to shut down.";
    MemoryResident = "portcullis_memory_resident_bytes", GAUGE, [],
        "Resident memory of the process, as it was measured last.";
    MemoryLimit = "portcullis_memory_limit_bytes", GAUGE, [],
        "What may be resident; absent where there is no limit.";
    MemoryLevel = "portcullis_memory_level", GAUGE, [],
        "0 while there is enough memory, 1 while connections are not kept, 2 while requests are refused, 3 while connections are.";
    ConfigGeneration = "portcullis_config_generation", GAUGE, [],
        "Number of the configuration generation that new requests meet.";
    ConfigReloads = "portcullis_config_reloads_total", COUNTER, ["result"],
        "Reloads of the configuration, by result.";
    ConfigStale = "portcullis_config_stale", GAUGE, ["file"],
        "1 for each configuration file whose last good version serves because the newer one is broken.";
    CertificateExpiry = "portcullis_certificate_expiry_timestamp_seconds", GAUGE, ["certificate"],
        "When the certificate that is being served expires, in seconds since 1970.";
    AccessLogLines = "portcullis_access_log_lines_total", COUNTER, [],
        "Access log lines handed to the writer.";
    AccessLogDropped = "portcullis_access_log_dropped_lines_total", COUNTER, ["cause"],
        "Access log lines lost: the writer's queue was full, or writing failed.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let mut seen = std::collections::HashSet::new();
        for family in Family::ALL {
            let name = family.name();
            assert!(seen.insert(name), "{name} stands twice");
            assert!(name.starts_with("portcullis_"), "{name}");
            assert!(family.help().ends_with('.') && family.help().len() > 20, "{name}");
            assert_eq!(name.ends_with("_total"), family.kind() == MetricType::COUNTER, "{name}");
            if family.kind() == MetricType::HISTOGRAM {
                assert!(name.ends_with("_seconds"), "{name}");
            }
        }
    }
}
