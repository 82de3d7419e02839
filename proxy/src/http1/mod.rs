//! The HTTP/1.1 codec (RFC 9112): bytes in, parts and verdicts out, and heads back into bytes.
//!
//! Strict on both sides: a message that two parsers could frame differently is refused, and what
//! is written carries exactly one framing, chosen here. Nothing in this module knows a socket, a
//! runtime, a route or a clock. In the steady state nothing is allocated: parts are reused and
//! writers append to a buffer that the caller keeps.

pub mod body;
pub mod changes;
pub mod chunked;
pub mod edits;
mod fields;
mod framing;
pub mod host;
#[cfg(test)]
pub(crate) mod hypothetical;
pub mod known;
pub mod request;
pub mod response;
pub mod scan;
pub mod simple;
pub(crate) mod syntax;
mod target;
pub(crate) mod trailers;
pub mod write;

pub use body::{BodyDecoder, Decoded, Side};
pub use changes::Changes;
pub use chunked::{ChunkedDecoder, write_chunk, write_chunk_header, write_last_chunk};
pub use edits::{EditError, Edits};
pub use request::{Parsed, RequestRules, leading_empty_line, parse_request};
pub use response::{ResponseRules, parse_response};
pub use scan::{HeadLimits, HeadScanner};
pub use simple::{SimpleResponse, write_informational, write_simple_response};
pub use write::{
    Line, OutgoingRequest, OutgoingResponse, client_framing, write_request, write_response,
};

#[cfg(test)]
mod tests;
