//! Answers that may be large, and how long they take their place.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes handed to a connection at a time; it asks for more when it has sent them.
const CHUNK: usize = 64 * 1024;

/// A text of some media type.
pub(super) struct TextAnswer {
    pub(super) kind: &'static str,
    pub(super) text: String,
}

impl TextAnswer {
    pub(super) fn json(value: &serde_json::Value) -> Self {
        Self { kind: "application/json", text: format!("{value}\n") }
    }

    /// The turn is over when the text has been sent, not when it has been made: readers who do
    /// not read hold memory.
    pub(super) fn into_response(self, turn: OwnedSemaphorePermit) -> Response {
        let body = Text { rest: self.text.into(), _turn: turn };
        let mut response = Response::new(Body::new(body));
        let kind = HeaderValue::from_static(self.kind);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

struct Text {
    rest: Bytes,
    _turn: OwnedSemaphorePermit,
}

impl hyper::body::Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.rest.len().min(CHUNK);
        let chunk = self.rest.split_to(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
