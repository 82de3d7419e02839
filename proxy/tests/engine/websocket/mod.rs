//! WebSocket through the proxy: frames that arrive as they were sent, and every way to the end.

mod ends;
mod frames;
mod handshake;
mod http2;

use portcullis_testkit::websocket::{Peer, WebSocketOrigin, connect};
use tokio::net::TcpStream;

use crate::harness::{Gate, Settings};

/// A gate before an origin that the test speaks for.
pub(crate) struct Ends {
    pub(crate) gate: Gate,
    pub(crate) origin: WebSocketOrigin,
}

impl Ends {
    pub(crate) async fn new(settings: Settings) -> Self {
        let origin = WebSocketOrigin::start().await.unwrap();
        let gate = Gate::new(settings, &[origin.address().unwrap()]).await;
        Self { gate, origin }
    }

    /// Of what the route says about WebSocket.
    pub(crate) async fn of(route: &'static str) -> Self {
        Self::new(Settings { route, ..Settings::default() }).await
    }

    /// Both sides of one connection.
    pub(crate) async fn open(&self) -> (Peer<TcpStream>, Peer<TcpStream>) {
        let (client, server) =
            tokio::join!(connect(self.gate.address, "/live"), self.origin.accept());
        (client.unwrap().0, server.unwrap().0)
    }
}
