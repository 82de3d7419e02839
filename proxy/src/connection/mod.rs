//! A client's HTTP connection: sequential requests in HTTP/1, concurrent streams in HTTP/2, the idle
//! time between them, and the close.
//!
//! Knows nothing of routing or upstreams: `handler` processes the requests.

mod closing;
mod http1;
mod http2;

pub use http1::serve;
