//! Requests by HTTP/2, on a connection that is replaced now and then.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use super::judge;
use crate::chaos::ledger::Ending;
use crate::chaos::wish::{ECHO, RECEIVED, Wish};
use crate::client::Tls;

/// Streams of a connection before the next one is opened.
const STREAMS: u32 = 60;
/// More than any answer of the load has.
const BODY_LIMIT: usize = 1024 * 1024;

/// Connections to one address, one after another.
pub(super) struct Channel {
    address: SocketAddr,
    tls: Option<Tls>,
    current: Mutex<Option<(SendRequest<Bytes>, u32)>>,
}

/// How an answer went on behind its head.
pub(super) enum Body {
    Whole(Vec<u8>, Option<HeaderMap>),
    Broken(String),
}

impl Channel {
    pub(super) fn new(address: SocketAddr, tls: Option<Tls>) -> Self {
        Self { address, tls, current: Mutex::new(None) }
    }

    pub(super) async fn send(&self, wish: &Wish) -> Ending {
        let upload = wish.upload.clone().map(Bytes::from);
        let begun = self.begin(wish, wish.method(), &wish.path(), upload.is_none()).await;
        let (response, mut stream) = match begun {
            Ok(begun) => begun,
            Err(ending) => return ending,
        };
        if let Some(upload) = upload {
            // An answer may come before the whole of it is taken.
            let _ = stream.send_data(upload, true);
        }
        let (head, body) = match response.await {
            Ok(response) => response.into_parts(),
            Err(error) => return unanswered(&error),
        };
        let header = |name| text(&head.headers, name);
        match read(body).await {
            Body::Whole(body, _) => {
                judge(wish, head.status.as_u16(), header(ECHO), header(RECEIVED), &body)
            }
            Body::Broken(why) => cut_short(wish, &head.headers, why),
        }
    }

    /// Opens a stream, on a new connection if the present one has had enough or is gone.
    pub(super) async fn begin(
        &self,
        wish: &Wish,
        method: &str,
        path: &str,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), Ending> {
        let lost = |error: String| Ending::Connection(format!("{}: {error}", wish.id));
        let request = Request::builder().method(method).header("te", "trailers");
        let request = request.uri(self.uri(path)).body(());
        let request = request.map_err(|error| lost(error.to_string()))?;
        self.open(wish, request, end).await
    }

    /// Asks for a WebSocket (RFC 8441).
    pub(super) async fn connect(
        &self,
        wish: &Wish,
        path: &str,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), Ending> {
        let request = Request::builder()
            .method(Method::CONNECT)
            .version(Version::HTTP_2)
            .uri(self.uri(path))
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .body(());
        let request = request.map_err(|error| Ending::Connection(error.to_string()))?;
        self.open(wish, request, false).await
    }

    fn uri(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://chaos.example{path}")
    }

    async fn open(
        &self,
        wish: &Wish,
        request: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), Ending> {
        let lost = |error: String| Ending::Connection(format!("{}: {error}", wish.id));
        let mut send = self.sender().await.map_err(|error| lost(error.to_string()))?;
        send = match send.ready().await {
            Ok(send) => send,
            // Nothing was sent: the connection had ended before.
            Err(_) => {
                *self.current.lock().await = None;
                let send = self.sender().await.map_err(|error| lost(error.to_string()))?;
                send.ready().await.map_err(|error| lost(error.to_string()))?
            }
        };
        send.send_request(request, end).map_err(|error| lost(error.to_string()))
    }

    async fn sender(&self) -> io::Result<SendRequest<Bytes>> {
        let mut current = self.current.lock().await;
        if let Some((send, left)) = current.as_mut()
            && *left > 0
        {
            *left -= 1;
            return Ok(send.clone());
        }
        let send = connect(self.address, self.tls.as_ref()).await?;
        *current = Some((send.clone(), STREAMS - 1));
        Ok(send)
    }
}

/// A connection of HTTP/2, driven until its last handle is gone and its last stream ended.
pub(super) async fn connect(
    address: SocketAddr,
    tls: Option<&Tls>,
) -> io::Result<SendRequest<Bytes>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return drive(stream).await };
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    drive(connector.connect(tls.name.clone(), stream).await?).await
}

async fn drive<S>(stream: S) -> io::Result<SendRequest<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (send, mut connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
    let settled = connection.ping_pong();
    tokio::spawn(connection);
    // The answer stands behind the settings, which say whether an extended CONNECT may be sent.
    if let Some(mut settled) = settled {
        settled.ping(h2::Ping::opaque()).await.map_err(io::Error::other)?;
    }
    Ok(send)
}

pub(super) async fn read(mut body: RecvStream) -> Body {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = match data {
            Ok(data) => data,
            Err(error) => return Body::Broken(error.to_string()),
        };
        let released = body.flow_control().release_capacity(data.len());
        all.extend_from_slice(&data);
        if released.is_err() || all.len() > BODY_LIMIT {
            return Body::Broken(format!("{} bytes are too many", all.len()));
        }
    }
    match body.trailers().await {
        Ok(trailers) => Body::Whole(all, trailers),
        Err(error) => Body::Broken(error.to_string()),
    }
}

/// A stream that was reset without an answer may have lost its head to the reset: frames that
/// wait to be sent do not outlive their stream. Everything else is no word of the proxy.
pub(super) fn unanswered(error: &h2::Error) -> Ending {
    if error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::INTERNAL_ERROR) {
        Ending::Cut(error.to_string())
    } else {
        Ending::Connection(format!("no answer: {error}"))
    }
}

/// The stream ended within the answer to this very request.
pub(super) fn cut_short(wish: &Wish, headers: &HeaderMap, why: String) -> Ending {
    match text(headers, ECHO) {
        echo if echo == wish.id => Ending::Cut(why),
        echo => Ending::Wrong(format!("{why} within the answer of {echo:?}")),
    }
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
