//! Reading a header off a socket, and giving back what was read beyond it.
//!
//! Knows sockets and modes; time is the caller's.

use portcullis_config::model::ProxyProtocol;
use tokio::io::AsyncReadExt;

use super::{ConnectionAddresses, HeaderError, LONGEST, ParsedHeader, parse};
use crate::io::Socket;

/// A socket behind its header.
pub struct Received {
    /// Its next byte is the client's first.
    pub socket: Socket,
    pub ends: Option<ConnectionAddresses>,
}

/// Why a connection is not served.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("the peer is not trusted to say who its client is")]
    Untrusted,
    #[error("the connection does not begin with a header")]
    Absent,
    #[error("the peer closed before its first byte")]
    Closed,
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("the connection broke: {0}")]
    Socket(std::io::Error),
}

/// Reads the header that `mode` wants of this peer. Nothing is read from an untrusted peer.
pub async fn receive(
    socket: Socket,
    mode: ProxyProtocol,
    trusted: bool,
) -> Result<Received, Refused> {
    match mode {
        ProxyProtocol::Disabled => Ok(Received { socket, ends: None }),
        ProxyProtocol::Accept if !trusted => Ok(Received { socket, ends: None }),
        ProxyProtocol::Require if !trusted => Err(Refused::Untrusted),
        ProxyProtocol::Accept | ProxyProtocol::Require => read(socket, mode).await,
    }
}

async fn read(mut socket: Socket, mode: ProxyProtocol) -> Result<Received, Refused> {
    // As much as headers usually have; a longer one makes it grow.
    let mut bytes = Vec::with_capacity(256);
    loop {
        let parsed = match parse(&bytes)? {
            ParsedHeader::Incomplete => {
                // Room for one byte more than the longest header: it is either whole or refused.
                let room = (LONGEST + 1 - bytes.len()).min(bytes.capacity().max(256));
                let mut limited = (&mut socket).take(room as u64);
                let count = limited.read_buf(&mut bytes).await.map_err(Refused::Socket)?;
                if count > 0 {
                    continue;
                }
                if bytes.is_empty() && mode == ProxyProtocol::Require {
                    return Err(Refused::Closed);
                }
                // It has closed its side: what there is, is all there will be.
                ParsedHeader::Absent
            }
            parsed => parsed,
        };
        return match parsed {
            ParsedHeader::Header { length, ends } => {
                Ok(Received { socket: socket.with_unread(&bytes[length..]), ends })
            }
            _ if mode == ProxyProtocol::Require => Err(Refused::Absent),
            _ => Ok(Received { socket: socket.with_unread(&bytes), ends: None }),
        };
    }
}
