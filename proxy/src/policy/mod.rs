//! The policies: one file each, prepared when the configuration is, applied per request.
//!
//! Their order is written once, in [`decide`](crate::decide) for what happens before a request is
//! forwarded; header edits come last, so that they see (and may remove) what the proxy adds.

mod fault;
pub mod forwarded;
pub mod grpc;
pub mod grpc_web;
mod hex;
pub mod provenance;
pub mod redirect;
pub mod reply;
pub mod request_id;
pub mod rewrite;
#[cfg(test)]
pub mod sample;
pub mod sticky;
pub mod trace;

pub use fault::PolicyFault;
