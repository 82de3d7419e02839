//! Upstreams: clusters of endpoints, the discovery of their addresses, balancing, connection pools
//! and attempts.
//!
//! `cluster` and `endpoint` are shared by the process, and `discovery` updates them from the control
//! runtime. `balance`, `pool` and `local` are the state of one worker. `acquire` opens connections.
//! No module here knows routes or clients.

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
