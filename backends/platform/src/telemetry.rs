//! Logs: one JSON object a line on standard error.
//!
//! Standard output is left to the one line that scripts read: where the service listens.

use tracing_subscriber::filter::LevelFilter;

use crate::settings::LogLevel;

/// Starts logging for the whole process; `main` calls it once, and libraries never do.
///
/// A line holds its event's fields at the top and, in `span`, the request that it belongs to
/// (`request_id`, `traceparent`, `method`, `path`).
pub fn start(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_max_level(level)
        .with_writer(std::io::stderr)
        // A line that cannot be written is lost. To say so, on standard error, would panic: a full
        // disk under the log must not end the service.
        .log_internal_errors(false)
        .init();
}
