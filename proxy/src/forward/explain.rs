//! Why there is no response, in terms of the connection that carried the request.

use crate::cause::{Cause, Rule};
use crate::error::Reason;
use crate::exchange::Exchange;
use crate::fault::Words;
use crate::http2::sniff::SniffedProtocol;
use crate::upstream::acquire::Connection;

/// Notes what happened to the connection, if that is the reason. A peer that speaks another protocol
/// than expected is a separate cause.
#[cold]
pub(super) fn explain(
    exchange: &mut Exchange<'_>,
    cause: Cause,
    fault: Option<Words>,
    connection: &Connection,
) -> Cause {
    const SILENT: &str = "; it sent no HTTP/2 frame: check the upstream's protocol";
    if cause.reason != Reason::UpstreamReset {
        return cause;
    }
    if let Some(fault) = fault {
        exchange.note(fault);
    }
    match connection {
        Connection::Http1(connection) if connection.reused => {
            exchange.note_more(" (on a kept connection)");
            cause
        }
        Connection::Http1(_) => cause,
        Connection::Http2(lease) => match lease.sniffed() {
            SniffedProtocol::Http1 => Rule::Http1FromHttp2.in_response(),
            SniffedProtocol::Nothing => {
                exchange.note_more(SILENT);
                cause
            }
            SniffedProtocol::Fault { words, silent } => {
                exchange.note(words);
                if silent {
                    exchange.note_more(SILENT);
                }
                cause
            }
            SniffedProtocol::Frames => cause,
        },
    }
}
