//! `check`: whether a configuration would be served, without serving it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use portcullis_config::model::Config;
use portcullis_config::{Failed, Loaded, Report, load};
use portcullis_proxy::control::check::check;
use portcullis_proxy::control::reload;
use serde_json::{Value, json};

use super::{BAD_CONFIGURATION, FAILED, output};

#[derive(Args)]
pub(super) struct Check {
    /// A configuration file, or a directory of them
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// Fail on warnings too
    #[arg(long)]
    strict: bool,

    /// How findings are told: text on stderr, or one JSON document on stdout
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Check {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let (report, sources, config) = match load(&self.path) {
            Err(Failed { report, sources }) => (report, sources, None),
            Ok(Loaded { config, sources, warnings }) => {
                let config = Arc::new(config);
                let mut report = reload::report(&check(&config)?);
                report.extend(warnings);
                (report, sources, Some(config))
            }
        };
        let verdict = self.verdict(&report);
        match self.format {
            Format::Json => {
                output::data(&format!("{:#}\n", document(&report, verdict)))?;
            }
            Format::Text => {
                output::report(&report, &sources);
                if let (0, Some(config)) = (verdict, config) {
                    output::data(&format!("{}: ok, {}\n", self.path.display(), sum(&config)))?;
                }
            }
        }
        Ok(ExitCode::from(verdict))
    }

    /// The exit code.
    fn verdict(&self, report: &Report) -> u8 {
        if report.has_errors() {
            BAD_CONFIGURATION
        } else if self.strict && !report.is_empty() {
            FAILED
        } else {
            0
        }
    }
}

fn document(report: &Report, verdict: u8) -> Value {
    let mut document = json!(report);
    document["ok"] = json!(verdict == 0);
    document["errors"] = json!(report.errors());
    document["warnings"] = json!(report.warnings());
    document
}

fn sum(config: &Config) -> String {
    let counts = [
        (config.listeners.len(), "listener"),
        (config.routes.len() + config.stream_routes.len(), "route"),
        (config.upstreams.len(), "upstream"),
    ];
    let told = counts.map(|(count, what)| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    });
    told.join(", ")
}
