//! Connections for tests.

use tokio::net::{TcpListener, TcpStream};

use super::{Io, Socket};

/// Both ends of a connection: ours, and the peer's.
pub(crate) async fn pair() -> (Io, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (Io::plain(Socket::Tcp(ours.unwrap())), theirs.unwrap().0)
}
