//! The customer's side of the connection: requests to the gateway as any HTTP client sends them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use portcullis_testkit::client::{RawClient, Tls};
use portcullis_testkit::http::Response;
use portcullis_testkit::unverified::taking_any_certificate;

/// By which the demo's requests are told from others in the access log.
pub(crate) const USER_AGENT: &str = "shop-demo";

/// Longer than the shop keeps back an answer of which it is asked to.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// One customer: a connection that is kept, and opened again when the gateway closed it.
pub(crate) struct Client {
    address: SocketAddr,
    tls: Option<Tls>,
    connection: Option<RawClient>,
}

impl Client {
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self { address: reachable(address), tls: None, connection: None }
    }

    pub(crate) fn over_tls(address: SocketAddr) -> anyhow::Result<Self> {
        let tls = taking_any_certificate("localhost")?;
        Ok(Self { address: reachable(address), tls: Some(tls), connection: None })
    }

    pub(crate) async fn get(&mut self, target: &str, headers: &[&str]) -> anyhow::Result<Response> {
        self.send("GET", target, headers, b"").await
    }

    /// Sends JSON.
    pub(crate) async fn post(
        &mut self,
        target: &str,
        headers: &[&str],
        body: &str,
    ) -> anyhow::Result<Response> {
        self.post_as(target, "application/json", headers, body.as_bytes()).await
    }

    pub(crate) async fn post_as(
        &mut self,
        target: &str,
        content_type: &str,
        headers: &[&str],
        body: &[u8],
    ) -> anyhow::Result<Response> {
        let content_type = format!("content-type: {content_type}");
        self.send("POST", target, &[headers, &[&content_type]].concat(), body).await
    }

    async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[&str],
        body: &[u8],
    ) -> anyhow::Result<Response> {
        let port = self.address.port();
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nhost: localhost:{port}\r\nuser-agent: {USER_AGENT}\r\n"
        );
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        if method == "POST" {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let request = [request.as_bytes(), body].concat();
        let mut connection = match (self.connection.take(), &self.tls) {
            (Some(connection), _) => connection,
            (None, Some(tls)) => RawClient::connect_tls(self.address, tls).await?,
            (None, None) => RawClient::connect(self.address).await?,
        };
        connection = connection.with_deadline(ANSWER_WITHIN);
        connection.send(&request).await?;
        let response = connection.final_response().await?;
        if response.keep_alive() {
            self.connection = Some(connection);
        }
        Ok(response)
    }
}

/// Where a client on this machine reaches a listener on every address.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()))
    } else {
        address
    }
}
