//! Gives each call its identity and leaves exactly one record of it, when its status is known.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tonic::{Code, Status};
use tracing::{Instrument, Span};

use crate::metrics::GrpcMetrics;
use crate::request::RequestContext;

/// Logged only when someone debugs.
const PROBES: &str = "/grpc.health.v1.Health/";

pub(super) async fn observe(
    State(metrics): State<Arc<GrpcMetrics>>,
    mut request: Request,
    next: Next,
) -> Response {
    let context = RequestContext::of(request.headers());
    let method = request.uri().path().to_owned();
    let span = tracing::info_span!(
        "call",
        request_id = context.request_id(),
        traceparent = context.traceparent(),
        method,
    );
    // Also what was made just now: the method finds it in its metadata.
    context.apply(request.headers_mut());
    request.extensions_mut().insert(context.clone());
    let started = Instant::now();
    let mut record = Record { metrics, method, started, code: None, span: span.clone() };
    async move {
        let mut response = next.run(request).await;
        context.apply(response.headers_mut());
        // An error without a message has its status in the head.
        record.see(response.headers());
        response.map(|body| Body::new(Recorded { body, record }))
    }
    .instrument(span)
    .await
}

/// The access record, written on drop: also when the caller leaves first.
struct Record {
    metrics: Arc<GrpcMetrics>,
    method: String,
    started: Instant,
    code: Option<Code>,
    span: Span,
}

impl Record {
    fn see(&mut self, headers: &HeaderMap) {
        let status = headers.get(Status::GRPC_STATUS);
        self.code = status.map(|code| Code::from_bytes(code.as_bytes())).or(self.code);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        // Without a status the caller has left.
        let code = self.code.unwrap_or(Code::Cancelled);
        // What no service has is not a method; its name is the caller's invention.
        let method = if code == Code::Unimplemented { "unmatched" } else { self.method.as_str() };
        self.metrics.end(method, &i32::from(code).to_string(), elapsed);
        let duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let code = i32::from(code);
        let _entered = self.span.enter();
        if self.method.starts_with(PROBES) {
            tracing::debug!(code, duration_us, "call");
        } else {
            tracing::info!(code, duration_us, "call");
        }
    }
}

/// A response's body that reads the status in its trailers.
struct Recorded {
    body: Body,
    record: Record,
}

impl HttpBody for Recorded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            self.record.see(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
