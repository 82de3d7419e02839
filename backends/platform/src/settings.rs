//! The flags that every service has. Each can be given by an environment variable too.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// How a service listens and what it grants to one request.
#[derive(Debug, Clone, Args)]
pub struct ServerOptions {
    /// The least severe lines to log.
    #[arg(long, env = "SHOP_LOG_LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
    /// How long one request may take.
    #[arg(long, env = "SHOP_REQUEST_TIMEOUT", value_parser = duration, default_value = "10s")]
    pub request_timeout: Duration,
    /// How long requests in flight may go on after SIGTERM or SIGINT.
    #[arg(long, env = "SHOP_DRAIN_TIMEOUT", value_parser = duration, default_value = "10s")]
    pub drain_timeout: Duration,
    /// How long a connection may wait for its next request, and a request for the end of its head.
    #[arg(long, env = "SHOP_IDLE_TIMEOUT", value_parser = duration, default_value = "75s")]
    pub idle_timeout: Duration,
    /// The largest request body, in bytes.
    #[arg(long, env = "SHOP_BODY_LIMIT", default_value_t = 65_536)]
    pub body_limit: usize,
    /// Connections served at once; more wait to be accepted.
    #[arg(long, env = "SHOP_MAX_CONNECTIONS", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_connections: u32,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            log_level: LogLevel::Info,
            request_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_limit: 65_536,
            max_connections: 1024,
        }
    }
}

/// What the platform asks of a service's own flags.
pub trait Options {
    fn listen(&self) -> SocketAddr;
    fn server(&self) -> &ServerOptions;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Reads `250ms`, `10s`, `15m`, `12h`, `30d`: one number, one unit.
pub fn duration(text: &str) -> Result<Duration, DurationError> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| DurationError)?;
    let scale = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(DurationError),
    };
    number.checked_mul(scale).map(Duration::from_secs).ok_or(DurationError)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a number and a unit: 250ms, 10s, 15m, 12h or 30d")]
pub struct DurationError;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        server: ServerOptions,
    }

    #[test]
    fn the_flags_defaults_are_those_of_the_struct() {
        let parsed = Command::parse_from(["service"]).server;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", ServerOptions::default()));
    }

    #[test]
    fn durations_have_exactly_one_unit() {
        let check = |text, seconds: Option<f64>| {
            let expected = seconds.map(Duration::from_secs_f64).ok_or(DurationError);
            assert_eq!(duration(text), expected, "{text:?}");
        };
        check("250ms", Some(0.25));
        check("10s", Some(10.0));
        check("15m", Some(900.0));
        check("12h", Some(43_200.0));
        check("30d", Some(2_592_000.0));
        for text in ["", "s", "10", "10 s", "-1s", "1.5s", "1s5", "10sec", "99999999999999999999d"]
        {
            check(text, None);
        }
        check("18446744073709551615d", None);
    }
}
