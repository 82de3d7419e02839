//! An origin whose every connection follows a script, byte for byte.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::http::{Decoder, Malformed, Request};
use crate::patience::slowly;

/// No script may hold a test longer than this in one step.
const STEP_LIMIT: Duration = Duration::from_secs(30);

/// What an origin does on one connection, in order. After the last step it says that no more
/// will come and reads on until the peer has closed too.
#[derive(Debug, Clone, Default)]
pub struct Script {
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Head,
    Request,
    Send(Vec<u8>),
    Delay(Duration),
    Hold,
    Drip { bytes: Vec<u8>, piece: usize, pause: Duration },
    HalfClose,
    Close,
    Reset,
    Stall,
    Repeat(Vec<Step>),
}

impl Script {
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads until the next request's head is whole; its body may still be on its way and is
    /// read by a `request` that follows.
    pub fn head(self) -> Self {
        self.with(Step::Head)
    }

    /// Reads until the next request is whole.
    pub fn request(self) -> Self {
        self.with(Step::Request)
    }

    /// Sends these bytes: a response, half of one, a 1xx, or garbage.
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.with(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Sends a 200 with this body and its length.
    pub fn respond(self, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut bytes =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        self.send(bytes)
    }

    pub fn delay(self, time: Duration) -> Self {
        self.with(Step::Delay(time))
    }

    /// Goes on when the test says so, by [`ScriptedOrigin::go_on`].
    pub fn hold(self) -> Self {
        self.with(Step::Hold)
    }

    /// Sends the bytes in pieces with pauses between.
    pub fn drip(self, bytes: impl AsRef<[u8]>, piece: usize, pause: Duration) -> Self {
        self.with(Step::Drip { bytes: bytes.as_ref().to_vec(), piece: piece.max(1), pause })
    }

    /// Says that no more will be sent, and goes on.
    pub fn half_close(self) -> Self {
        self.with(Step::HalfClose)
    }

    /// Closes at once. Bytes that were not read turn it into a reset.
    pub fn close(self) -> Self {
        self.with(Step::Close)
    }

    pub fn reset(self) -> Self {
        self.with(Step::Reset)
    }

    /// Holds the connection and neither reads nor writes until the origin is dropped.
    pub fn stall(self) -> Self {
        self.with(Step::Stall)
    }

    /// Follows the inner script until the peer closes between two rounds.
    pub fn repeat(self, inner: Self) -> Self {
        self.with(Step::Repeat(inner.steps))
    }

    fn with(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

/// What one connection received so far.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Every byte that was read.
    pub bytes: Vec<u8>,
    /// Each request that its script waited for, bodies where it waited for them.
    pub requests: Vec<Request>,
    /// How often its script has sent something that the kernel has taken.
    pub sent: usize,
    /// Set when the peer's bytes were no HTTP.
    pub malformed: Option<Malformed>,
    /// The peer has closed or reset the connection, or the script has ended it.
    pub ended: bool,
}

/// A listener on a loopback port of the kernel's choice. Dropping it ends everything.
#[derive(Debug)]
pub struct ScriptedOrigin {
    address: SocketAddr,
    record: Arc<Record>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Record {
    connections: Mutex<Vec<Connection>>,
    changed: Notify,
    goes_on: watch::Sender<bool>,
}

impl ScriptedOrigin {
    /// The n-th connection follows the n-th script; the last script serves all later ones.
    pub async fn start(scripts: impl IntoIterator<Item = Script>) -> io::Result<Self> {
        let mut scripts: VecDeque<Script> = scripts.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let record = Arc::new(Record::default());
        let shared = Arc::clone(&record);
        let task = tokio::spawn(async move {
            // Connections end with the set, and the set with the origin.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let script = match scripts.len() {
                    0 => Script::new(),
                    1 => scripts[0].clone(),
                    _ => scripts.pop_front().unwrap_or_default(),
                };
                while connections.try_join_next().is_some() {}
                let index = shared.open();
                connections.spawn(play(stream, script, Arc::clone(&shared), index));
            }
        });
        Ok(Self { address, record, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every connection so far, in the order of their accepts.
    pub fn connections(&self) -> Vec<Connection> {
        self.record.lock().clone()
    }

    /// Every request of every connection.
    pub fn requests(&self) -> Vec<Request> {
        self.record.lock().iter().flat_map(|connection| connection.requests.clone()).collect()
    }

    /// Lets every script pass its holds, from now on.
    pub fn go_on(&self) {
        self.record.goes_on.send_replace(true);
    }

    /// Waits until the record satisfies the condition; false when it has not in time.
    pub async fn until(&self, within: Duration, condition: impl Fn(&[Connection]) -> bool) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let changed = self.record.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if condition(&self.record.lock()) {
                return true;
            }
            if timeout_at(deadline, changed).await.is_err() {
                return condition(&self.record.lock());
            }
        }
    }
}

impl Drop for ScriptedOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> usize {
        let mut connections = self.lock();
        connections.push(Connection::default());
        let index = connections.len() - 1;
        drop(connections);
        self.changed.notify_waiters();
        index
    }

    fn update(&self, index: usize, change: impl FnOnce(&mut Connection)) {
        change(&mut self.lock()[index]);
        self.changed.notify_waiters();
    }
}

/// One connection while its script is played.
struct Player {
    stream: TcpStream,
    decoder: Decoder,
    record: Arc<Record>,
    index: usize,
    /// The last request of the record is the head of one whose body was not read yet.
    head_noted: bool,
}

/// Whether the script goes on.
type Goes = Result<bool, io::Error>;

async fn play(stream: TcpStream, script: Script, record: Arc<Record>, index: usize) {
    // Without it pieces that a test sends apart would be joined.
    let _ = stream.set_nodelay(true);
    let mut player =
        Player { stream, decoder: Decoder::default(), record, index, head_noted: false };
    if matches!(player.steps(&script.steps).await, Ok(true)) {
        let _ = player.stream.shutdown().await;
        let _ =
            timeout(STEP_LIMIT, async { while matches!(player.fill().await, Ok(1..)) {} }).await;
    }
    let Player { stream, record, index, .. } = player;
    drop(stream);
    record.update(index, |connection| connection.ended = true);
}

impl Player {
    fn steps<'a>(
        &'a mut self,
        steps: &'a [Step],
    ) -> Pin<Box<dyn Future<Output = Goes> + Send + 'a>> {
        Box::pin(async move {
            for step in steps {
                if !self.step(step).await? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    async fn step(&mut self, step: &Step) -> Goes {
        match step {
            Step::Head => {
                // The rest of a request whose head alone was awaited before.
                if self.head_noted && !self.request().await? {
                    return Ok(false);
                }
                return self.head().await;
            }
            Step::Request => return self.request().await,
            Step::Send(bytes) => {
                self.stream.write_all(bytes).await?;
                self.record.update(self.index, |connection| connection.sent += 1);
            }
            Step::Delay(time) => slowly(*time).await,
            Step::Hold => {
                let mut goes_on = self.record.goes_on.subscribe();
                // The sender is in the record, which this connection holds too.
                drop(timeout(STEP_LIMIT, goes_on.wait_for(|goes_on| *goes_on)).await);
            }
            Step::Drip { bytes, piece, pause } => {
                for piece in bytes.chunks(*piece) {
                    self.stream.write_all(piece).await?;
                    slowly(*pause).await;
                }
            }
            Step::HalfClose => self.stream.shutdown().await?,
            Step::Close => return Ok(false),
            Step::Reset => {
                self.stream.set_zero_linger()?;
                return Ok(false);
            }
            Step::Stall => std::future::pending::<()>().await,
            Step::Repeat(steps) => loop {
                if self.decoder.is_idle() && self.fill().await? == 0 {
                    return Ok(true);
                }
                if !self.steps(steps).await? {
                    return Ok(false);
                }
            },
        }
        Ok(true)
    }

    async fn head(&mut self) -> Goes {
        let Some(request) = self.read(Decoder::request_head).await? else { return Ok(false) };
        self.head_noted = true;
        self.record.update(self.index, |connection| connection.requests.push(request));
        Ok(true)
    }

    async fn request(&mut self) -> Goes {
        let Some(request) = self.read(Decoder::request).await? else { return Ok(false) };
        let noted = std::mem::take(&mut self.head_noted);
        self.record.update(self.index, |connection| {
            if noted {
                connection.requests.pop();
            }
            connection.requests.push(request);
        });
        Ok(true)
    }

    /// `None` when the peer closed, sent no HTTP, or took too long.
    async fn read(
        &mut self,
        next: impl Fn(&mut Decoder) -> Result<Option<Request>, Malformed>,
    ) -> io::Result<Option<Request>> {
        loop {
            match next(&mut self.decoder) {
                Ok(Some(request)) => return Ok(Some(request)),
                Ok(None) => {}
                Err(malformed) => {
                    self.record.update(self.index, |connection| {
                        connection.malformed = Some(malformed);
                    });
                    return Ok(None);
                }
            }
            match timeout(STEP_LIMIT, self.fill()).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) | Err(_) => return Ok(None),
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let mut bytes = Vec::with_capacity(16 * 1024);
        let length = self.stream.read_buf(&mut bytes).await?;
        self.decoder.push(&bytes);
        self.record.update(self.index, |connection| connection.bytes.extend_from_slice(&bytes));
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
