//! A cheap origin of gRPC: sends the bytes of every call back, and ends it well.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};

/// Calls that a connection may have open.
const STREAMS: u32 = 1_000;

/// Serves until the process ends.
pub(crate) fn run(port: u16, announce: impl Fn(SocketAddr)) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        announce(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            // What breaks a connection shows on its other side.
            tokio::spawn(connection(stream));
        }
    })
}

async fn connection(stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut builder = h2::server::Builder::new();
    let mut connection = builder.max_concurrent_streams(STREAMS).handshake(stream).await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        tokio::spawn(echo(request, respond));
    }
    Ok(())
}

async fn echo(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> anyhow::Result<()> {
    let response = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut send = respond.send_response(response, false)?;
    let mut receive = request.into_body();
    while let Some(data) = receive.data().await {
        let data = data?;
        receive.flow_control().release_capacity(data.len())?;
        send_whole(&mut send, data).await?;
    }
    send.send_trailers(HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]))?;
    Ok(())
}

/// As the peer's window allows, so that nothing piles up here.
async fn send_whole(send: &mut SendStream<Bytes>, mut data: Bytes) -> anyhow::Result<()> {
    while !data.is_empty() {
        send.reserve_capacity(data.len());
        let capacity = match send.capacity() {
            0 => std::future::poll_fn(|context| send.poll_capacity(context)).await,
            capacity => Some(Ok(capacity)),
        };
        let Some(capacity) = capacity else { break };
        let part = data.split_to(capacity?.min(data.len()));
        send.send_data(part, false)?;
    }
    Ok(())
}
