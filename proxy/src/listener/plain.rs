//! The answer to a client that speaks HTTP without TLS to a listener with TLS.
//!
//! Knows a socket and one fixed answer; nothing of the request is looked at.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::drain::Registration;
use crate::io::Socket;

const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 62\r\n\
    connection: close\r\n\r\n\
    This port speaks TLS: plain HTTP was sent to it. Use https://\n";

/// How long the close may take, and how much of the request is still read: closing a socket with
/// unread bytes would reset it, and the client could lose the answer.
const PATIENCE: Duration = Duration::from_secs(1);
const MOST_READ: u64 = 64 * 1024;

/// Answers, and closes when the client has or when its time is over.
pub(super) async fn answer(mut socket: Socket, registration: &Registration) {
    let goodbye = async {
        socket.write_all(ANSWER).await?;
        socket.shutdown().await?;
        let mut unread = socket.take(MOST_READ);
        tokio::io::copy(&mut unread, &mut tokio::io::sink()).await
    };
    tokio::select! {
        // Whether the client took its answer changes nothing.
        _ = timeout(PATIENCE, goodbye) => {}
        () = registration.drained() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
