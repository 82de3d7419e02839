//! A raw HTTP/2 client: exactly these frames, and every frame that comes back.
//!
//! It keeps no rule of the protocol and answers nothing by itself: settings, pings and windows
//! are the test's to send.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::client::{ClientError, Stream, Tls};

pub mod frame;

/// How long one call may take unless told otherwise.
const DEADLINE: Duration = Duration::from_secs(10);

/// A frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A whole head, or trailers.
    Headers {
        stream: u32,
        fields: Vec<(String, String)>,
        end: bool,
    },
    Data {
        stream: u32,
        bytes: Vec<u8>,
        end: bool,
    },
    Reset {
        stream: u32,
        code: u32,
    },
    GoAway {
        last: u32,
        code: u32,
    },
    Settings {
        ack: bool,
        values: Vec<(u16, u32)>,
    },
    Ping {
        ack: bool,
        payload: [u8; 8],
    },
    WindowUpdate {
        stream: u32,
        increment: u32,
    },
    Odd {
        kind: u8,
    },
}

impl Seen {
    /// The status of a head that has one.
    pub fn status(&self) -> Option<&str> {
        match self {
            Self::Headers { fields, .. } => {
                fields.iter().find(|(name, _)| name == ":status").map(|(_, value)| &**value)
            }
            _ => None,
        }
    }

    /// The stream that ends with this frame.
    pub fn ended(&self) -> Option<u32> {
        match self {
            Self::Headers { stream, end: true, .. }
            | Self::Data { stream, end: true, .. }
            | Self::Reset { stream, .. } => Some(*stream),
            _ => None,
        }
    }
}

/// One connection.
pub struct H2Client {
    stream: Stream,
    hpack: loona_hpack::Decoder<'static>,
    deadline: Duration,
    read: Vec<u8>,
    /// A head whose end has not come.
    partial: Option<(u32, bool, Vec<u8>)>,
}

impl H2Client {
    /// Connects and sends nothing.
    pub async fn connect(address: SocketAddr, tls: Option<&Tls>) -> Result<Self, ClientError> {
        let stream = Stream::connect(address, tls).await.map_err(ClientError::Connect)?;
        Ok(Self {
            stream,
            hpack: loona_hpack::Decoder::new(),
            deadline: DEADLINE,
            read: Vec::new(),
            partial: None,
        })
    }

    /// Connects, exchanges settings and waits until both sides have confirmed them.
    pub async fn open(
        address: SocketAddr,
        tls: Option<&Tls>,
        settings: &[(u16, u32)],
    ) -> Result<Self, ClientError> {
        let mut client = Self::connect(address, tls).await?;
        let hello = [frame::PREFACE, &frame::settings(settings), &frame::settings_ack()].concat();
        client.send(&hello).await?;
        client.until(|seen| matches!(seen, Seen::Settings { ack: true, .. })).await?;
        Ok(client)
    }

    /// Changes how long each later call may take.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Lets the connection take no more than so much that nobody reads.
    pub fn with_receive_buffer(self, bytes: usize) -> Result<Self, ClientError> {
        rustix::net::sockopt::set_socket_recv_buffer_size(self.stream.tcp(), bytes)
            .map_err(|error| ClientError::Io(error.into()))?;
        Ok(self)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let deadline = Instant::now() + self.deadline;
        match timeout_at(deadline, self.stream.write_all(bytes)).await {
            Ok(result) => result.map_err(failed),
            Err(_) => Err(ClientError::Deadline(String::new())),
        }
    }

    /// The next frame; `None` once the server has closed or reset the connection.
    pub async fn next(&mut self) -> Result<Option<Seen>, ClientError> {
        let deadline = Instant::now() + self.deadline;
        loop {
            if let Some(seen) = self.take()? {
                return Ok(Some(seen));
            }
            match timeout_at(deadline, self.stream.read_buf(&mut self.read)).await {
                Ok(Ok(0)) => return Ok(None),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => match failed(error) {
                    ClientError::Reset(_) => return Ok(None),
                    error => return Err(error),
                },
                Err(_) => return Err(ClientError::Deadline(String::new())),
            }
        }
    }

    /// The first frame of this kind; an error when the connection ends before.
    pub async fn until(&mut self, wanted: impl Fn(&Seen) -> bool) -> Result<Seen, ClientError> {
        let mut before = Vec::new();
        loop {
            match self.next().await? {
                Some(seen) if wanted(&seen) => return Ok(seen),
                Some(seen) => before.push(seen),
                None => return Err(ClientError::Closed(format!("{before:?}"))),
            }
        }
    }

    /// Every frame until the connection ends.
    pub async fn until_end(&mut self) -> Result<Vec<Seen>, ClientError> {
        let mut seen = Vec::new();
        while let Some(next) = self.next().await? {
            seen.push(next);
        }
        Ok(seen)
    }

    fn take(&mut self) -> Result<Option<Seen>, ClientError> {
        while let Some((header, rest)) = self.read.split_first_chunk::<9>() {
            let [high, middle, low, kind, flags, stream @ ..] = *header;
            let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(0);
            let Some(payload) = rest.get(..length) else { return Ok(None) };
            let payload = payload.to_vec();
            self.read.drain(..9 + length);
            let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
            if let Some(seen) = self.understood(kind, flags, stream, payload)? {
                return Ok(Some(seen));
            }
        }
        Ok(None)
    }

    fn understood(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: Vec<u8>,
    ) -> Result<Option<Seen>, ClientError> {
        let number = |at: usize| {
            let bytes = payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_be_bytes)
        };
        let end = flags & frame::END_STREAM != 0;
        let ack = flags & frame::ACK != 0;
        Ok(Some(match kind {
            frame::DATA => Seen::Data { stream, bytes: payload, end },
            frame::HEADERS | frame::CONTINUATION => {
                let (stream, end, mut block) =
                    self.partial.take().unwrap_or((stream, end, Vec::new()));
                block.extend_from_slice(&payload);
                if flags & frame::END_HEADERS == 0 {
                    self.partial = Some((stream, end, block));
                    return Ok(None);
                }
                let fields = self.hpack.decode(&block).map_err(|error| {
                    ClientError::Io(io::Error::other(format!("no header block: {error:?}")))
                })?;
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                let fields = fields.into_iter().map(|(name, value)| (text(name), text(value)));
                Seen::Headers { stream, fields: fields.collect(), end }
            }
            frame::RST_STREAM => Seen::Reset { stream, code: number(0) },
            frame::GOAWAY => Seen::GoAway { last: number(0), code: number(4) },
            frame::SETTINGS => {
                let values = payload.chunks_exact(6).map(|setting| {
                    let [a, b, value @ ..] = setting else { return (0, 0) };
                    let value = value.try_into().map_or(0, u32::from_be_bytes);
                    (u16::from_be_bytes([*a, *b]), value)
                });
                Seen::Settings { ack, values: values.collect() }
            }
            frame::PING => Seen::Ping { ack, payload: payload.try_into().unwrap_or_default() },
            frame::WINDOW_UPDATE => Seen::WindowUpdate { stream, increment: number(0) },
            kind => Seen::Odd { kind },
        }))
    }
}

fn failed(error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            ClientError::Reset(String::new())
        }
        // An end of TLS without its goodbye.
        io::ErrorKind::UnexpectedEof => ClientError::Reset(String::new()),
        _ => ClientError::Io(error),
    }
}
