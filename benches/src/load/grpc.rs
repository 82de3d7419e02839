//! Calls of gRPC that stay open and exchange small messages both ways, over HTTP/2 without TLS.
//!
//! Each stream sends a message and waits for it to come back. A message is what gRPC puts on the
//! wire, a prefix of five bytes and a payload, and nothing here looks into it; the origin that
//! sends it back is in [`echo`].

pub(crate) mod echo;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Version};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Slice;
use super::own::{Completed, costed, on_generator_core};
use crate::engines::Running;

/// Bytes of a message without its prefix.
const PAYLOAD: u8 = 64;
/// How long a message may be under way, and how long a call may take to begin.
const DEADLINE: Duration = Duration::from_secs(5);

/// Who exchanges messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clients {
    pub(crate) connections: usize,
    /// Calls of each connection.
    pub(crate) streams: usize,
}

/// The figure is the engine's processor time for each message, there and back.
pub(super) fn run(
    clients: &Clients,
    engine: &Running,
    duration: Duration,
) -> anyhow::Result<Slice> {
    on_generator_core(engine.setting.cores, || {
        let mut streams = Streams::open(engine.address, clients.connections, clients.streams)?;
        costed(engine, || streams.run(duration))
    })
}

/// Calls that have begun.
#[derive(Debug)]
struct Streams {
    // Ended after the calls, whose connections it drives.
    calls: Vec<Call>,
    runtime: Runtime,
}

#[derive(Debug)]
struct Call {
    send: SendStream<Bytes>,
    receive: RecvStream,
}

impl Streams {
    /// So many connections with so many calls each.
    fn open(target: SocketAddr, connections: usize, streams: usize) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let calls = runtime.block_on(async {
            let mut calls = Vec::new();
            for _ in 0..connections {
                let opened = timeout(DEADLINE, open(target, streams)).await;
                calls.append(&mut opened.context("calls took too long to begin")??);
            }
            anyhow::Ok(calls)
        })?;
        Ok(Self { calls, runtime })
    }

    /// Messages there and back for so long, on the calling thread.
    fn run(&mut self, duration: Duration) -> anyhow::Result<Completed> {
        let message = message();
        let done = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let calls = std::mem::take(&mut self.calls);
        self.calls = self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for mut call in calls {
                let (message, done) = (message.clone(), Arc::clone(&done));
                tasks.spawn(async move {
                    while start.elapsed() < duration {
                        call.exchange(&message).await?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    anyhow::Ok(call)
                });
            }
            let all = timeout(duration + DEADLINE, tasks.join_all()).await;
            let all = all.context("messages did not come back")?;
            all.into_iter().collect::<anyhow::Result<_>>()
        })?;
        Ok(Completed { done: done.load(Ordering::Relaxed), failed: 0 })
    }
}

impl Call {
    async fn exchange(&mut self, message: &Bytes) -> anyhow::Result<()> {
        self.send.send_data(message.clone(), false)?;
        self.receive_back(message.len()).await
    }

    async fn receive_back(&mut self, mut left: usize) -> anyhow::Result<()> {
        while left > 0 {
            let data = self.receive.data().await.context("the call ended")??;
            self.receive.flow_control().release_capacity(data.len())?;
            left = left.checked_sub(data.len()).context("more came back than was sent")?;
        }
        Ok(())
    }
}

/// A connection with calls that have begun.
async fn open(target: SocketAddr, streams: usize) -> anyhow::Result<Vec<Call>> {
    let tcp = TcpStream::connect(target).await?;
    tcp.set_nodelay(true)?;
    let (mut client, connection) = h2::client::handshake(tcp).await?;
    // Its end shows in the calls.
    tokio::spawn(connection);
    let mut calls = Vec::new();
    for _ in 0..streams {
        client = client.ready().await?;
        calls.push(begin(&mut client, target).await?);
    }
    Ok(calls)
}

/// One call with its first message, before which many a server answers nothing.
async fn begin(client: &mut SendRequest<Bytes>, target: SocketAddr) -> anyhow::Result<Call> {
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://{target}/bench.Echo/Talk"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (response, mut send) = client.send_request(request, false)?;
    let message = message();
    send.send_data(message.clone(), false)?;
    let response = response.await?;
    if response.status() != 200 {
        bail!("the engine answered {}", response.status());
    }
    let mut call = Call { send, receive: response.into_body() };
    call.receive_back(message.len()).await?;
    Ok(call)
}

/// Not compressed, and with the length of the payload (gRPC over HTTP/2, "Length-Prefixed-Message").
fn message() -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, PAYLOAD];
    bytes.resize(bytes.len() + usize::from(PAYLOAD), b'm');
    bytes.into()
}

#[cfg(test)]
mod tests;
