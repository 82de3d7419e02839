//! One duplex byte stream, whatever carries it: TCP or a Unix socket, plain or under TLS.
//!
//! Both directions of a connection live in one task, so the stream is shared by reference and
//! borrowed only while it is polled. Knows no HTTP.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use portcullis_config::model::HttpProtocol;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

/// A connected socket without TLS.
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// A socket from which too much was read; the rest is read first.
    Rewound(Box<Rewound>),
}

/// Bytes that stand before what the socket will give.
pub struct Rewound {
    bytes: Vec<u8>,
    read: usize,
    socket: Socket,
}

impl Socket {
    /// The socket as it was before `bytes` were read of it.
    pub fn with_unread(self, bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return self;
        }
        Self::Rewound(Box::new(Rewound { bytes: bytes.to_vec(), read: 0, socket: self }))
    }

    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Rewound(begun) if begun.bytes.is_empty() => begun.socket.poll_read_ready(cx),
            Self::Rewound(_) => Poll::Ready(Ok(())),
        }
    }

    /// Where the connection arrived; `None` for a Unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
            Self::Rewound(begun) => begun.socket.local_address(),
        }
    }

    /// The TCP stream, unless something must be read before it.
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Unix(_) => None,
            Self::Rewound(begun) if begun.bytes.is_empty() => begun.socket.tcp(),
            Self::Rewound(_) => None,
        }
    }

    fn raw(&self) -> socket2::SockRef<'_> {
        match self {
            Self::Tcp(stream) => socket2::SockRef::from(stream),
            Self::Unix(stream) => socket2::SockRef::from(stream),
            Self::Rewound(begun) => begun.socket.raw(),
        }
    }
}

impl Rewound {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rest = &self.bytes[self.read..];
        if rest.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buf);
        }
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        self.read += count;
        if self.read == self.bytes.len() {
            // The rest of the connection's life goes without them.
            self.bytes = Vec::new();
            self.read = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Rewound(begun) => begun.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Rewound(begun) => Pin::new(&mut begun.socket).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Rewound(begun) => Pin::new(&mut begun.socket).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Rewound(begun) => Pin::new(&mut begun.socket).poll_shutdown(cx),
        }
    }
}

enum Carrier {
    Plain(Socket),
    Server(Box<server::TlsStream<Socket>>),
    Client(Box<client::TlsStream<Socket>>),
}

impl Carrier {
    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Server(stream) => stream.get_ref().0,
            Self::Client(stream) => stream.get_ref().0,
        }
    }
}

macro_rules! with_stream {
    ($carrier:expr, $stream:ident => $body:expr) => {
        match $carrier {
            Carrier::Plain(stream) => {
                let $stream = Pin::new(stream);
                $body
            }
            Carrier::Server(stream) => {
                let $stream = Pin::new(&mut **stream);
                $body
            }
            Carrier::Client(stream) => {
                let $stream = Pin::new(&mut **stream);
                $body
            }
        }
    };
}

/// A connection to a client or an upstream.
pub struct Io {
    carrier: RefCell<Carrier>,
}

impl Io {
    pub fn plain(socket: Socket) -> Self {
        Self { carrier: RefCell::new(Carrier::Plain(socket)) }
    }

    pub fn server(stream: server::TlsStream<Socket>) -> Self {
        Self { carrier: RefCell::new(Carrier::Server(Box::new(stream))) }
    }

    pub fn client(stream: client::TlsStream<Socket>) -> Self {
        Self { carrier: RefCell::new(Carrier::Client(Box::new(stream))) }
    }

    pub fn is_tls(&self) -> bool {
        !matches!(*self.carrier.borrow(), Carrier::Plain(_))
    }

    /// Shows the TCP stream where nothing stands before it: neither TLS nor bytes read ahead.
    pub fn tcp<R>(&self, show: impl FnOnce(&TcpStream) -> R) -> Option<R> {
        match &*self.carrier.borrow() {
            Carrier::Plain(socket) => socket.tcp().map(show),
            Carrier::Server(_) | Carrier::Client(_) => None,
        }
    }

    /// Whether it is a TCP stream and nothing else.
    pub fn is_bare(&self) -> bool {
        self.tcp(|_| ()).is_some()
    }

