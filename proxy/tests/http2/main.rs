//! HTTP/2 from clients, over real sockets: the rules of the protocol, what reaches an HTTP/1
//! upstream, and how connections end.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

mod harness;

mod conformance;
mod downgrade;
mod lifecycle;
