//! Where requests go: clusters of endpoints, how their addresses are found and how one is chosen.
//!
//! `cluster` and `endpoint` are process-wide and shared, `discovery` feeds them from the control
//! runtime, `balance` is what each worker keeps for itself. Nothing here opens a connection or
//! knows a protocol.

pub mod acquire;
pub(crate) mod attempts;
pub mod balance;
pub mod caps;
pub mod client;
pub mod cluster;
pub mod connect;
pub mod discovery;
pub mod endpoint;
#[cfg(test)]
mod fixture;
mod hash;
pub mod live;
pub mod local;
mod multiplex;
pub mod outcome;
pub mod pool;
mod slow_start;
mod store;
