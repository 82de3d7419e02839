//! Everything that is not a request: configurations and certificates that change, signals, names.
//!
//! Runs on its own runtime and never blocks a worker. It reaches workers by a published snapshot or
//! a command. The control loop in `server` decides what runs when.

pub mod apply;
pub mod book;
pub mod check;
pub mod expiry;
pub mod fingerprint;
pub mod reload;
pub mod retired;
pub mod signals;
pub mod watch;
