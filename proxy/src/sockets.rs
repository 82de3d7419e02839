//! Binding: one listening socket per worker, and never a port that another process serves.

mod help;
mod key;

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use portcullis_config::model::ListenAddress;
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

pub use help::help;
pub(crate) use key::ListenerKey;

/// Connections that the kernel queues for one socket before they are accepted.
const BACKLOG: i32 = 4096;

/// How long a socket that refuses new connections stays open for those that are being made: the
/// kernel resets a handshake whose last part comes after the close.
pub const SETTLE: Duration = Duration::from_millis(20);

/// A listener's identity over generations: it stays while the address stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u64);

/// A bound and listening socket on its way to the worker that will own it.
pub enum ListenSocket {
    Tcp(std::net::TcpListener),
    Unix(UnixListener),
}

/// The sockets of one listener, one for each worker, and where they are bound.
pub struct BoundSockets {
    pub sockets: Vec<ListenSocket>,
    /// With the port that the kernel chose where the configuration says 0.
    pub address: ListenAddress,
}

/// Binds `workers` sockets to one address. No other socket may listen there, except one of our own
/// that is `leaving`; beside that one they do not listen until [`listen`].
pub fn bind(
    address: &ListenAddress,
    workers: usize,
    leaving: &[ListenAddress],
) -> io::Result<BoundSockets> {
    let beside = leaving.iter().any(|leaving| leaving.overlaps(address));
    match address {
        ListenAddress::Tcp { address, v6only } if beside => {
            bind_tcp_beside(*address, *v6only, workers)
        }
        ListenAddress::Tcp { address, v6only } => bind_tcp(*address, *v6only, workers),
        ListenAddress::Unix(path) => bind_unix(path, workers),
    }
}

fn bind_tcp(address: SocketAddr, v6only: bool, workers: usize) -> io::Result<BoundSockets> {
    // With SO_REUSEPORT alone a second process would silently take a share of the traffic. The
    // first socket is bound without it, which fails when another socket listens there, and listens
    // before it admits its siblings: of two processes that start together one fails.
    let first = tcp_socket(address, v6only)?;
    first.bind(&address.into())?;
    first.listen(BACKLOG)?;
    let address = first.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    first.set_reuse_port(true)?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        let sibling = tcp_socket(address, v6only)?;
        sibling.set_reuse_port(true)?;
        sibling.bind(&address.into())?;
        sibling.listen(BACKLOG)?;
        sockets.push(sibling);
    }
    let sockets = sockets.into_iter().map(|socket| ListenSocket::Tcp(socket.into())).collect();
    Ok(BoundSockets { sockets, address: ListenAddress::Tcp { address, v6only } })
}

/// The sockets that are leaving admit siblings already, and keep other processes out. Listening
/// would take connections from them, which would be lost if the new generation failed.
fn bind_tcp_beside(address: SocketAddr, v6only: bool, workers: usize) -> io::Result<BoundSockets> {
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = tcp_socket(address, v6only)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        sockets.push(ListenSocket::Tcp(socket.into()));
    }
    Ok(BoundSockets { sockets, address: ListenAddress::Tcp { address, v6only } })
}

/// Lets a socket listen that was bound beside another one; the others do already.
pub fn listen(socket: &ListenSocket) -> io::Result<()> {
    match socket {
        ListenSocket::Tcp(socket) => SockRef::from(socket).listen(BACKLOG),
        ListenSocket::Unix(_) => Ok(()),
    }
}

/// The same for all sockets of a listener. Nothing but want of memory fails here, and what is
/// published already is not taken back.
pub(crate) fn listen_all(name: &str, sockets: &[ListenSocket]) {
    for socket in sockets {
        if let Err(error) = listen(socket) {
            tracing::error!(listener = name, %error, "a socket does not listen");
        }
    }
}

fn tcp_socket(address: SocketAddr, v6only: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(v6only)?;
    }
    // A restart must not wait for the connections of its predecessor to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Makes the kernel refuse new connections here, while handshakes in progress may still reach the
