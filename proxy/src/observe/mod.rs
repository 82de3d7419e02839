//! What the data plane tells about itself: metrics, the access log and the times of a request.
//!
//! Whatever happens per request costs a worker a few plain stores and a copy into its own batch;
//! summing, formatting of metrics and writing of files are the business of other threads.
//! Nothing here decides about a request or knows how it is carried.

pub mod access_log;
pub mod clock;
mod collector;
pub mod counter;
pub mod failure;
mod family;
pub mod histogram;
pub mod metrics;
pub mod series;
mod status;
pub mod timeline;

pub use access_log::{
    AccessLog, AccessLogWorker, Answerer, LogFormat, OpenSink, Record, TlsRecord,
};
pub use clock::Clock;
pub use collector::exposition;
pub use counter::WorkerId;
pub use failure::Failure;
pub use metrics::{AccessLogMetrics, Metrics, ReloadResult};
pub use series::{
    ConnectFailure, EndpointMetrics, ListenerMetrics, RequestOutcome, RouteMetrics, UpstreamMetrics,
};
pub use timeline::{Stage, Timeline};
