//! Reports clients that speak TLS to a listener without TLS, and clients that leave before a request
//! because of the listener's certificate.
//!
//! Called once for a connection: at its first byte, or at its early end.

use std::io;

use rustls::Error;

use super::failed::ConnectionFailure;
use super::handshake::{failure_of, for_name};
use crate::client::Client;
use crate::observe::failure::Failure;
use crate::snapshot::LiveListener;
use crate::tls::hello::{Hello, HelloReader};
use crate::worker::Worker;

/// The first byte of every handshake record; no HTTP method begins with it.
const HANDSHAKE: u8 = 0x16;
/// The same in all versions.
const MAJOR_VERSION: u8 = 3;

/// Reports a client whose first bytes are TLS on a listener without TLS. The bytes are then refused
/// as an invalid request.
pub(crate) fn notice_tls(worker: &Worker, client: &Client, first: &[u8]) {
    let is_tls =
        first.first() == Some(&HANDSHAKE) && first.get(1).is_none_or(|byte| *byte == MAJOR_VERSION);
    if client.tls.is_some() || !is_tls {
        return;
    }
    let current = worker.current_of(&client.listener);
    let Some(live) = current.live(client.listener.id) else { return };
    let name = match HelloReader::default().feed(first) {
        Ok(Hello::Whole { name }) => name,
        _ => None,
    };
    let failure = Failure::TlsOnPlainListener;
    let failed = ConnectionFailure::new(failure, live.metrics(), worker.id(), client.address);
    ConnectionFailure { sni: name.as_deref(), ..failed }.report(
        "a TLS handshake on a listener without TLS: the client must use http, or the listener \
         needs `tls`",
    );
}

/// Reports a TLS client that leaves before its first request because of the certificate. `error` is
/// the error of its last read, if there was one.
pub(crate) fn notice_leaving(worker: &Worker, client: &Client, error: Option<&io::Error>) {
    let Some(facts) = &client.tls else { return };
    let current = worker.current_of(&client.listener);
    let Some(live) = current.live(client.listener.id) else { return };
    let Some(tls) = LiveListener::tls(&live) else { return };
    let sni = facts.sni.as_deref();
    let tls_error = error.and_then(|error| error.get_ref()?.downcast_ref::<Error>());
    let (failure, alert) = match tls_error {
        Some(error @ Error::AlertReceived(_)) => {
            let (failure, alert) = failure_of(error);
            (for_name(failure, alert, sni, tls), alert)
        }
        // Some clients check the name after the handshake.
        _ if sni.is_some_and(|name| !tls.has_certificate_for(name)) => {
            (Failure::NoCertificateForName, None)
        }
        _ => return,
    };
    if failure == Failure::HandshakeClientClosed {
        return;
    }
    let failed = ConnectionFailure::new(failure, live.metrics(), worker.id(), client.address);
    let cause = match failure {
        Failure::NoCertificateForName => {
            "no certificate of the listener is for this name, and the client left the first one \
             without a request"
        }
        _ => "the client ended the connection before its first request",
    };
    ConnectionFailure { sni, alert, ..failed }.report(cause);
}
