//! What is to become of a client's connection when an exchange has ended.

use super::Exchange;
use crate::buffer::{Buffer, HeadBuffer};

/// What is to become of the connection.
pub enum Next {
    /// Another request may follow; the buffer holds what came of it already.
    KeepAlive(Option<Buffer>),
    /// Say goodbye, so that the last response arrives, and close.
    Close,
    /// Close at once: the client is gone, or must see that its response is broken off.
    Abort,
}

/// Gives the buffer back for the next request, when there may be one.
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
