//! The policies: one file each, prepared when the configuration is, applied per request.
//!
//! Those that a route lists under their own key are [`Policy`] values. The list at the end of this
//! file is their registry, one line each, and the order in which they run. What every request goes through (provenance, request
//! ids, forwarded fields) stands in files of its own and is called by name. Header edits of the
//! configuration come last, so that they see (and may remove) what policies add.

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
    // First, so that the responses of all that is refused below have them too.
    security_headers: SecurityHeaders,
    // Browsers send preflights without credentials: they are answered before any are asked for.
    cors: Cors,
    // Costs next to nothing, and needs no identity.
    address_rules: AddressRules,
    basic_auth: BasicAuth,
    // Who may not come in learns nothing of what is taken.
    content_types: ContentTypes,
}
