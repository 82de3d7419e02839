//! A feed's client: a real socket, and the frames that come by it.

use futures_util::{SinkExt, StreamExt};
use shop_platform::testing::within;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::*;

pub(super) struct Client {
    socket: WebSocketStream<TcpStream>,
    pub(super) protocol: Option<String>,
}

/// The answer of a service that did not open a feed.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) code: String,
}

impl Client {
    /// Connects with a token in the header and reads that it is ready.
    pub(super) async fn ready(service: &Running, account: Uuid) -> Self {
        Self::ready_at(service, account, "").await
    }

    pub(super) async fn ready_at(service: &Running, account: Uuid, query: &str) -> Self {
        let token = format!("Bearer {}", service.around.token(account));
        let headers = [("authorization", token.as_str())];
        let mut client = Self::connect(service.address, query, &headers).await.unwrap();
        assert_eq!(client.next().await, json!({"type": "ready"}));
        client
    }

    pub(super) async fn connect(
        address: SocketAddr,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refused> {
        let mut request = format!("ws://{address}/v1/feed{query}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let socket = TcpSocket::new_v4().unwrap();
        // Small, so that a client that does not read is soon noticed.
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(address).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, response)) => {
                let protocol = response.headers().get("sec-websocket-protocol");
                let protocol = protocol.map(|value| value.to_str().unwrap().to_owned());
                Ok(Self { socket, protocol })
            }
            Err(Error::Http(response)) => {
                let status = response.status().as_u16();
                let body = response.body().as_deref().unwrap_or_default();
                let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
                Err(Refused { status, code: body["code"].as_str().unwrap_or_default().to_owned() })
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The next frame that says something.
    pub(super) async fn next(&mut self) -> Value {
        let text = async {
            loop {
                match self.socket.next().await.unwrap().unwrap() {
                    Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        within("a frame that says something", text).await
    }

    /// The kinds of the next notifications.
    pub(super) async fn kinds(&mut self, count: usize) -> Vec<String> {
        let mut kinds = Vec::new();
        for _ in 0..count {
            let next = self.next().await;
            assert_eq!(next["type"], "notification", "{next}");
            kinds.push(next["kind"].as_str().unwrap().to_owned());
        }
        kinds
    }

    /// Reads until the service closes, and how it does.
    pub(super) async fn closed(&mut self) -> u16 {
        let code = async {
            let code = loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => break u16::from(frame.code),
                    Some(Ok(_)) => {}
                    other => panic!("{other:?}"),
                }
            };
            // The answer to it leaves with the next read.
            while let Some(Ok(_)) = self.socket.next().await {}
            code
        };
        within("the close of a feed", code).await
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(super) async fn leave(mut self) {
        self.socket.close(None).await.unwrap();
        let answered = async { while let Some(Ok(_)) = self.socket.next().await {} };
        within("the service's answer to a close", answered).await;
    }
}

impl Running {
    /// What the service counts: the value of the line that begins so.
    pub(super) async fn metric(&self, line_start: &str) -> u64 {
        let text = self.get("/metrics").await;
        let line = text.lines().find(|line| line.starts_with(line_start));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    async fn get(&self, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Stops as a signal would, and says how that went.
    pub(super) async fn end(self) -> Drained {
        self.stop.send(()).unwrap();
        within("the end of the service", self.ended).await.unwrap()
    }
}
