//! The engine over real sockets: what a client and an origin see of each other through it.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

mod harness;

mod at_once;
mod basics;
mod bodies;
mod causes;
mod crowds;
mod explained;
mod faults;
mod figures;
mod forwarding;
mod grpc;
mod http2_upstreams;
mod limits;
mod passthrough;
mod paths;
mod protocols;
mod proxy_header;
mod refusals;
mod tcp;
mod upstreams;
mod websocket;
