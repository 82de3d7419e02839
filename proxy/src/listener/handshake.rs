//! The TLS handshake of a client, and what a failed one comes from.
//!
//! Knows TLS and its errors. What becomes of a client afterwards, and what is said of a failure,
//! is done elsewhere.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use rustls::server::{Acceptor, ClientHello};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::first::{First, Seen};
use crate::drain::Registration;
use crate::io::Socket;
use crate::observe::failure::Failure;
use crate::tls::{PeerRefused, ServerTls};

/// Bytes of the client's ALPN tokens that are shown of a handshake that failed for them.
const SHOWN_TOKENS: usize = 64;

/// What is known of a handshake that did not end well.
pub(super) struct Failed {
    pub(super) failure: Failure,
    /// The client's own, by which it ended the handshake.
    pub(super) alert: Option<AlertDescription>,
    pub(super) sni: Option<String>,
    pub(super) cause: String,
    /// Of a client that spoke HTTP without TLS: nothing was written to it yet.
    pub(super) plain_http: Option<Socket>,
}

/// The session, and the name that the client asked for.
pub(super) type Done = (TlsStream<Socket>, Option<String>);

/// Shakes hands for at most so long, and not beyond a drain.
pub(super) async fn shake(
    socket: Socket,
    tls: &ServerTls,
    patience: Duration,
    registration: &Registration,
) -> Result<Done, Failed> {
    let seen = Seen::default();
    let mut asked = Asked::default();
    // Boxed: a handshake's state is large, and gone before the first request.
    let handshake = Box::pin(timeout(patience, hands(socket, tls, &seen, &mut asked)));
    let ended = tokio::select! {
        ended = handshake => match ended {
            Ok(Ok(stream)) => return Ok((stream, asked.sni)),
            Ok(Err((error, socket))) => broken(&error, socket, tls, &seen, &asked),
            Err(_) => Judged {
                failure: Failure::HandshakeTimeout,
                cause: match seen.is_empty() {
                    true => format!("the client sent nothing within {patience:?}"),
                    false => format!("the handshake was not done within {patience:?}"),
                },
                ..Judged::default()
            },
        },
        () = registration.drained() => Judged {
            failure: Failure::HandshakeDraining,
            cause: "the listener or the process ends".to_owned(),
            ..Judged::default()
        },
    };
    let Judged { failure, alert, cause, plain_http } = ended;
    Err(Failed { failure, alert, sni: asked.sni, cause, plain_http })
}

/// What the client asks for in its first message.
#[derive(Default)]
struct Asked {
    sni: Option<String>,
    /// Its protocols as text, if none of them is served.
    tokens: Option<String>,
}

/// In two steps, so that the name is known of a handshake that fails in the second.
async fn hands(
    socket: Socket,
    tls: &ServerTls,
    seen: &Seen,
    asked: &mut Asked,
) -> Result<TlsStream<Socket>, (io::Error, Option<Socket>)> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), First { socket, seen });
    let start = match (&mut acceptor).await {
        Ok(start) => start,
        Err(error) => return Err((error, acceptor.take_io().map(|first| first.socket))),
    };
    let config = tls.server_config();
    let hello = start.client_hello();
    asked.sni = hello.server_name().map(str::to_owned);
    asked.tokens = incompatible_tokens(&hello, &config.alpn_protocols);
    let StartHandshake { accepted, io, .. } = start;
    let start = StartHandshake::from_parts(accepted, io.socket);
    start.into_stream(config).await.map_err(|error| (error, None))
}

/// The client's protocols, escaped and bounded, where none of them is served.
fn incompatible_tokens(hello: &ClientHello<'_>, served: &[Vec<u8>]) -> Option<String> {
    let tokens = || hello.alpn().into_iter().flatten();
    if served.is_empty() || hello.alpn().is_none() || tokens().any(|it| is_in(it, served)) {
        return None;
    }
    let mut text = String::new();
    for token in tokens() {
        let room = SHOWN_TOKENS.saturating_sub(text.len());
        // Writing to a String cannot fail.
        let _ = write!(text, " {}", token[..token.len().min(room)].escape_ascii());
        if token.len() >= room {
            break;
        }
    }
    Some(text)
}

