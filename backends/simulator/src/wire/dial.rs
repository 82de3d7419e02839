//! Connections to the gateway, before anything is said on them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::target::Target;
use super::tls::{self, TlsError};

/// How long a connection may take to open, with its TLS handshake.
const OPENS_WITHIN: Duration = Duration::from_secs(10);

/// Bytes to and from the gateway, encrypted or not.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Whom to believe that they are the gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trust<'a> {
    Anyone,
    Authority(&'a Path),
    /// For `http://`, where there is nobody to be believed.
    Nobody,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("https needs --insecure or --ca FILE")]
    NoTrust,
    #[error("{0:?} is no name that a certificate can have")]
    Name(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Opens connections.
#[derive(Clone)]
pub(crate) struct Dialer {
    target: Target,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Dialer {
    pub(crate) fn try_new(target: Target, trust: Trust<'_>) -> Result<Self, DialError> {
        let config = match (target.is_secure(), trust) {
            (false, _) => None,
            (true, Trust::Anyone) => Some(tls::taking_any()?),
            (true, Trust::Authority(file)) => Some(tls::by_authority(file)?),
            (true, Trust::Nobody) => return Err(DialError::NoTrust),
        };
        let tls = match config {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(target.host().to_owned());
                let name = name.map_err(|_| DialError::Name(target.host().to_owned()))?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        Ok(Self { target, tls })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Io>> {
        let opened = timeout(OPENS_WITHIN, Box::pin(self.open())).await;
        opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn open(&self) -> io::Result<Box<dyn Io>> {
        let stream = TcpStream::connect((self.target.host(), self.target.port())).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await?;
                Ok(Box::new(stream))
            }
        }
    }
}
