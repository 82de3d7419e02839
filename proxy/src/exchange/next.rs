//! What happens to a client's connection after an exchange.

use super::Exchange;
use crate::buffer::{Buffer, HeadBuffer};

/// What happens to the connection.
pub enum Next {
    /// Another request may follow; the buffer holds the bytes of it that have arrived.
    KeepAlive(Option<Buffer>),
    /// Close in order, so that the last response arrives.
    Close,
    /// Close at once: the client is gone, or must see that its response is incomplete.
    Abort,
}

/// Returns the buffer for the next request, if there may be one.
pub fn next(exchange: &mut Exchange<'_>, keep_alive: bool) -> Next {
    if !keep_alive {
        return Next::Close;
    }
    let rest = exchange.head.as_ref().is_some_and(|head| !head.body().is_empty());
    exchange.handled = true;
    exchange.record();
    let buffer = exchange.head.take().map(HeadBuffer::release);
    Next::KeepAlive(if rest { buffer } else { None })
}
