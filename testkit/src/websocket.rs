//! WebSocket peers that send exactly these frames and show every frame that comes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long one step may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The key of every client here.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;

/// One frame, as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub last: bool,
    pub opcode: u8,
    pub masked: bool,
    /// Without its mask.
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { last: true, opcode, masked: false, payload: payload.as_ref().to_vec() }
    }

    pub fn text(text: &str) -> Self {
        Self::new(TEXT, text)
    }

    pub fn close(code: u16) -> Self {
        Self::new(CLOSE, code.to_be_bytes())
    }

    /// Another frame of the message follows.
    pub fn unfinished(mut self) -> Self {
        self.last = false;
        self
    }

    pub fn masked(mut self) -> Self {
        self.masked = true;
        self
    }

    /// The code of a Close frame.
    pub fn code(&self) -> Option<u16> {
        let code = self.payload.first_chunk()?;
        (self.opcode == CLOSE).then(|| u16::from_be_bytes(*code))
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mask = if self.masked { 0x80 } else { 0 };
        let mut bytes = vec![if self.last { 0x80 | self.opcode } else { self.opcode }];
        match (u8::try_from(self.payload.len()), u16::try_from(self.payload.len())) {
            (Ok(length @ ..126), _) => bytes.push(mask | length),
            (_, Ok(length)) => {
                bytes.push(mask | 126);
                bytes.extend_from_slice(&length.to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend_from_slice(&(self.payload.len() as u64).to_be_bytes());
            }
        }
        if self.masked {
            const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
            bytes.extend_from_slice(&KEY);
            bytes.extend(self.payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            bytes.extend_from_slice(&self.payload);
        }
        bytes
    }
}

/// One side of a connection.
#[derive(Debug)]
pub struct Peer<S> {
    pub stream: S,
    masks: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Behind a handshake that somebody has made.
    pub fn client(stream: S) -> Self {
        Self { stream, masks: true }
    }

    pub fn server(stream: S) -> Self {
        Self { stream, masks: false }
    }

    pub async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let frame = if self.masks { frame.clone().masked() } else { frame.clone() };
        self.send_bytes(&frame.to_bytes()).await
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        within(self.read_frame()).await
    }

    /// The next frame, of which there must be one.
    pub async fn expect(&mut self) -> io::Result<Frame> {
        self.next().await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Says that nothing more will be sent.
    pub async fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Sends back whatever comes: messages as they are, pings as pongs, a Close as the last.
    pub async fn echo(&mut self) -> io::Result<()> {
        while let Some(frame) = self.next().await? {
            let opcode = if frame.opcode == PING { PONG } else { frame.opcode };
            self.send(&Frame { opcode, masked: false, ..frame }).await?;
            if opcode == CLOSE {
                break;
            }
        }
        self.half_close().await
    }

    async fn read_frame(&mut self) -> io::Result<Option<Frame>> {
        let mut head = [0; 2];
        if self.stream.read(&mut head[..1]).await? == 0 {
            return Ok(None);
        }
        self.stream.read_exact(&mut head[1..]).await?;
        let length = match head[1] & 0x7f {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            short => u64::from(short),
        };
        let masked = head[1] & 0x80 != 0;
        let mut key = [0; 4];
        if masked {
            self.stream.read_exact(&mut key).await?;
        }
        let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.stream.read_exact(&mut payload).await?;
        payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        Ok(Some(Frame { last: head[0] & 0x80 != 0, opcode: head[0] & 0x7f, masked, payload }))
    }
}

/// The request of a client, with these lines besides.
pub fn request(target: &str, lines: &[&str]) -> String {
    let more: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "GET {target} HTTP/1.1\r\nhost: a.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n{more}\r\n"
    )
}

/// What a server answers that switches.
pub fn switching(key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {}\r\n\r\n",
        accept(key)
    )
}

fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

/// Asks for a WebSocket; gives the peer and the head that it was answered with.
pub async fn connect(address: SocketAddr, target: &str) -> io::Result<(Peer<TcpStream>, String)> {
    upgrade(TcpStream::connect(address).await?, &request(target, &[])).await
}

/// The same on a stream, with this request.
pub async fn upgrade<S>(mut stream: S, request: &str) -> io::Result<(Peer<S>, String)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let head = within(read_head(&mut stream)).await?;
    let accepted = head.contains(&format!("sec-websocket-accept: {}\r\n", accept(KEY)));
    if head.starts_with("HTTP/1.1 101 ") && accepted {
        Ok((Peer::client(stream), head))
    } else {
        Err(io::Error::other(head))
    }
}

/// A server whose connections the test speaks on.
#[derive(Debug)]
pub struct WebSocketOrigin {
    listener: TcpListener,
}

impl WebSocketOrigin {
    pub async fn start() -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0").await? })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection with the head of its request, which waits for an answer.
    pub async fn asked(&self) -> io::Result<(TcpStream, String)> {
        within(async {
            let (mut stream, _) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            let head = read_head(&mut stream).await?;
            Ok((stream, head))
        })
        .await
    }

    /// The next connection, switched.
    pub async fn accept(&self) -> io::Result<(Peer<TcpStream>, String)> {
        let (mut stream, head) = self.asked().await?;
        stream.write_all(switching(key_of(&head)).as_bytes()).await?;
        Ok((Peer::server(stream), head))
    }

    /// Echoes on every connection until it is dropped with its runtime.
    pub async fn echo(self) {
        while let Ok((mut peer, _)) = self.accept_any().await {
            tokio::spawn(async move { peer.echo().await });
        }
    }

    async fn accept_any(&self) -> io::Result<(Peer<TcpStream>, String)> {
        let (mut stream, _) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        let head = within(read_head(&mut stream)).await?;
        stream.write_all(switching(key_of(&head)).as_bytes()).await?;
        Ok((Peer::server(stream), head))
    }
}

/// The key in the head of a request.
pub fn key_of(head: &str) -> &str {
    let is_key = |(name, _): &(&str, &str)| name.eq_ignore_ascii_case("sec-websocket-key");
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(is_key).map_or("", |(_, key)| key.trim())
}

/// Byte by byte, so that nothing behind the head is taken.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

async fn within<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(DEADLINE, step).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