fn is_in(token: &[u8], served: &[Vec<u8>]) -> bool {
    served.iter().any(|served| served == token)
}

struct Judged {
    failure: Failure,
    alert: Option<AlertDescription>,
    cause: String,
    plain_http: Option<Socket>,
}

impl Default for Judged {
    fn default() -> Self {
        Self {
            failure: Failure::HandshakeInternal,
            alert: None,
            cause: String::new(),
            plain_http: None,
        }
    }
}

/// Of a handshake that ended in an error of the socket or of TLS.
fn broken(
    error: &io::Error,
    socket: Option<Socket>,
    tls: &ServerTls,
    seen: &Seen,
    asked: &Asked,
) -> Judged {
    let tls_error = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(tls_error) = tls_error else {
        return match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::Other => Judged {
                failure: Failure::HandshakeMalformed,
                cause: error.to_string(),
                ..Judged::default()
            },
            _ if seen.is_empty() => Judged {
                failure: Failure::NoHello,
                cause: "the client closed before its first byte".to_owned(),
                ..Judged::default()
            },
            _ => Judged {
                failure: Failure::HandshakeClientClosed,
                cause: format!("the client closed during the handshake: {error}"),
                ..Judged::default()
            },
        };
    };
    if seen.is_http() {
        let cause = "plain HTTP on a TLS listener: the client must use https";
        return Judged {
            failure: Failure::PlainHttp,
            cause: cause.to_owned(),
            plain_http: socket.filter(|_| !seen.is_http2()),
            ..Judged::default()
        };
    }
    let (failure, alert) = failure_of(tls_error);
    let failure = for_name(failure, alert, asked.sni.as_deref(), tls);
    let cause = match failure {
        Failure::NoCertificateForName => {
            "no certificate of the listener is for this name, and the client refused the first one"
                .to_owned()
        }
        Failure::ServerCertificateRefused => refusal_of(alert).to_owned(),
        Failure::NoCommonProtocol => {
            let asked = asked.tokens.as_deref().unwrap_or_default();
            format!("{tls_error}: the client speaks only{asked}")
        }
        // They often name the protocol that the client speaks.
        Failure::HandshakeMalformed => {
            format!("{tls_error}; the first bytes are {}", seen.get().escape_ascii())
        }
        _ => tls_error.to_string(),
    };
    Judged { failure, alert, cause, plain_http: None }
}

/// The failure, and the client's alert if it is one.
pub(super) fn failure_of(error: &Error) -> (Failure, Option<AlertDescription>) {
    let failure = match error {
        Error::AlertReceived(alert) => return (of_alert(*alert), Some(*alert)),
        Error::NoCertificatesPresented => Failure::ClientCertificateMissing,
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        )
        | Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => Failure::NoCommonVersion,
        Error::PeerIncompatible(_) => Failure::NoCommonCipher,
        Error::NoApplicationProtocol => Failure::NoCommonProtocol,
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_)
        | Error::DecryptError
        | Error::PeerSentOversizedRecord => Failure::HandshakeMalformed,
        _ => Failure::HandshakeInternal,
    };
    (failure, None)
}

/// The same where it may be that no certificate is for the name that the client asked for.
pub(super) fn for_name(
    failure: Failure,
    alert: Option<AlertDescription>,
    sni: Option<&str>,
    tls: &ServerTls,
) -> Failure {
    use AlertDescription as Alert;
    // What clients say of a certificate for other names.
    let may_be_of_name = matches!(
        alert,
        Some(Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnrecognisedName)
    );
    if may_be_of_name && sni.is_some_and(|name| !tls.has_certificate_for(name)) {
        return Failure::NoCertificateForName;
    }
    failure
}

