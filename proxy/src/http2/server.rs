//! HTTP/2 connections of clients.

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;

/// One request of a connection.
pub struct Stream {
    pub head: http::request::Parts,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
}
