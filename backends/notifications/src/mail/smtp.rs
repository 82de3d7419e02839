//! A mail server near by, by SMTP (RFC 5321), without TLS and login: a relay on the same host, or
//! one that the sidecar reaches.

use std::time::Duration;

use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for the server's farewell: the letter is with it already.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct SmtpServer {
    host: String,
    port: u16,
}

impl SmtpServer {
    /// Reads `HOST:PORT`; a host of IPv6 stands in brackets.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let well_formed = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
            }
        };
        let port = port.parse().ok().filter(|port| *port != 0)?;
        well_formed.then(|| Self { host: bare.unwrap_or(host).to_owned(), port })
    }

    /// Done when the server has said that the letter is its own now: what happens to the
    /// connection after that does not count.
    pub(super) async fn send(&self, message: &Message) -> Result<(), Error> {
        let server = (self.host.as_str(), self.port);
        let hello = ClientId::default();
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT_TIMEOUT), &hello, None, None)
                .await?;
        connection.send(message.envelope(), &message.formatted()).await?;
        drop(tokio::time::timeout(QUIT_TIMEOUT, connection.quit()).await);
        Ok(())
    }
}
