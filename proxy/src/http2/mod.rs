//! HTTP/2 in both directions: connections, and heads on their way into and out of the form that
//! routing and policies read.
//!
//! Framing, flow control and header compression are the `h2` crate's, which is also hyper's own
//! engine; it is used without hyper's layer above, because a proxy wants what that layer hides:
//! the stream's capacity, its reset code, interim responses. What a head may hold is judged by
//! the rules of HTTP/1: every head is written out as lines and parsed as if it had come so.

pub mod client;
pub mod connect;
pub mod fields;
mod frame;
pub mod head;
pub mod heard;
mod income;
mod meter;
mod metered;
pub mod server;
mod sieve;
mod transport;
