//! Why connections of clients end before they are served: the closed list behind the labels of the
//! metrics and the lines of the process log, and how often such a line may be written.
//!
//! Knows neither sockets nor TLS. What leads to which failure is decided where it is seen.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Which metric counts a failure; each has the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// `portcullis_listener_handshake_failures_total`.
    Handshake,
    /// `portcullis_listener_proxy_header_failures_total`.
    ProxyHeader,
    /// `portcullis_listener_refused_connections_total`.
    Refused,
    /// `portcullis_listener_broken_off_connections_total`.
    BrokenOff,
    /// `portcullis_listener_accept_failures_total`.
    Accept,
}

/// Where the cause lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultSide {
    Client,
    Gateway,
}

impl FaultSide {
    /// As it stands in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
        }
    }
}

/// How loud the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// Ordinary: a probe of a load balancer, or our own end.
    Debug,
    Info,
    /// The operator can do something about it.
    Warn,
}

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $group:ident, $label:literal, $side:ident, $loud:ident;)*) => {
        /// Why a connection ended before it was served.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Failure { $($(#[$doc])* $name,)* }

        impl Failure {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            pub const COUNT: usize = Self::ALL.len();

            /// The value of `reason` in its metric and in the log.
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            pub fn group(self) -> Group {
                match self { $(Self::$name => Group::$group,)* }
            }

            pub fn side(self) -> FaultSide {
                match self { $(Self::$name => FaultSide::$side,)* }
            }

            pub fn loudness(self) -> Loudness {
                match self { $(Self::$name => Loudness::$loud,)* }
            }
        }
    };
}

failures! {
    NoCommonVersion = Handshake, "no-common-version", Client, Info;
    /// No cipher suite, key exchange group or signature scheme.
    NoCommonCipher = Handshake, "no-common-cipher", Client, Info;
    /// None of the client's ALPN tokens is served.
    NoCommonProtocol = Handshake, "no-common-protocol", Client, Info;
    ClientCertificateMissing = Handshake, "client-certificate-missing", Client, Info;
    ClientCertificateUntrusted = Handshake, "client-certificate-untrusted", Client, Info;
    ClientCertificateExpired = Handshake, "client-certificate-expired", Client, Info;
    ClientCertificateNotYetValid = Handshake, "client-certificate-not-yet-valid", Client, Info;
    ClientCertificateRevoked = Handshake, "client-certificate-revoked", Client, Info;
    /// An authority of its chain has no revocation list here.
    ClientCertificateStatusUnknown =
        Handshake, "client-certificate-status-unknown", Client, Info;
    ClientCertificateWrongUsage = Handshake, "client-certificate-wrong-usage", Client, Info;
    ClientCertificateInvalid = Handshake, "client-certificate-invalid", Client, Info;
    /// The client refused the first certificate, which answers for names that none has.
    NoCertificateForName = Handshake, "no-certificate-for-name", Gateway, Warn;
    ServerCertificateRefused = Handshake, "server-certificate-refused", Gateway, Warn;
    /// The client ended the handshake with another alert.
    ClientAlert = Handshake, "client-alert", Client, Info;
    PlainHttp = Handshake, "plain-http", Client, Info;
    /// A handshake that was begun at a listener without TLS.
    TlsOnPlainListener = Handshake, "tls-on-plain-listener", Client, Info;
    HandshakeTimeout = Handshake, "timeout", Client, Info;
    HandshakeClientClosed = Handshake, "client-closed", Client, Info;
    /// The client closed before its first byte, as probes do.
    NoHello = Handshake, "no-hello", Client, Debug;
    HandshakeMalformed = Handshake, "malformed", Client, Info;
    HandshakeDraining = Handshake, "draining", Gateway, Debug;
    HandshakeInternal = Handshake, "internal", Gateway, Warn;

    /// The peer is none of the trusted proxies.
    ProxyHeaderUntrusted = ProxyHeader, "untrusted", Client, Info;
    ProxyHeaderMissing = ProxyHeader, "missing", Client, Info;
    ProxyHeaderMalformed = ProxyHeader, "malformed", Client, Info;
    ProxyHeaderTimeout = ProxyHeader, "timeout", Client, Info;
    /// The peer closed before its first byte, as probes do.
    ProxyHeaderClosed = ProxyHeader, "client-closed", Client, Debug;
    ProxyHeaderDraining = ProxyHeader, "draining", Gateway, Debug;

    ConnectionLimit = Refused, "connection-limit", Gateway, Warn;
    MemoryLimit = Refused, "memory-limit", Gateway, Warn;

    /// It sent too much that led to nothing.
    Flood = BrokenOff, "flood", Client, Info;
    /// It broke the rules of the protocol.
    Protocol = BrokenOff, "protocol", Client, Info;
    /// A head that it had begun did not come to its end in time.
    SlowHead = BrokenOff, "slow-head", Client, Info;

    Descriptors = Accept, "descriptors", Gateway, Warn;
    /// The kernel has no memory for another socket.
    KernelMemory = Accept, "kernel-memory", Gateway, Warn;
}

