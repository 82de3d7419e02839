//! The configuration of Portcullis: YAML in, validated values or located errors out.
//!
//! A leaf of the workspace: it knows no runtime, no protocol engine and no TLS library.
//!
//! A file passes three forms: `tree` and `raw` hold what is written with its places, `lower`
//! makes of it the [`model::Config`] in which every rule holds, and the live state is built from
//! that elsewhere.

pub mod diagnostics;
mod effective;
mod load;
pub mod location;
mod lower;
pub mod model;
pub mod networks;
pub mod passwords;
pub mod policy;
mod raw;
mod schema;
mod secrets;
mod suggest;
pub mod text;
mod tree;
pub mod units;
pub mod values;

pub use diagnostics::{Diagnostic, Report, Severity, Sources};
pub use effective::effective;
pub use load::{
    Failed, Loaded, Loader, Outcome, Stale, load, load_with, parse_str, parse_str_with,
};
pub use schema::schema;
pub use secrets::{SecretSource, SystemSecrets};

/// A commented configuration to start from, complete in itself.
pub fn starter() -> &'static str {
    include_str!("../examples/starter.yaml")
}
