//! What the shop's services share: flags, database, telemetry, problem answers, graceful shutdown.
//!
//! It knows no service by name and nothing of the proxy in front. A service hands over its routes
//! and its database as a [`Service`]; the platform gives it health, metrics, logs and limits.

pub mod clock;
pub mod conditional;
pub mod database;
pub mod extract;
pub mod metrics;
pub mod problem;
pub mod process;
pub mod request;
pub mod server;
pub mod service;
pub mod settings;
pub mod telemetry;

pub use clock::{Clock, ManualClock, SystemClock, UnixTime};
pub use database::{Database, DatabaseError, Migrations};
pub use problem::Problem;
pub use server::{Bound, StartError};
pub use service::Service;
pub use settings::ServerOptions;
