//! Whether bytes that were sent reached the peer's socket, by the kernel's own account.

#![allow(unsafe_code, reason = "TCP_INFO has no safe wrapper among our libraries")]

use std::io;
use std::mem::size_of;
use std::os::fd::AsRawFd;

use tokio::net::TcpStream;

/// Bytes of `struct tcp_info` up to the end of `tcpi_bytes_acked` (linux/tcp.h, since 4.1).
const LENGTH: usize = 128;
/// Where `tcpi_bytes_acked` stands: RFC 4898's `tcpEStatsAppHCThruOctetsAcked`.
const BYTES_ACKED: usize = 120;

/// Bytes that the peer's TCP has acknowledged so far; the SYN may count as one.
///
/// A peer that closed before a request came answers it with a reset and acknowledges nothing; a
/// peer that took the request in and closed then acknowledges it with its FIN at the latest.
pub(super) fn acknowledged(stream: &TcpStream) -> io::Result<u64> {
    let mut info = [0u8; LENGTH];
    let mut length = libc::socklen_t::try_from(info.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open as long as `stream` is borrowed; the kernel writes at most
    // `length` bytes to `info`, which is that long, and any bytes are valid there.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let field: [u8; size_of::<u64>()] =
        info[BYTES_ACKED..BYTES_ACKED + 8].try_into().map_err(io::Error::other)?;
    Ok(u64::from_ne_bytes(field))
}
