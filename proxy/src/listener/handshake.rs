//! The TLS handshake of a client, and what a failed one comes from.
//!
//! Knows TLS and its errors. The caller closes the connection and reports the failure.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use rustls::server::{Acceptor, ClientHello};
use rustls::{AlertDescription, Error};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::first::{First, FirstBytes};
use crate::drain::Registration;
use crate::io::Socket;
use crate::observe::failure::Failure;
use crate::tls::ServerTls;
use crate::unserved::{failure_of, for_name};

/// Bytes of the client's ALPN tokens that are shown of a handshake that failed for them.
const SHOWN_TOKENS: usize = 64;

/// What is known of a failed handshake.
pub(super) struct HandshakeFailure {
    pub(super) failure: Failure,
    /// The alert by which the client ended the handshake.
    pub(super) alert: Option<AlertDescription>,
    pub(super) sni: Option<String>,
    pub(super) cause: String,
    /// The socket of a client that sent HTTP without TLS; nothing was written to it yet.
    pub(super) plain_http: Option<Socket>,
}

/// The session, and the name that the client asked for.
pub(super) type Done = (TlsStream<Socket>, Option<String>);

/// Does the handshake within `patience`; a drain ends it too.
pub(super) async fn shake(
    socket: Socket,
    tls: &ServerTls,
    patience: Duration,
    registration: &Registration,
) -> Result<Done, HandshakeFailure> {
    let seen = FirstBytes::default();
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
    Err(HandshakeFailure { failure, alert, sni: asked.sni, cause, plain_http })
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
    seen: &FirstBytes,
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
    seen: &FirstBytes,
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
