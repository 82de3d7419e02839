//! The status listeners and the admin API.
//!
//! Runs on the control runtime, never on a worker: axum over hyper, for a handful of connections.
//! `status` is open to any client (alive, ready, metrics); `api` is for the operator on this
//! machine. It reads snapshots and counters and asks the control loop; it changes nothing itself.

mod answer;
mod api;
pub mod book;
mod guard;
pub mod handle;
mod page;
mod problem;
mod serve;
pub mod shared;
mod status;
mod view;

pub use book::{ControlBook, ControlReservation};
pub use shared::Shared;

#[cfg(test)]
mod tests;
