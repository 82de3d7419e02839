//! One client's connection of HTTP: requests one after another in HTTP/1, beside each other in
//! HTTP/2, the quiet between them, and the end.
//!
//! Knows nothing of routing or upstreams; what a request is to become is the handler's.

mod closing;
mod http1;
mod http2;

pub use http1::serve;
