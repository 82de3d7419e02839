//! Everything that is not a request: configurations and certificates that change, signals, names.
//!
//! Runs on a runtime of its own and never blocks a worker. Workers hear of it by a published
//! snapshot or a command. Who calls for it, in which order, is the server's control loop.

pub mod apply;
pub mod book;
pub mod check;
pub mod expiry;
pub mod fingerprint;
pub mod reload;
pub mod retired;
pub mod signals;
pub mod watch;
