//! The configuration of Portcullis: YAML in, validated values or located errors out.
//!
//! A leaf of the workspace: it knows no runtime, no protocol engine and no TLS library.

pub mod diagnostics;
pub mod location;
mod lower;
pub mod model;
mod raw;
mod secrets;
mod suggest;
pub mod text;
mod tree;
pub mod units;
pub mod values;
