//! What the shop's services share: flags, databases, events, telemetry, problem answers, graceful
//! shutdown.
//!
//! It knows no service by name and nothing of the proxy in front. A service hands over its routes,
//! its database and its consumers as a [`Service`]; the platform gives it health, metrics, logs and
//! limits, and carries its events.

pub mod auth;
pub mod broker;
pub mod clock;
pub mod conditional;
pub mod consumer;
pub mod database;
pub mod event;
pub mod extract;
pub mod failpoint;
pub mod grpc;
pub mod idempotency;
pub mod metrics;
pub mod openapi;
pub mod outbox;
pub mod page;
mod panics;
pub mod problem;
pub mod process;
mod readiness;
pub mod request;
pub mod server;
pub mod service;
pub mod settings;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

pub use broker::{Broker, BrokerError};
pub use clock::{Clock, ManualClock, SystemClock, UnixTime};
pub use consumer::{Consumer, Handler, HandlerError};
pub use database::{Database, DatabaseError, Migrations, Transaction};
pub use event::Event;
pub use failpoint::Failpoints;
pub use futures_core::future::BoxFuture;
pub use problem::Problem;
pub use request::RequestContext;
pub use server::{Bound, StartError};
pub use service::{Service, Task};
pub use settings::ServerOptions;
