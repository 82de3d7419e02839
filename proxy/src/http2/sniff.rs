//! Detects what an upstream speaks on an HTTP/2 connection, to explain why the connection failed.
//!
//! The library reports an upstream of another protocol as a frame of the wrong size. This looks at
//! the first bytes and at errors; it knows no frame.

use std::cell::{Cell, RefCell};
use std::io;

use crate::fault::{self, Words};

/// What an upstream has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SniffedProtocol {
    Nothing,
    Frames,
    /// An HTTP/1 response to the preface.
    Http1,
    /// The connection broke; `words` are for the access log, `silent` if nothing was received.
    Fault {
        words: Words,
        silent: bool,
    },
}

/// Watches the bytes and errors of one connection.
#[derive(Debug, Default)]
pub(super) struct ProtocolSniffer {
    any: Cell<bool>,
    http1: Cell<bool>,
    fault: RefCell<Option<Words>>,
}

impl ProtocolSniffer {
    /// Bytes came, as many as are read in one go.
    pub(super) fn bytes(&self, bytes: &[u8]) {
        if !self.any.get() && !bytes.is_empty() {
            self.any.set(true);
            // As much of it as came: no frame begins so, since its length would be 4.7 MB.
            let (status_line, length) = (b"HTTP/", bytes.len().min(5));
            self.http1.set(bytes[..length] == status_line[..length]);
        }
    }

    pub(super) fn error(&self, error: &io::Error) {
        *self.fault.borrow_mut() = Some(fault::of_io(error));
    }

    pub(super) fn what(&self) -> SniffedProtocol {
        match &*self.fault.borrow() {
            // Also if it closed right after that.
            _ if self.http1.get() => SniffedProtocol::Http1,
            Some(words) => SniffedProtocol::Fault { words: words.clone(), silent: !self.any.get() },
            None if self.any.get() => SniffedProtocol::Frames,
            None => SniffedProtocol::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], expected: SniffedProtocol) {
        let sniffer = ProtocolSniffer::default();
        pieces.iter().for_each(|piece| sniffer.bytes(piece));
        assert_eq!(sniffer.what(), expected, "{pieces:?}");
    }

    #[test]
    fn another_protocol_is_detected_by_its_first_bytes() {
        check(&[], SniffedProtocol::Nothing);
        check(&[b""], SniffedProtocol::Nothing);
        check(&[b"HTTP/1.1 400 Bad Request\r\n"], SniffedProtocol::Http1);
        check(&[b"HT", b"TP/1.1 400"], SniffedProtocol::Http1);
        check(&[&[0, 0, 6, 4, 0, 0, 0, 0, 0]], SniffedProtocol::Frames);
        check(&[&[0], b"HTTP/1.1"], SniffedProtocol::Frames);

        let sniffer = ProtocolSniffer::default();
        sniffer.bytes(b"HTTP/1.1 400");
        sniffer.error(&io::ErrorKind::ConnectionReset.into());
        assert_eq!(sniffer.what(), SniffedProtocol::Http1);
    }
}
