//! Connections that end before they are served: which failure it was, and what the process log
//! says of it.
//!
//! Knows the errors of TLS and what is shown to a client. That a connection failed is noticed
//! elsewhere.

mod failed;
mod handshake;
mod notice;

pub use failed::ConnectionFailure;
pub(crate) use handshake::{failure_of, failure_of_peer, for_name};
pub(crate) use notice::{notice_leaving, notice_tls};