impl Failure {
    /// How long no other line is written of the same failure of the same listener. Shortages last,
    /// and their first line says all that can be done.
    pub fn interval(self) -> Duration {
        match self.group() {
            Group::Refused | Group::Accept => Duration::from_secs(10),
            Group::Handshake | Group::ProxyHeader | Group::BrokenOff => Duration::from_secs(1),
        }
    }
}

/// Lets one line through in each interval, over all threads, and counts the others.
#[derive(Debug, Default)]
pub struct LineLimit {
    /// In milliseconds of the caller's clock.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl LineLimit {
    /// `Some` when a line may be written, with how many were suppressed since the last one.
    /// `now` counts from any moment that stays the same.
    pub fn admit(&self, now: Duration, interval: Duration) -> Option<u64> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Relaxed);
        let then = millis(now.saturating_add(interval));
        // Of several threads that come together one wins.
        if millis(now) < next || self.next.compare_exchange(next, then, Relaxed, Relaxed).is_err() {
            self.suppressed.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.suppressed.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique_within_their_metric_and_index_their_counter() {
        let mut seen = std::collections::HashSet::new();
        for (at, failure) in Failure::ALL.iter().enumerate() {
            assert_eq!(*failure as usize, at);
            let label = failure.label();
            assert!(seen.insert((failure.group() as u8, label)), "{label} stands twice");
            assert!(label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{label}");
        }
    }

    /// The manual's table, each reason under its metric.
    #[test]
    fn the_documented_reasons_are_the_reasons() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/observability.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, section) = text.split_once("\n## Connections\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        let mut documented = std::collections::BTreeSet::new();
        let mut metric = "";
        for row in section.lines().filter_map(|line| line.strip_prefix("| ")) {
            let names = row.split(" | ").next().unwrap();
            if let Some(name) = names.strip_prefix("**`") {
                metric = name.trim_end_matches("`**");
                continue;
            }
            let names = names.split('`').skip(1).step_by(2);
            documented.extend(names.map(|name| (metric, name)));
        }
        let actual = Failure::ALL.iter().map(|failure| {
            let metric = match failure.group() {
                Group::Handshake => "portcullis_listener_handshake_failures_total",
                Group::ProxyHeader => "portcullis_listener_proxy_header_failures_total",
                Group::Refused => "portcullis_listener_refused_connections_total",
                Group::BrokenOff => "portcullis_listener_broken_off_connections_total",
                Group::Accept => "portcullis_listener_accept_failures_total",
            };
            (metric, failure.label())
        });
        assert_eq!(documented, actual.collect());
    }

    #[test]
    fn one_line_an_interval_and_the_next_says_how_many_had_none() {
        let limit = LineLimit::default();
        let second = Duration::from_secs(1);
        let at = |millis| limit.admit(Duration::from_millis(millis), second);
        let seen = [0, 1, 999, 1_000, 1_001, 5_000, 5_000].map(at);
        assert_eq!(seen, [Some(0), None, None, Some(2), None, Some(1), None]);
    }

    /// However many workers see the failure. Those that come while the line is written may be
    /// counted by it or by the next one.
    #[test]
    fn threads_share_one_line() {
        let limit = LineLimit::default();
        let lines: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let admit = |_| limit.admit(Duration::ZERO, Duration::from_secs(1));
                    scope.spawn(move || (0..1_000).filter_map(admit).collect::<Vec<_>>())
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let [first] = lines[..] else { panic!("one line, not {lines:?}") };
        let rest = limit.admit(Duration::from_secs(2), Duration::ZERO);
        assert_eq!(rest.map(|rest| first + rest), Some(3_999));
    }
}