fn of_certificate(error: &CertificateError) -> Failure {
    use CertificateError as Of;
    match error {
        Of::UnknownIssuer | Of::BadSignature => Failure::ClientCertificateUntrusted,
        Of::Expired | Of::ExpiredContext { .. } => Failure::ClientCertificateExpired,
        Of::NotValidYet | Of::NotValidYetContext { .. } => Failure::ClientCertificateNotYetValid,
        Of::Revoked => Failure::ClientCertificateRevoked,
        Of::UnknownRevocationStatus
        | Of::ExpiredRevocationList
        | Of::ExpiredRevocationListContext { .. } => Failure::ClientCertificateStatusUnknown,
        Of::InvalidPurpose | Of::InvalidPurposeContext { .. } => {
            Failure::ClientCertificateWrongUsage
        }
        _ => Failure::ClientCertificateInvalid,
    }
}

fn of_alert(alert: AlertDescription) -> Failure {
    use AlertDescription as Alert;
    match alert {
        Alert::UnknownCA
        | Alert::BadCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateExpired
        | Alert::CertificateRevoked
        | Alert::UnsupportedCertificate
        | Alert::UnrecognisedName
        | Alert::BadCertificateStatusResponse => Failure::ServerCertificateRefused,
        Alert::ProtocolVersion | Alert::InappropriateFallback => Failure::NoCommonVersion,
        Alert::HandshakeFailure | Alert::InsufficientSecurity => Failure::NoCommonCipher,
        Alert::NoApplicationProtocol => Failure::NoCommonProtocol,
        Alert::CloseNotify | Alert::UserCanceled => Failure::HandshakeClientClosed,
        _ => Failure::ClientAlert,
    }
}

/// What the client has against the certificate that it was shown.
fn refusal_of(alert: Option<AlertDescription>) -> &'static str {
    match alert {
        Some(AlertDescription::UnknownCA) => {
            "the client does not trust the authority of the listener's certificate, or an \
             intermediate is missing in certFile"
        }
        Some(AlertDescription::CertificateExpired) => {
            "the listener's certificate has expired, by the client's clock"
        }
        Some(AlertDescription::CertificateRevoked) => "the listener's certificate was revoked",
        _ => "the client refused the listener's certificate",
    }
}

/// Of a session whose client is not let in after its handshake.
pub(super) fn failure_of_peer(refused: &PeerRefused) -> Failure {
    match refused {
        PeerRefused::Missing => Failure::ClientCertificateMissing,
        PeerRefused::Unverified(error) => failure_of(error).0,
        PeerRefused::Revoked => Failure::ClientCertificateRevoked,
        PeerRefused::Unreadable => Failure::ClientCertificateInvalid,
    }
}

/// As RFC 8446 writes it.
pub(super) fn alert_name(alert: AlertDescription) -> &'static str {
    use AlertDescription as Alert;
    match alert {
        Alert::CloseNotify => "close_notify",
        Alert::UnexpectedMessage => "unexpected_message",
        Alert::BadRecordMac => "bad_record_mac",
        Alert::RecordOverflow => "record_overflow",
        Alert::HandshakeFailure => "handshake_failure",
        Alert::BadCertificate => "bad_certificate",
        Alert::UnsupportedCertificate => "unsupported_certificate",
        Alert::CertificateRevoked => "certificate_revoked",
        Alert::CertificateExpired => "certificate_expired",
        Alert::CertificateUnknown => "certificate_unknown",
        Alert::IllegalParameter => "illegal_parameter",
        Alert::UnknownCA => "unknown_ca",
        Alert::AccessDenied => "access_denied",
        Alert::DecodeError => "decode_error",
        Alert::DecryptError => "decrypt_error",
        Alert::ProtocolVersion => "protocol_version",
        Alert::InsufficientSecurity => "insufficient_security",
        Alert::InternalError => "internal_error",
        Alert::InappropriateFallback => "inappropriate_fallback",
        Alert::UserCanceled => "user_canceled",
        Alert::NoRenegotiation => "no_renegotiation",
        Alert::MissingExtension => "missing_extension",
        Alert::UnsupportedExtension => "unsupported_extension",
        Alert::UnrecognisedName => "unrecognized_name",
        Alert::BadCertificateStatusResponse => "bad_certificate_status_response",
        Alert::UnknownPSKIdentity => "unknown_psk_identity",
        Alert::CertificateRequired => "certificate_required",
        Alert::NoApplicationProtocol => "no_application_protocol",
        Alert::EncryptedClientHelloRequired => "ech_required",
        _ => "unknown",
    }
}
