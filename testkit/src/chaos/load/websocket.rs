//! WebSocket conversations: a handshake, messages that are echoed, a goodbye from both sides.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::http2::{self, Channel};
use super::problem;
use super::tunnel::Tunnel;
use crate::chaos::ledger::Ending;
use crate::chaos::wish::{ECHO, Wish, content};
use crate::client::Tls;
use crate::http::{Decoder, Response};
use crate::websocket::{BINARY, Frame, KEY, Peer, request, switching};

const MESSAGES: usize = 5;
const SIZE: usize = 700;
/// Between two messages.
const PAUSE: Duration = Duration::from_millis(40);
const GOODBYE: u16 = 1000;

/// How to reach a door.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) tls: Option<Tls>,
}

impl Door {
    pub(super) async fn talk(&self, wish: &Wish) -> Ending {
        let lost = |error: io::Error| Ending::Connection(format!("not made: {error}"));
        let stream = match TcpStream::connect(self.address).await {
            Ok(stream) => stream,
            Err(error) => return lost(error),
        };
        let Some(tls) = &self.tls else { return handshake(stream, wish).await };
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        match connector.connect(tls.name.clone(), stream).await {
            Ok(stream) => handshake(stream, wish).await,
            Err(error) => lost(error),
        }
    }
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, wish: &Wish) -> Ending {
    let answer = match ask(&mut stream, &request(&path(wish), &[])).await {
        Ok(answer) => answer,
        Err(error) => return Ending::Connection(format!("no answer: {error}")),
    };
    if answer.status != 101 {
        return problem(answer.status, &answer.body);
    }
    let accept = answer.headers.first("sec-websocket-accept").unwrap_or_default();
    if accept.is_empty() || !switching(KEY).contains(accept) {
        return Ending::Wrong(format!("the accept {accept:?} belongs to no key of ours"));
    }
    if answer.headers.first(ECHO) != Some(&wish.id) {
        return Ending::Wrong(format!("the switch of somebody else: {:?}", answer.headers));
    }
    settle(Peer::client(stream), wish).await
}

/// The same on a stream of HTTP/2 (RFC 8441), which shares its connection with requests.
pub(super) async fn talk_on_stream(channel: &Channel, wish: &Wish) -> Ending {
    let (response, send) = match channel.connect(wish, &path(wish)).await {
        Ok(begun) => begun,
        Err(ending) => return ending,
    };
    let (head, body) = match response.await {
        Ok(response) => response.into_parts(),
        Err(error) => return http2::unanswered(&error),
    };
    if head.status != 200 {
        return match http2::read(body).await {
            http2::Body::Whole(body, _) => problem(head.status.as_u16(), &body),
            http2::Body::Broken(why) => http2::cut_short(wish, &head.headers, why),
        };
    }
    if http2::text(&head.headers, ECHO) != wish.id {
        return Ending::Wrong(format!("the switch of somebody else: {:?}", head.headers));
    }
    settle(Peer::client(Tunnel::new(send, body)), wish).await
}

fn path(wish: &Wish) -> String {
    format!("/{}/ws/{}", wish.upstream.name(), wish.id)
}

async fn settle<S: AsyncRead + AsyncWrite + Unpin>(mut peer: Peer<S>, wish: &Wish) -> Ending {
    let ending = converse(&mut peer, wish).await;
    ending.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::TimedOut => Ending::Wrong("a frame hangs".to_owned()),
        _ => Ending::Cut(error.to_string()),
    })
}

/// An error is a connection that broke off.
async fn converse<S>(peer: &mut Peer<S>, wish: &Wish) -> io::Result<Ending>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for message in content(&wish.id, MESSAGES * SIZE).chunks(SIZE) {
        let message = Frame::new(BINARY, message);
        peer.send(&message).await?;
        let echo = peer.expect().await?;
        if let Some(code) = echo.code() {
            return Ok(Ending::Cut(format!("closed with {code}")));
        }
        if echo != message {
            return Ok(Ending::Wrong(format!("a foreign frame of {} bytes", echo.payload.len())));
        }
        tokio::time::sleep(PAUSE).await;
    }
    peer.send(&Frame::close(GOODBYE)).await?;
    let goodbye = peer.expect().await?;
    match (goodbye.code(), peer.next().await?) {
        (Some(GOODBYE), None) => Ok(Ending::Right),
        (Some(_), None) => Ok(Ending::Cut(format!("closed with {:?}", goodbye.code()))),
        (_, more) => Ok(Ending::Wrong(format!("{goodbye:?} and {more:?} for a goodbye"))),
    }
}

async fn ask<S>(stream: &mut S, request: &str) -> io::Result<Response>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut decoder = Decoder::default();
    let mut bytes = Vec::with_capacity(4096);
    loop {
        if let Some(response) = decoder.response(false).map_err(io::Error::other)? {
            return Ok(response);
        }
        bytes.clear();
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        decoder.push(&bytes);
    }
}
