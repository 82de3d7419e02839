//! A cheap origin of gRPC: reads a call away and answers it with one message and an `ok`.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};

use crate::load::h2load::message;
use crate::sockets;

/// Bytes of the message that it answers with.
const MESSAGE: u8 = 64;

/// Serves until the process ends.
pub(crate) fn run(port: u16, announce: impl Fn(SocketAddr)) -> io::Result<()> {
    let (listener, address) = sockets::listen(port)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        announce(address);
        loop {
            let (stream, _) = listener.accept().await?;
            // A connection that breaks is its client's affair.
            tokio::spawn(async { drop(serve(stream).await) });
        }
    })
}

async fn serve(stream: TcpStream) -> Result<(), h2::Error> {
    stream.set_nodelay(true).map_err(|_| h2::Reason::INTERNAL_ERROR)?;
    let answer = Bytes::from(message(MESSAGE));
    let mut connection = Builder::new()
        .max_concurrent_streams(1_000)
        .initial_connection_window_size(16 << 20)
        .handshake(stream)
        .await?;
    while let Some(call) = connection.accept().await {
        let (request, response) = call?;
        let answer = answer.clone();
        tokio::spawn(async move { drop(call_ended(request.into_body(), response, answer).await) });
    }
    Ok(())
}

async fn call_ended(
    mut body: RecvStream,
    mut response: SendResponse<Bytes>,
    answer: Bytes,
) -> Result<(), h2::Error> {
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    let mut head = Response::new(());
    head.headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let mut stream = response.send_response(head, false)?;
    stream.send_data(answer, false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}
