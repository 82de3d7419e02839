//! What the process says of itself while it serves: lines on stderr. The access log is another
//! matter and the configuration's.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::output;

#[derive(Args)]
pub(super) struct Logging {
    /// error, warn, info, debug, trace or off; or by module: `info,portcullis_proxy=debug`
    /// [default: RUST_LOG, else info]
    #[arg(long, value_name = "FILTER", value_parser = checked)]
    log_level: Option<String>,

    /// Lines for people or objects for machines.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Logging {
    /// From here on events are written. Called once, before anything is worth telling.
    pub(super) fn start(&self) {
        let lines = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_env_filter(self.filter())
            // It would be reported by a print that panics when stderr is closed.
            .log_internal_errors(false);
        match self.log_format {
            LogFormat::Text => lines.init(),
            LogFormat::Json => lines.json().flatten_event(true).init(),
        }
    }

    fn filter(&self) -> EnvFilter {
        let written = self.log_level.clone().or_else(|| std::env::var("RUST_LOG").ok());
        parse(&written.unwrap_or_default()).unwrap_or_else(|error| {
            // A leftover in the environment is no reason to refuse service.
            output::message(&format!("warning: RUST_LOG is not a filter ({error}): info holds\n"));
            default()
        })
    }
}

fn default() -> EnvFilter {
    EnvFilter::default().add_directive(LevelFilter::INFO.into())
}

fn parse(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(text)
        .map_err(|error| error.to_string())
}

/// A single word that is no level would name a module, and silence all the others.
fn checked(text: &str) -> Result<String, String> {
    let level = !text.is_empty() && text.parse::<LevelFilter>().is_ok();
    if !level && !text.contains('=') {
        return Err("expected error, warn, info, debug, trace, off or MODULE=LEVEL".to_owned());
    }
    parse(text).map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{checked, parse};

    #[test]
    fn filters_are_levels_or_directives() {
        for good in ["error", "INFO", "off", "portcullis_proxy=debug", "warn,a::b=trace"] {
            assert_eq!(checked(good).unwrap(), good);
        }
        for bad in ["", "loud", "a=loud", "warn,info,b"] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_said_is_info() {
        assert_eq!(parse("").unwrap().to_string(), "info");
    }
}
