//! The policies: one file each, prepared with the configuration, applied to each request.
//!
//! A policy that a route has under its own key is a [`Policy`] value. The list at the end of this
//! file is their registry, one line each, and the order in which they run. Provenance, request ids
//! and forwarded fields apply to every request; they are in their own files and are called by name.
//! Header edits of the configuration run last, so that they see (and may remove) what policies add.

pub mod address_rules;
pub mod basic_auth;
pub mod content_types;
pub mod cors;
mod fault;
pub mod forwarded;
pub mod grpc;
pub mod grpc_web;
mod hex;
pub mod judge;
pub mod provenance;
pub mod redirect;
mod registry;
pub mod reply;
pub mod request_id;
pub mod rewrite;
pub mod security_headers;
pub mod sticky;
#[cfg(test)]
pub(crate) mod testing;
pub mod trace;

pub use fault::PolicyFault;
pub use registry::RoutePolicies;
pub(crate) use registry::compile_listener;

registry::policies! {
    // First, so that the refusals of later policies have these headers too.
    security_headers: SecurityHeaders,
    // Browsers send preflights without credentials, so they are answered before authentication.
    cors: Cors,
    // Cheap, and needs no identity.
    address_rules: AddressRules,
    basic_auth: BasicAuth,
    // After authentication, so that a refused client does not learn which types are accepted.
    content_types: ContentTypes,
}
