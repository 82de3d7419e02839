//! Proofs that the shop keeps its promises: its real processes in a [`World`] of their own,
//! customers who never give up ([`Customer`], [`Crowd`]), and an [`Audit`] of what is left.
//!
//! It judges by what anyone could see: what clients were answered, what is in the databases, and
//! which events the broker has. Of the services' code it knows nothing; the platform lends its
//! broker and the servers that tests run on. Everything here panics on what cannot go on, as is fit
//! for tests and for nothing else.
#![allow(clippy::unwrap_used, reason = "it is how a test fails, and there are only tests here")]

mod audit;
mod backoffice;
mod bus;
mod client;
mod command;
mod crowd;
mod customer;
mod deadline;
mod evidence;
mod goods;
mod ground;
mod promises;
mod quiet;
mod running;
mod scenario;
mod seed;
mod service;
mod steps;
mod store;
mod world;

pub use audit::Audit;
pub use backoffice::Backoffice;
pub use bus::Recorded;
pub use client::{Answer, Client, Request};
pub use command::{Places, Settings};
pub use crowd::Crowd;
pub use customer::{Card, Customer, End};
pub use deadline::{Deadline, PATIENCE};
pub use evidence::Evidence;
pub use goods::{PLENTY, SCARCE};
pub use ground::Engines;
pub use promises::{Promises, Told};
pub use running::Begun;
pub use scenario::everything;
pub use seed::seed;
pub use service::Service;
pub use steps::{Side, Step};
pub use world::World;
