//! Reports a connection that ended before it was served.
//!
//! Every failure is counted; a line is written at most once in each interval of its kind
//! ([`Failure::interval`]). Connections that are served never get here.

use std::fmt::{self, Display};
use std::net::SocketAddr;

use rustls::AlertDescription;

use super::handshake::alert_name;
use crate::observe::counter::WorkerId;
use crate::observe::failure::{Failure, Group, Loudness};
use crate::observe::series::ListenerMetrics;

/// Longer causes are cut, in characters.
const LONGEST_CAUSE: usize = 240;

/// A failure, and what is known of its connection.
pub struct ConnectionFailure<'a> {
    pub failure: Failure,
    pub listener: &'a ListenerMetrics,
    pub worker: WorkerId,
    pub client: Option<SocketAddr>,
    /// The name that the client asked for.
    pub sni: Option<&'a str>,
    /// The alert that the client sent.
    pub alert: Option<AlertDescription>,
}

impl<'a> ConnectionFailure<'a> {
    pub fn new(
        failure: Failure,
        listener: &'a ListenerMetrics,
        worker: WorkerId,
        client: Option<SocketAddr>,
    ) -> Self {
        Self { failure, listener, worker, client, sni: None, alert: None }
    }

    /// Counts the failure, and logs it unless the interval had a line already. The cause must contain
    /// bytes of the client only in escaped form.
    pub fn report(&self, cause: impl Display) {
        let Some(suppressed) = self.listener.failed(self.worker, self.failure) else { return };
        let suppressed = Some(suppressed).filter(|count| *count > 0);
        let (listener, reason) = (self.listener.name(), self.failure.label());
        let group = self.failure.group();
        let client = (group != Group::Accept).then_some(Address(self.client));
        let client = client.map(tracing::field::display);
        let (sni, alert) = (self.sni, self.alert.map(alert_name));
        let side = self.failure.side().label();
        let cause: String = cause.to_string().chars().take(LONGEST_CAUSE).collect();
        let cause = cause.as_str();
        let message = match group {
            Group::Handshake => "a TLS handshake failed",
            Group::ProxyHeader => "a connection without a PROXY protocol header was closed",
            Group::Refused => "a connection was refused",
            Group::BrokenOff => "an HTTP/2 connection was broken off",
            Group::Accept => "accepting pauses",
        };
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    listener,
                    client,
                    sni,
                    alert,
                    reason,
                    side,
                    cause,
                    suppressed,
                    "{message}"
                )
            };
        }
        match self.failure.loudness() {
            Loudness::Debug => line!(debug),
            Loudness::Info => line!(info),
            Loudness::Warn => line!(warn),
        }
    }
}

/// As in the access log.
struct Address(Option<SocketAddr>);

impl Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(formatter),
            None => formatter.write_str("unix"),
        }
    }
}
