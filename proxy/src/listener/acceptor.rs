//! A listening socket of one worker.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, UnixListener};

use crate::io::Socket;
use crate::sockets::ListenSocket;

/// A listening socket of one worker.
pub enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    /// Makes the socket this runtime's.
    pub(crate) fn new(socket: ListenSocket) -> io::Result<Self> {
        match socket {
            ListenSocket::Tcp(socket) => TcpListener::from_std(socket).map(Self::Tcp),
            ListenSocket::Unix(socket) => UnixListener::from_std(socket).map(Self::Unix),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Socket::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), None))
            }
        }
    }
}
