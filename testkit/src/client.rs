//! A raw client: exactly these bytes, in these pieces, and a strict reading of what comes back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::http::{Decoder, Malformed, Response};
use crate::patience::slowly;

/// How long one call may take unless told otherwise.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("nothing more came in time; read so far: {0:?}")]
    Deadline(String),
    #[error("the connection was refused or failed: {0}")]
    Connect(io::Error),
    #[error("the peer reset the connection; read so far: {0:?}")]
    Reset(String),
    #[error("the peer closed the connection without a whole response; read so far: {0:?}")]
    Closed(String),
    #[error("{error}; read so far: {read:?}")]
    Malformed { error: Malformed, read: String },
    #[error(transparent)]
    Io(io::Error),
}

/// How the peer ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It said in order that no more will come.
    Closed,
    Reset,
}

/// Either kind of stream under one name.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How to reach a TLS server.
#[derive(Clone)]
pub struct Tls {
    pub name: ServerName<'static>,
    pub config: Arc<ClientConfig>,
}

/// One connection.
#[derive(Debug)]
pub struct RawClient {
    stream: Stream,
    decoder: Decoder,
    deadline: Duration,
    /// Everything that was read, for messages of failing tests.
    read: Vec<u8>,
}

impl Stream {
    pub async fn connect(address: SocketAddr, tls: Option<&Tls>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match tls {
            None => Ok(Self::Plain(stream)),
            Some(tls) => {
                let connector = TlsConnector::from(Arc::clone(&tls.config));
                let stream = connector.connect(tls.name.clone(), stream).await?;
                Ok(Self::Tls(Box::new(stream)))
            }
        }
    }

    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// At least one byte is appended, or it is the end.
    pub async fn read_buf(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read_buf(buffer).await,
            Self::Tls(stream) => stream.read_buf(buffer).await,
        }
    }

    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => write(stream, bytes).await,
            Self::Tls(stream) => write(stream.as_mut(), bytes).await,
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
        }
    }
}

async fn write(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

impl RawClient {
    pub async fn connect(address: SocketAddr) -> Result<Self, ClientError> {
        Self::connect_with(address, None).await
    }

    pub async fn connect_tls(address: SocketAddr, tls: &Tls) -> Result<Self, ClientError> {
        Self::connect_with(address, Some(tls)).await
    }

    async fn connect_with(address: SocketAddr, tls: Option<&Tls>) -> Result<Self, ClientError> {
        let connect = Stream::connect(address, tls);
        let stream = match timeout_at(Instant::now() + DEADLINE, connect).await {
            Ok(stream) => stream.map_err(ClientError::Connect)?,
            Err(_) => return Err(ClientError::Deadline(String::new())),
        };
        Ok(Self { stream, decoder: Decoder::default(), deadline: DEADLINE, read: Vec::new() })
    }

    /// Changes how long each later call may take.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let deadline = Instant::now() + self.deadline;
        match timeout_at(deadline, self.stream.write_all(bytes)).await {
            Ok(result) => result.map_err(|error| self.failed(error)),
            Err(_) => Err(ClientError::Deadline(self.so_far())),
        }
    }

    /// Sends each piece by itself; the pause between lets the peer read them apart.
    pub async fn send_pieces<P: AsRef<[u8]>>(
        &mut self,
        pieces: impl IntoIterator<Item = P>,
        pause: Duration,
    ) -> Result<(), ClientError> {
        for (index, piece) in pieces.into_iter().enumerate() {
            if index > 0 {
                slowly(pause).await;
            }
            self.send(piece.as_ref()).await?;
        }
        Ok(())
    }

    /// Says that no more will be sent, and goes on reading.
    pub async fn half_close(&mut self) -> Result<(), ClientError> {
        self.stream.shutdown().await.map_err(ClientError::Io)
    }

    /// Ends the connection with a reset.
    pub fn reset(self) -> Result<(), ClientError> {
        self.stream.tcp().set_zero_linger().map_err(ClientError::Io)
    }

    /// The next response, informational ones too.
    pub async fn response(&mut self) -> Result<Response, ClientError> {
        self.response_to(false).await
    }

    /// The next response when the request was a HEAD.
    pub async fn response_to_head(&mut self) -> Result<Response, ClientError> {
        self.response_to(true).await
    }

    /// The next response that is not informational.
    pub async fn final_response(&mut self) -> Result<Response, ClientError> {
        loop {
            let response = self.response().await?;
            if !response.is_informational() {
                return Ok(response);
            }
        }
    }

    /// So many responses that are not informational.
    pub async fn responses(&mut self, count: usize) -> Result<Vec<Response>, ClientError> {
        let mut responses = Vec::with_capacity(count);
        for _ in 0..count {
            responses.push(self.final_response().await?);
        }
        Ok(responses)
    }

    async fn response_to(&mut self, to_head: bool) -> Result<Response, ClientError> {
        let deadline = Instant::now() + self.deadline;
        loop {
            let response = self.decoder.response(to_head).map_err(|error| self.wrong(error))?;
            if let Some(response) = response {
                return Ok(response);
            }
            if self.fill(deadline).await? == 0 {
                let last =
                    self.decoder.response_at_end(to_head).map_err(|error| self.wrong(error))?;
                return last.ok_or_else(|| ClientError::Closed(self.so_far()));
            }
        }
    }

    /// Every byte until the peer ends the connection, unread ones of the decoder first.
    pub async fn read_to_end(&mut self) -> Result<(Vec<u8>, End), ClientError> {
        let deadline = Instant::now() + self.deadline;
        loop {
            match self.fill(deadline).await {
                Ok(0) => return Ok((self.decoder.take_rest(), End::Closed)),
                Ok(_) => {}
                Err(ClientError::Reset(_)) => return Ok((self.decoder.take_rest(), End::Reset)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Everything read on this connection.
    pub fn transcript(&self) -> &[u8] {
        &self.read
    }

    async fn fill(&mut self, deadline: Instant) -> Result<usize, ClientError> {
        let before = self.read.len();
        match timeout_at(deadline, self.stream.read_buf(&mut self.read)).await {
            Ok(Ok(length)) => {
                self.decoder.push(&self.read[before..]);
                Ok(length)
            }
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_) => Err(ClientError::Deadline(self.so_far())),
        }
    }

    fn failed(&self, error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                ClientError::Reset(self.so_far())
            }
            _ => ClientError::Io(error),
        }
    }

    fn wrong(&self, error: Malformed) -> ClientError {
        ClientError::Malformed { error, read: self.so_far() }
    }

    fn so_far(&self) -> String {
        let start = self.read.len().saturating_sub(2048);
        String::from_utf8_lossy(&self.read[start..]).into_owned()
    }
}

/// One connection for one request without a body; `headers` are whole lines without their ends.
pub async fn fetch(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[&str],
) -> Result<Response, ClientError> {
    let mut request = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
        request.push_str("host: test.example\r\n");
    }
    for line in headers {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let mut client = RawClient::connect(address).await?;
    client.send(request.as_bytes()).await?;
    if method == "HEAD" { client.response_to_head().await } else { client.final_response().await }
}
