//! The PROXY protocol, both versions: who the client of a connection is, in its first bytes.
//!
//! Bytes in, verdicts out; a verdict does not depend on how the bytes were cut. Which
//! peers are trusted is not known here. The `ppp` crate reads and writes the two forms. This module finds
//! the end of a header, and refuses what the crate accepts but the specification does not.

use std::net::{IpAddr, SocketAddr};

use portcullis_config::model::ProxyVersion;
use ppp::{v1, v2};

mod receive;

pub use receive::{Received, Refused, receive};

/// The longest header of version 1, its end included (specification, section 2.1).
const LONGEST_V1: usize = 107;
const START_V1: &[u8] = b"PROXY ";
const START_V2: &[u8] = v2::PROTOCOL_PREFIX;
/// What comes before the part whose length a header of version 2 tells.
const FIXED_V2: usize = 16;
/// The longest such part: addresses take 216 bytes at most, the rest is what senders add.
const LONGEST_V2: usize = 4 * 1024;
/// Bytes that no header goes beyond.
pub const LONGEST: usize = FIXED_V2 + LONGEST_V2;

/// The ends of the connection that a proxy has passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionAddresses {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParsedHeader {
    /// More bytes will tell.
    Incomplete,
    /// Not the beginning of a header.
    Absent,
    Header {
        /// What follows is the client's own.
        length: usize,
        /// `None` where the sender speaks for itself (`LOCAL`), or does not know (`UNKNOWN`, or
        /// a socket without addresses).
        ends: Option<ConnectionAddresses>,
    },
}

/// It begins like a header and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("the header is longer than {LONGEST} bytes, or than {LONGEST_V1} in its text form")]
    TooLong,
    #[error("the header is malformed")]
    Malformed,
}

/// Judges the bytes read so far.
///
/// # Errors
/// When what begins like a header can become none.
pub fn parse(bytes: &[u8]) -> Result<ParsedHeader, HeaderError> {
    if begins(bytes, START_V1) {
        parse_v1(bytes)
    } else if begins(bytes, START_V2) {
        parse_v2(bytes)
    } else {
        Ok(ParsedHeader::Absent)
    }
}

/// Whether the bytes are a beginning of `start`, or start with it.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let common = bytes.len().min(start.len());
    bytes[..common] == start[..common]
}

fn parse_v1(bytes: &[u8]) -> Result<ParsedHeader, HeaderError> {
    let seen = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = memchr::memchr2(b'\r', b'\n', seen) else {
        return if bytes.len() < LONGEST_V1 {
            Ok(ParsedHeader::Incomplete)
        } else {
            Err(HeaderError::TooLong)
        };
    };
    let line = match (seen[end], seen.get(end + 1)) {
        (b'\r', Some(b'\n')) => &seen[..end + 2],
        (b'\r', None) if bytes.len() < LONGEST_V1 => return Ok(ParsedHeader::Incomplete),
        (b'\r', None) => return Err(HeaderError::TooLong),
        _ => return Err(HeaderError::Malformed),
    };
    // The parser of numbers takes a sign.
    if line.contains(&b'+') {
        return Err(HeaderError::Malformed);
    }
    let header = v1::Header::try_from(line).map_err(|_| HeaderError::Malformed)?;
    let ends = match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(ends) => Some(ConnectionAddresses {
            source: (ends.source_address, ends.source_port).into(),
            destination: (ends.destination_address, ends.destination_port).into(),
        }),
        v1::Addresses::Tcp6(ends) => Some(ConnectionAddresses {
            source: (ends.source_address, ends.source_port).into(),
            destination: (ends.destination_address, ends.destination_port).into(),
        }),
    };
    Ok(ParsedHeader::Header { length: line.len(), ends })
}

fn parse_v2(bytes: &[u8]) -> Result<ParsedHeader, HeaderError> {
    /// Version and command: the sender speaks for itself, and what follows means nothing.
    const LOCAL: u8 = 0x20;
    const DATAGRAM: u8 = 0x02;
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_V2) else {
        return Ok(ParsedHeader::Incomplete);
    };
    let announced = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if announced > LONGEST_V2 {
        return Err(HeaderError::TooLong);
    }
    let length = FIXED_V2 + announced;
    let (command, family) = (fixed[12], fixed[13]);
    if command == LOCAL {
        let whole = rest.len() >= announced;
        return Ok(if whole {
            ParsedHeader::Header { length, ends: None }
        } else {
            ParsedHeader::Incomplete
        });
    }
    // A family with addresses says how they are spoken to, and here it is no datagram.
    let stream = family & 0x0f;
    if stream == DATAGRAM || (stream == 0) != (family & 0xf0 == 0) {
        return Err(HeaderError::Malformed);
    }
    let seen = &bytes[..bytes.len().min(length)];
    let header = match v2::Header::try_from(seen) {
        Ok(header) => header,
        Err(v2::ParseError::Incomplete(_) | v2::ParseError::Partial(..)) => {
            return Ok(ParsedHeader::Incomplete);
        }
        Err(_) => return Err(HeaderError::Malformed),
    };
    let ends = match header.addresses {
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
        v2::Addresses::IPv4(ends) => Some(ConnectionAddresses {
            source: (ends.source_address, ends.source_port).into(),
            destination: (ends.destination_address, ends.destination_port).into(),
        }),
        v2::Addresses::IPv6(ends) => Some(ConnectionAddresses {
            source: (ends.source_address, ends.source_port).into(),
            destination: (ends.destination_address, ends.destination_port).into(),
        }),
    };
    Ok(ParsedHeader::Header { length, ends })
}

/// A header for an upstream. Without both ends it says that they are not known.
pub fn write(version: ProxyVersion, ends: Option<ConnectionAddresses>) -> Vec<u8> {
    let ends = ends.map(ConnectionAddresses::of_one_family);
    match (version, ends) {
        (ProxyVersion::V1, None) => v1::Addresses::Unknown.to_string().into_bytes(),
        (ProxyVersion::V1, Some(ends)) => {
            v1::Addresses::from((ends.source, ends.destination)).to_string().into_bytes()
        }
        (ProxyVersion::V2, ends) => {
            let (command, addresses) = match ends {
                None => (v2::Command::Local, v2::Addresses::Unspecified),
                Some(ends) => (v2::Command::Proxy, (ends.source, ends.destination).into()),
            };
            let protocol = match ends {
                None => v2::Protocol::Unspecified,
                Some(_) => v2::Protocol::Stream,
            };
            // It fails for what is too long only, and this is not.
            v2::Builder::with_addresses(v2::Version::Two | command, protocol, addresses)
                .build()
                .unwrap_or_default()
        }
    }
}

impl ConnectionAddresses {
    /// Both as IPv4 where both are, else both as IPv6: a header has one family.
    fn of_one_family(self) -> Self {
        let (source, destination) = (self.source.ip().to_canonical(), self.destination.ip());
        let destination = destination.to_canonical();
        let (source, destination) = match (source, destination) {
            (IpAddr::V4(v4), IpAddr::V6(_)) => (v4.to_ipv6_mapped().into(), destination),
            (IpAddr::V6(_), IpAddr::V4(v4)) => (source, v4.to_ipv6_mapped().into()),
            same => same,
        };
        Self {
            source: (source, self.source.port()).into(),
            destination: (destination, self.destination.port()).into(),
        }
    }
}

#[cfg(test)]
mod tests;