/// queue: a filter drops every segment with SYN and without ACK. The client retries a second later,
/// and finds the port closed or served by another process.
pub fn refuse_new(listener: &impl AsFd) -> io::Result<()> {
    /// Of the TCP header, where such a filter begins to look.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const JUMP_IF_SET: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    #[expect(clippy::cast_possible_truncation, reason = "operation codes have 16 bits")]
    let filter =
        |code: u32, if_so, if_not, operand| SockFilter::new(code as u16, if_so, if_not, operand);
    SockRef::from(listener).attach_filter(&[
        filter(LOAD_BYTE, 0, 0, FLAGS),
        filter(JUMP_IF_SET, 0, 1, SYN),
        filter(RETURN, 0, 0, 0),
        filter(RETURN, 0, 0, u32::MAX),
    ])
}

fn bind_unix(path: &Path, workers: usize) -> io::Result<BoundSockets> {
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        sockets.push(ListenSocket::Unix(listener.try_clone()?));
    }
    sockets.push(ListenSocket::Unix(listener));
    Ok(BoundSockets { sockets, address: ListenAddress::Unix(path.to_owned()) })
}

/// Binds a Unix socket that its owner alone may connect to.
pub fn bind_for_owner(path: &Path) -> io::Result<UnixListener> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    // No client can connect before it listens, so the mode is set in time.
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Removes a socket file without a listener; any other file stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)
            }
            _ => Err(io::ErrorKind::AddrInUse.into()),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> ListenAddress {
        ListenAddress::Tcp { address: SocketAddr::from(([127, 0, 0, 1], 0)), v6only: false }
    }

    #[test]
    fn every_worker_gets_a_socket_of_the_same_port() {
        let bound = bind(&loopback(), 3, &[]).unwrap();
        let ports: Vec<_> = bound
            .sockets
            .iter()
            .map(|socket| match socket {
                ListenSocket::Tcp(socket) => socket.local_addr().unwrap(),
                ListenSocket::Unix(_) => panic!("not a TCP socket"),
            })
            .collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0]));
    }

    #[test]
    fn a_port_that_is_served_is_refused_even_to_sharers() {
        let first = bind(&loopback(), 2, &[]).unwrap();
        let again = bind(&first.address, 2, &[]).map(|_| ()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn what_is_bound_beside_one_that_leaves_accepts_no_client_before_it_listens() {
        for everywhere in ["0.0.0.0", "::"] {
            let address = portcullis_testkit::process::free_address().unwrap();
            let narrow = bind(&ListenAddress::Tcp { address, v6only: false }, 2, &[]).unwrap();
            let wide = SocketAddr::new(everywhere.parse().unwrap(), address.port());
            let wide = ListenAddress::Tcp { address: wide, v6only: false };
            assert!(bind(&wide, 2, &[]).is_err(), "as by another process");
            let elsewhere = SocketAddr::from(([127, 0, 0, 2], address.port()));
            let beside = bind(&wide, 2, std::slice::from_ref(&narrow.address)).unwrap();
            assert!(std::net::TcpStream::connect(elsewhere).is_err());
            beside.sockets.iter().for_each(|socket| listen(socket).unwrap());
            std::net::TcpStream::connect(elsewhere).unwrap();
            std::net::TcpStream::connect(address).unwrap();
            // And the other way round.
            drop(narrow);
            let again = ListenAddress::Tcp { address, v6only: false };
            let again = bind(&again, 2, std::slice::from_ref(&beside.address)).unwrap();
            again.sockets.iter().for_each(|socket| listen(socket).unwrap());
        }
    }

    #[test]
    fn a_closing_socket_keeps_its_queue_and_accepts_no_new_client() {
        let mut bound = bind(&loopback(), 1, &[]).unwrap();
        let Some(ListenSocket::Tcp(listener)) = bound.sockets.pop() else { panic!("TCP") };
        let address = listener.local_addr().unwrap();
        let early = std::net::TcpStream::connect(address).unwrap();
        refuse_new(&listener).unwrap();
        let late = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(listener.accept().unwrap().1, early.local_addr().unwrap());
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let address = ListenAddress::Unix(path.clone());
        drop(bind(&address, 1, &[]).unwrap());
        assert!(path.exists());
        let live = bind(&address, 2, &[]).unwrap();
        assert_eq!(live.sockets.len(), 2);
        assert_eq!(
            bind(&address, 1, &[]).map(|_| ()).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }

    #[test]
    fn an_owners_socket_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let _listener = bind_for_owner(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        assert_eq!(bind_for_owner(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "data").unwrap();
        assert!(bind(&ListenAddress::Unix(path.clone()), 1, &[]).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
    }
}