    /// Where the connection arrived; `None` for a Unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.carrier.borrow().socket().local_address()
    }

    /// The protocol that a TLS handshake has settled, if it did.
    pub fn agreed(&self) -> Option<HttpProtocol> {
        let carrier = self.carrier.borrow();
        let token = match &*carrier {
            Carrier::Plain(_) => None,
            Carrier::Server(stream) => stream.get_ref().1.alpn_protocol(),
            Carrier::Client(stream) => stream.get_ref().1.alpn_protocol(),
        };
        match token? {
            b"h2" => Some(HttpProtocol::Http2),
            b"http/1.1" => Some(HttpProtocol::Http1),
            _ => None,
        }
    }

    /// Ready when a read may make progress; needs no buffer.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self.carrier.borrow() {
            Carrier::Plain(socket) => socket.poll_read_ready(cx),
            // Decrypted bytes may wait inside the session while the socket is silent.
            Carrier::Server(stream) => {
                let (socket, session) = stream.get_ref();
                if session.wants_read() { socket.poll_read_ready(cx) } else { Poll::Ready(Ok(())) }
            }
            Carrier::Client(stream) => {
                let (socket, session) = stream.get_ref();
                if session.wants_read() { socket.poll_read_ready(cx) } else { Poll::Ready(Ok(())) }
            }
        }
    }

    pub async fn readable(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_readable(cx)).await
    }

    /// Reads into `room`; 0 bytes mean that the peer has closed its side.
    pub fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(room);
        ready!(self.poll_read_buf(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// The same into a buffer that may be uninitialised.
    pub fn poll_read_buf(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut carrier = self.carrier.borrow_mut();
        with_stream!(&mut *carrier, stream => stream.poll_read(cx, buffer))
    }

    pub async fn read(&self, room: &mut [u8]) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_read(cx, room)).await
    }

    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut carrier = self.carrier.borrow_mut();
        match slices {
            [one] => with_stream!(&mut *carrier, stream => stream.poll_write(cx, one)),
            many => with_stream!(&mut *carrier, stream => stream.poll_write_vectored(cx, many)),
        }
    }

    /// Hands a plain socket what it takes right now, in one system call; 0 when that is nothing.
    /// An error counts as no bytes: the next read meets it again.
    pub fn write_at_once(&self, slices: &[IoSlice<'_>]) -> usize {
        let written = self.tcp(|stream| match slices {
            [one] => stream.try_write(one),
            many => stream.try_write_vectored(many),
        });
        written.and_then(Result::ok).unwrap_or(0)
    }

    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut carrier = self.carrier.borrow_mut();
        with_stream!(&mut *carrier, stream => stream.poll_flush(cx))
    }

    /// Writes both parts, in one system call where the kernel takes them. `progress` hears of
    /// every step, so that a caller can tell "nothing left" from "some left", and move a deadline.
    pub async fn write_all(
        &self,
        first: &[u8],
        second: &[u8],
        mut progress: impl FnMut(usize),
    ) -> io::Result<()> {
        let total = first.len() + second.len();
        let mut written = 0;
        while written < total {
            let count = std::future::poll_fn(|cx| {
                if written >= first.len() {
                    return self.poll_write(cx, &[IoSlice::new(&second[written - first.len()..])]);
                }
                let head = IoSlice::new(&first[written..]);
                if second.is_empty() {
                    self.poll_write(cx, &[head])
                } else {
                    self.poll_write(cx, &[head, IoSlice::new(second)])
                }
            })
            .await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            written += count;
            progress(count);
        }
        if self.is_tls() {
            std::future::poll_fn(|cx| self.poll_flush(cx)).await?;
        }
        Ok(())
    }

    /// Says that nothing more will be written: FIN, under TLS after `close_notify`.
    pub async fn shutdown(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_shutdown(cx)).await
    }

    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut carrier = self.carrier.borrow_mut();
        with_stream!(&mut *carrier, stream => stream.poll_shutdown(cx))
    }

    /// What the peer has done lately, without consuming a byte.
    pub fn peer_state(&self) -> PeerState {
        match peek(self.carrier.borrow().socket()) {
            Ok(0) => PeerState::Closed,
            Ok(_) => PeerState::Sending,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => PeerState::Silent,
            Err(_) => PeerState::Reset,
        }
    }

    /// Whether an idle connection may carry another request. Costs no system call while the
    /// peer has been silent since the last read.
    pub fn is_quiet(&self) -> bool {
        if let Some(read) = self.tcp(|stream| stream.try_read(&mut [0])) {
            return read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match self.poll_readable(&mut cx) {
            Poll::Pending => true,
            // Readiness can be left over from a read that filled its buffer to the brim.
            Poll::Ready(Ok(())) => self.poll_read(&mut cx, &mut [0]).is_pending(),
            Poll::Ready(Err(_)) => false,
        }
    }

    /// Makes the coming close a reset, which no peer can take for the clean end of a body.
    pub fn reset_on_close(&self) {
        // Best effort: a socket that is gone already needs no reset.
        let _ = self.carrier.borrow().socket().raw().set_linger(Some(Duration::ZERO));
    }
}

/// What a look at the socket tells of its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    Silent,
    /// Bytes wait to be read.
    Sending,
    /// It sent its FIN, and may still be reading.
    Closed,
    Reset,
}

fn peek(socket: &Socket) -> io::Result<usize> {
    if let Socket::Rewound(begun) = socket
        && !begun.bytes.is_empty()
    {
        return Ok(begun.bytes.len() - begun.read);
    }
    let mut byte = [std::mem::MaybeUninit::uninit()];
    socket.raw().peek(&mut byte)
}

#[cfg(test)]
pub(crate) mod testing;
