//! A call over a stream of HTTP/2.

use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::ResponseFuture;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};

use super::{
    CallError, ClientAnswer, ClientFailure, Limits, MAX_INTERIM, RULES, Reuse, put, stream_failure,
};
use crate::cause::Rule;
use crate::http2::client::Lease;
use crate::http2::head::incoming_response;
use crate::message::ResponseParts;
use crate::upstream::endpoint::Endpoint;

pub(super) async fn talk(
    lease: &mut Lease,
    request: &Request<Bytes>,
    endpoint: &Endpoint,
    tls: bool,
    limits: Limits,
) -> Result<ClientAnswer, ClientFailure> {
    let head = head_of(request, &endpoint.authority, tls)
        .ok_or_else(|| ClientFailure::sent(CallError::Target))?;
    let body = request.body();
    let unsent = |error| ClientFailure { error: CallError::Stream(error), not_sent: true };
    let (response, mut stream) = lease.send(head, body.is_empty()).map_err(unsent)?;
    if !body.is_empty() {
        // A small body waits inside the connection for its window.
        stream.send_data(body.clone(), true).map_err(stream_failure)?;
    }
    let (head, mut stream) = hear(response).await?.into_parts();
    let (mut bytes, mut parts) = (Vec::new(), ResponseParts::default());
    let has_body = !stream.is_end_stream();
    let method = request.method().as_str().as_bytes();
    incoming_response(&head, has_body, &RULES, method, &mut bytes, &mut parts)
        .map_err(|cause| ClientFailure::sent(CallError::Malformed(cause)))?;
    let body = read(&mut stream, limits.body).await?;
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    // The connection is everybody's; what ends here is the stream.
    Ok(ClientAnswer { response, reuse: Reuse::No })
}

fn head_of(request: &Request<Bytes>, authority: &str, tls: bool) -> Option<Request<()>> {
    let named = request.headers().get(HOST);
    let authority = named.map_or(authority.as_bytes(), |host| host.as_bytes());
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut head = Request::new(());
    *head.uri_mut() = Uri::builder()
        .scheme(if tls { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(Authority::try_from(authority).ok()?)
        .path_and_query(target)
        .build()
        .ok()?;
    head.method_mut().clone_from(request.method());
    head.headers_mut().clone_from(request.headers());
    for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
        head.headers_mut().remove(name);
    }
    Some(head)
}

/// Waits for the final head, past interim ones.
async fn hear(mut response: ResponseFuture) -> Result<Response<RecvStream>, ClientFailure> {
    let mut interim = 0;
    std::future::poll_fn(|cx| {
        while let Poll::Ready(Some(passed)) = response.poll_informational(cx) {
            passed.map_err(stream_failure)?;
            interim += 1;
            if interim > MAX_INTERIM {
                let cause = Rule::TooManyInterim.in_response();
                return Poll::Ready(Err(ClientFailure::sent(CallError::Malformed(cause))));
            }
        }
        Pin::new(&mut response).poll(cx).map_err(stream_failure)
    })
    .await
}

async fn read(stream: &mut RecvStream, most: usize) -> Result<Bytes, ClientFailure> {
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        // Of what broke here, part of the answer had come: it was sent.
        let chunk = chunk.map_err(|error| ClientFailure::sent(CallError::Stream(error)))?;
        put(&mut body, &chunk, most).map_err(ClientFailure::sent)?;
        // Fails only on a stream that is gone, which the next read tells.
        let _ = stream.flow_control().release_capacity(chunk.len());
    }
    Ok(body.into())
}
