//! Ports for programs that cannot report theirs.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};

/// The lowest port that is given out.
const FIRST: u16 = 10_000;

/// A loopback address that was free a moment ago and that no other caller is given, in this
/// process or another, as long as this process lives.
///
/// Its port is one that the kernel gives only to those who ask for it: of the ports that it
/// chooses itself, the next outgoing connection of any process could be given this one.
pub fn free_address() -> io::Result<SocketAddr> {
    const ATTEMPTS: usize = 200;
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let chosen_by_kernel =
        range.ok().and_then(|range| range.split_whitespace().next()?.parse().ok());
    let count = chosen_by_kernel.unwrap_or(32_768_u16).saturating_sub(FIRST);
    for _ in 0..ATTEMPTS {
        // Every state has keys of its own: randomness without a crate for it.
        let random = RandomState::new().hash_one(());
        let Some(offset) = random.checked_rem(u64::from(count)) else { break };
        let port = FIRST.saturating_add(u16::try_from(offset).unwrap_or(0));
        if !reserve(port)? {
            continue;
        }
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr();
        }
    }
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Takes a port for this process: tests in several processes choose at the same time, and bind
/// later. A name of Linux's abstract sockets has one holder, and goes with the holder's process.
fn reserve(port: u16) -> io::Result<bool> {
    let name = UnixAddress::from_abstract_name(format!("portcullis-test-port-{port}"))?;
    match UnixDatagram::bind_addr(&name) {
        Ok(socket) => {
            // Held until the process ends: when the port is no longer needed is not known here.
            let _ = socket.into_raw_fd();
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_out_twice() {
        const ASKED: usize = 300;
        let ports: BTreeSet<u16> = (0..ASKED).map(|_| free_address().unwrap().port()).collect();
        assert_eq!(ports.len(), ASKED);
        let mut others = ports.iter().map(|port| reserve(*port).unwrap());
        assert!(others.all(|reserved| !reserved), "another process was given one of them");
    }
}
