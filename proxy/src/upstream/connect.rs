//! Opening a connection to an endpoint: socket, then TLS where the upstream asks for it.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::error::Reason;
use crate::fault::{self, Words};
use crate::io::{Io, Socket};
use crate::observe::series::ConnectFailure;
use crate::tls::ClientTls;
use crate::upstream::endpoint::{Endpoint, EndpointAddress};

/// Why no connection came about. Nothing of the request was sent, so it may be sent elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no connection within the connect timeout")]
    Timeout,
    #[error("no TLS handshake within the connect timeout")]
    TlsTimeout,
    #[error("the endpoint refused or cannot be reached: {0}")]
    Socket(io::Error),
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    #[error("the HTTP/2 preface was not taken in time")]
    Http2Timeout,
    #[error("the endpoint does not speak HTTP/2: {0}")]
    Http2(h2::Error),
    #[error("the endpoint's name cannot stand in a certificate")]
    Name,
}

impl ConnectError {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Timeout | Self::TlsTimeout | Self::Http2Timeout => Reason::UpstreamConnectTimeout,
            Self::Socket(_) => Reason::UpstreamConnectFailed,
            Self::Tls(_) | Self::Name => Reason::UpstreamTlsFailed,
            Self::Http2(_) => Reason::UpstreamProtocol,
        }
    }

    /// What happened, for the access log.
    pub fn words(&self) -> Words {
        match self {
            Self::Timeout => {
                "no connection to the endpoint in time (connectTimeout, or what was left of \
                 timeouts.perTry)"
                    .into()
            }
            Self::TlsTimeout => {
                "the endpoint took the connection and did not finish the TLS handshake in time \
                 (connectTimeout, or what was left of timeouts.perTry)"
                    .into()
            }
            Self::Http2Timeout => {
                "the endpoint took the connection and did not take the HTTP/2 preface in time"
                    .into()
            }
            Self::Socket(error) => fault::of_io(error),
            Self::Tls(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    "the endpoint closed the connection during the TLS handshake".into()
                }
                _ => fault::of_io(error),
            },
            Self::Http2(error) => format!("the endpoint does not speak HTTP/2: {error}").into(),
            Self::Name => {
                "the endpoint's host cannot stand in a certificate: set tls.serverName".into()
            }
        }
    }

    /// The metric's label.
    pub fn failure(&self) -> ConnectFailure {
        match self {
            Self::Timeout | Self::TlsTimeout | Self::Http2Timeout => ConnectFailure::Timeout,
            Self::Socket(error) => ConnectFailure::of(error),
            Self::Tls(_) | Self::Name => ConnectFailure::Tls,
            Self::Http2(_) => ConnectFailure::Other,
        }
    }
}

/// What a TLS handshake offers to speak (ALPN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// As the upstream is configured.
    Http,
    /// What will be spoken is not known here.
    Nothing,
}

/// Connects before `deadline`, which covers the TLS handshake too. `preface` is what the
/// connection begins with, before TLS.
pub async fn connect(
    tls: Option<&ClientTls>,
    endpoint: &Endpoint,
    preface: &[u8],
    offer: Offer,
    deadline: Instant,
) -> Result<Rc<Io>, ConnectError> {
    let shaking = Cell::new(false);
    match timeout_at(deadline, establish(tls, endpoint, preface, offer, &shaking)).await {
        Ok(result) => result.map(Rc::new),
        Err(_) if shaking.get() => Err(ConnectError::TlsTimeout),
        Err(_) => Err(ConnectError::Timeout),
    }
}

async fn establish(
    tls: Option<&ClientTls>,
    endpoint: &Endpoint,
    preface: &[u8],
    offer: Offer,
    shaking: &Cell<bool>,
) -> Result<Io, ConnectError> {
    let mut socket = match &endpoint.address {
        EndpointAddress::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(ConnectError::Socket)?;
            stream.set_nodelay(true).map_err(ConnectError::Socket)?;
            Socket::Tcp(stream)
        }
        EndpointAddress::Unix(path) => {
            Socket::Unix(UnixStream::connect(path).await.map_err(ConnectError::Socket)?)
        }
    };
    if !preface.is_empty() {
        socket.write_all(preface).await.map_err(ConnectError::Socket)?;
    }
    let Some(tls) = tls else { return Ok(Io::plain(socket)) };
    let name = tls.server_name(&endpoint.host).map_err(|_| ConnectError::Name)?;
    shaking.set(true);
    let connector = TlsConnector::from(tls.client_config());
    let shaken = match offer {
        Offer::Http => connector.connect(name, socket).await,
        Offer::Nothing => connector.with_alpn(Vec::new()).connect(name, socket).await,
    };
    Ok(Io::client(shaken.map_err(ConnectError::Tls)?))
}
