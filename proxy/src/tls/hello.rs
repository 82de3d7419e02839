//! The first message of a client's handshake, read to see which name it asks for.
//!
//! Bytes are looked at and left as they are: the server that terminates the handshake needs all of them.
//! The message is parsed by rustls, piece by piece as it arrives. Knows no routes.

use rustls::server::Acceptor;

/// More bytes than this no first message may take. The largest in use, with post-quantum shares
/// and long tickets, stay below a quarter.
pub const LONGEST: usize = 16 * 1024;

/// The first message of one connection.
#[derive(Default)]
pub struct HelloReader {
    acceptor: Acceptor,
    fed: usize,
}

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// More bytes will tell.
    Incomplete,
    Whole {
        /// In lower case.
        name: Option<String>,
    },
}

/// Why there is no first message.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    #[error("the first message is longer than {LONGEST} bytes")]
    TooLong,
    #[error("not the beginning of a TLS handshake: {0}")]
    Invalid(rustls::Error),
}

impl HelloReader {
    /// Judges all the bytes read so far, of which each call has more. After anything but
    /// [`Hello::Incomplete`] it is done.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Hello, HelloError> {
        let seen = &bytes[..bytes.len().min(LONGEST)];
        while self.fed < seen.len() {
            let mut rest = &seen[self.fed..];
            let taken = self.acceptor.read_tls(&mut rest).map_err(|_| HelloError::TooLong)?;
            if taken == 0 {
                return Err(HelloError::TooLong);
            }
            self.fed += taken;
            match self.acceptor.accept() {
                Ok(Some(accepted)) => {
                    let name = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                    return Ok(Hello::Whole { name });
                }
                Ok(None) => {}
                Err((error, _)) => return Err(HelloError::Invalid(error)),
            }
        }
        if bytes.len() >= LONGEST { Err(HelloError::TooLong) } else { Ok(Hello::Incomplete) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// What a client sends first to `name`.
    fn hello_to(name: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn found(reader: &mut HelloReader, bytes: &[u8]) -> String {
        match reader.feed(bytes) {
            Ok(Hello::Incomplete) => "incomplete".to_owned(),
            Ok(Hello::Whole { name }) => name.unwrap_or("no name".to_owned()),
            Err(HelloError::TooLong) => "long".to_owned(),
            Err(HelloError::Invalid(_)) => "invalid".to_owned(),
        }
    }

    /// The same message in records that carry `size` bytes each.
    fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
        let (header, message) = hello.split_at(5);
        let record = |part: &[u8]| {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&header[..3], &length, part].concat()
        };
        message.chunks(size).flat_map(record).collect()
    }

    #[test]
    fn the_name_is_found_wherever_the_bytes_are_cut() {
        let v12 = hello_to("Shop.Example.com", &[&rustls::version::TLS12]);
        let v13 = hello_to("shop.example.com", &[&rustls::version::TLS13]);
        let none = hello_to("192.0.2.1", rustls::ALL_VERSIONS);
        let split = in_records(&v13, 100);
        for (hello, expected) in [
            (&v12, "shop.example.com"),
            (&v13, "shop.example.com"),
            (&split, "shop.example.com"),
            (&none, "no name"),
        ] {
            // Early data may follow in the same segment.
            let more = [&hello[..], &[0x17, 3, 3, 0, 1, 0]].concat();
            assert_eq!(found(&mut HelloReader::default(), &more), expected);
            for cut in 0..hello.len() {
                let mut reader = HelloReader::default();
                assert_eq!(found(&mut reader, &hello[..cut]), "incomplete", "at {cut}");
                assert_eq!(found(&mut reader, hello), expected, "at {cut}");
            }
            let mut reader = HelloReader::default();
            let found: Vec<_> =
                (1..=hello.len()).map(|end| found(&mut reader, &hello[..end])).collect();
            assert_eq!(found.last().map(String::as_str), Some(expected), "byte by byte");
        }
    }

    #[test]
    fn what_is_no_first_message_is_refused() {
        let hello = hello_to("shop.example.com", rustls::ALL_VERSIONS);
        let with = |at: usize, byte: u8| {
            let mut bytes = hello.clone();
            bytes[at] = byte;
            bytes
        };
        let endless = in_records(&[&hello[..5], &[1, 0, 0xff, 0xff], &[0; 0xffff]].concat(), 900);
        let claims_much = [&hello[..5], &[1, 0xff, 0xff, 0xff], &[0; 600]].concat();
        for (what, bytes, expected) in [
            ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "invalid"),
            ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "invalid"),
            ("zeros", vec![0; 64], "invalid"),
            ("an alert", vec![21, 3, 3, 0, 2, 2, 40], "invalid"),
            ("a record of data", vec![23, 3, 3, 0, 1, 0], "invalid"),
            ("a server's message", with(5, 2), "invalid"),
            ("an empty record", vec![22, 3, 1, 0, 0], "invalid"),
            ("a record beyond its limit", vec![22, 3, 1, 0xff, 0xff, 1], "invalid"),
            ("a broken inside", with(43, 0xff), "invalid"),
            ("more than is taken", endless, "long"),
            ("a length that is not meant", in_records(&claims_much, 300), "invalid"),
        ] {
            assert_eq!(found(&mut HelloReader::default(), &bytes), expected, "{what}");
        }
    }
}
