//! Connections that end before they are served: which failure it was, and its line in the process
//! log.
//!
//! Knows the errors of TLS and the certificates of a listener. Other modules notice the failures.

mod failed;
mod handshake;
mod notice;

pub use failed::ConnectionFailure;
pub(crate) use handshake::{failure_of, failure_of_peer, for_name};
pub(crate) use notice::{notice_leaving, notice_tls};
