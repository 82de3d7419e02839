//! A connection of an origin that speaks HTTP/2, by prior knowledge or as agreed.
//!
//! Requests for the size `stream` are calls as gRPC makes them: each message is sent back as it
//! comes, and trailers tell what had come.

use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::{Mode, Wire, Witness};
use crate::chaos::wish::{Asked, ECHO, RECEIVED, content, digest};

/// Larger uploads are no part of the load.
const UPLOAD_LIMIT: usize = 1024 * 1024;

type Outcome = Result<(), h2::Error>;

pub(super) async fn serve(stream: impl Wire, mode: watch::Receiver<Mode>, witness: Arc<Witness>) {
    // It never closes first unless it is meant to break, and then by a reset.
    let _ = stream.tcp().set_zero_linger();
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let broken = Arc::new(Notify::new());
    // Streams end with their connection.
    let mut streams = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = broken.notified() => return,
        };
        let Some(Ok((request, respond))) = accepted else { return };
        while streams.try_join_next().is_some() {}
        let (mode, witness) = (*mode.borrow(), Arc::clone(&witness));
        let broken = Arc::clone(&broken);
        // What becomes of a stream is seen by the proxy.
        streams.spawn(async move {
            let _ = answer(request, respond, mode, &witness, &broken).await;
        });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    mode: Mode,
    witness: &Witness,
    broken: &Notify,
) -> Outcome {
    let (head, body) = request.into_parts();
    if let Some((_, id)) = head.uri.path().split_once("/stream/") {
        witness.see(id);
        return match mode {
            Mode::Well => call(id, body, respond, usize::MAX).await,
            Mode::Truncate => call(id, body, respond, 1).await,
            Mode::Reset => {
                broken.notify_one();
                std::future::pending().await
            }
            Mode::BlackHole => {
                collect(body).await?;
                silence(respond).await
            }
        };
    }
    let Some(asked) = Asked::parse(head.uri.path()) else {
        let response = response(404, "", "");
        respond.send_response(response, true)?;
        return Ok(());
    };
    let received = collect(body).await?;
    witness.see(&asked.id);
    match mode {
        Mode::Reset => {
            broken.notify_one();
            return std::future::pending().await;
        }
        Mode::BlackHole => return silence(respond).await,
        Mode::Well | Mode::Truncate => {}
    }
    let mut response = response(200, &asked.id, &digest(&received));
    if !asked.chunked() {
        response.headers_mut().insert(http::header::CONTENT_LENGTH, asked.size.into());
    }
    let mut body = Bytes::from(content(&asked.id, asked.size));
    let mut send = respond.send_response(response, false)?;
    if mode == Mode::Truncate {
        body.truncate(asked.size / 2);
        send.send_data(body, false)?;
        // What is queued goes out first, most of the time.
        tokio::task::yield_now().await;
        send.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    }
    send.send_data(body, true)
}

/// Never answers. What was read is given back to the windows of the connection, which calls that
/// began before share: a black hole is not to reach those.
async fn silence(mut respond: SendResponse<Bytes>) -> Outcome {
    std::future::poll_fn(|cx| respond.poll_reset(cx)).await.map(drop)
}

/// Echoes up to so many messages; then, if there is another, it breaks off.
async fn call(
    id: &str,
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    most: usize,
) -> Outcome {
    let mut send = respond.send_response(response(200, id, "call"), false)?;
    let mut all = Vec::new();
    let mut count = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        if count == most || all.len() > UPLOAD_LIMIT {
            send.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
        // One that says nothing is not sent back: a peer may take no more than so many of those.
        if data.is_empty() {
            continue;
        }
        count += 1;
        all.extend_from_slice(&data);
        send.send_data(data, false)?;
    }
    if most != usize::MAX {
        send.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert(RECEIVED, value(&digest(&all)));
    send.send_trailers(trailers)
}

async fn collect(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
        if all.len() > UPLOAD_LIMIT {
            break;
        }
    }
    Ok(all)
}

fn response(status: u16, id: &str, received: &str) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(ECHO, value(id));
    response.headers_mut().insert(RECEIVED, value(received));
    response
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unspeakable"))
}
