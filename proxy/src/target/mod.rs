//! The target of a request: the one host and the one path that routing, policies, redirects and
//! upstreams agree on.
//!
//! Pure functions over bytes. This module knows neither routes nor policies.

mod configured;
pub mod host;
pub mod path;

pub use configured::TargetFault;
pub(crate) use configured::{normal_path, normal_prefix};
