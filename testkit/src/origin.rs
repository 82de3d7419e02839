//! Origins on loopback: one that misbehaves by a script, and one that behaves.
//!
//! Both write down what they received, because what a proxy sends on is half of every test.

mod plain;
mod scripted;

pub use plain::{Killed, Origin};
pub use scripted::{Connection, Script, ScriptedOrigin};
