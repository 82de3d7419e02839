//! A client's address as text: written once for each connection, read by each of its requests.

use std::net::SocketAddr;

/// Address and port. Of a Unix socket, which has neither, `unix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerText {
    text: Box<str>,
    /// Where in it the address stands alone.
    address: (u8, u8),
}

impl PeerText {
    /// An IPv4 address that came in IPv6's clothes is written as IPv4.
    pub fn new(peer: Option<SocketAddr>) -> Self {
        let Some(peer) = peer else { return Self { text: "unix".into(), address: (0, 0) } };
        let ip = peer.ip().to_canonical();
        let text = SocketAddr::new(ip, peer.port()).to_string();
        let start = u8::from(ip.is_ipv6());
        let port = text.rfind(':').unwrap_or(text.len());
        // At most 39 characters, by the grammar of addresses.
        let end = u8::try_from(port).unwrap_or(u8::MAX) - start;
        Self { text: text.into(), address: (start, end) }
    }

    /// `192.0.2.7:50123`, `[2001:db8::1]:443` or `unix`.
    pub fn socket(&self) -> &str {
        &self.text
    }

    /// The address alone, without brackets; empty for a Unix socket.
    pub fn address(&self) -> &str {
        let (start, end) = self.address;
        &self.text[usize::from(start)..usize::from(end)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_with_and_without_their_port() {
        let check = |peer: Option<&str>, socket: &str, address: &str| {
            let text = PeerText::new(peer.map(|peer| peer.parse().unwrap()));
            assert_eq!((text.socket(), text.address()), (socket, address));
        };
        check(Some("192.0.2.7:50123"), "192.0.2.7:50123", "192.0.2.7");
        check(Some("[::ffff:192.0.2.7]:50123"), "192.0.2.7:50123", "192.0.2.7");
        check(Some("[2001:db8::1]:443"), "[2001:db8::1]:443", "2001:db8::1");
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        check(Some(&format!("[{longest}]:65535")), &format!("[{longest}]:65535"), longest);
        check(None, "unix", "");
    }
}
