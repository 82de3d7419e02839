//! `explain`: what would happen to a request, and why, on a file that nobody serves.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use portcullis_config::model::{Config, ListenerKind};
use portcullis_config::{Diagnostic, Failed, Loaded, Report, load};
use portcullis_proxy::explain::{ExplainError, ExplainRequest, World, explain};
use portcullis_proxy::route::RouteError;

use super::{BAD_CONFIGURATION, output};

#[derive(Args)]
pub(super) struct Explain {
    /// A configuration file, or a directory of them
    #[arg(long, short, value_name = "PATH")]
    config: PathBuf,

    /// The listener that the request comes to [default: the one that the URL fits best]
    #[arg(long, short, value_name = "NAME")]
    listener: Option<String>,

    /// The address that connects [default: none that a listener trusts by its address]
    #[arg(long, short, value_name = "ADDRESS")]
    peer: Option<IpAddr>,

    /// A header of the request; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// Send it by HTTP/2 instead of HTTP/1.1
    #[arg(long)]
    http2: bool,

    /// The name in the TLS handshake [default: that of the URL]
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,

    /// A JSON document instead of text
    #[arg(long)]
    json: bool,

    /// GET, POST and so on
    #[arg(value_name = "METHOD")]
    method: String,

    /// `https://host/path?query`, or a path alone
    #[arg(value_name = "URL")]
    url: String,
}

impl Explain {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let (config, sources) = match load(&self.config) {
            Ok(Loaded { config, sources, .. }) => (config, sources),
            Err(Failed { report, sources }) => {
                output::report(&report, &sources);
                return Ok(ExitCode::from(BAD_CONFIGURATION));
            }
        };
        let world = match World::build(&config) {
            Ok(world) => world,
            Err(errors) => {
                output::report(&report(&errors), &sources);
                return Ok(ExitCode::from(BAD_CONFIGURATION));
            }
        };
        for fault in world.faults() {
            let text = format!("warning: {}: {}\n", fault.location, fault.message);
            output::message(&text);
        }
        let question = ExplainRequest {
            method: &self.method,
            url: &self.url,
            headers: &self.headers,
            peer: self.peer,
            listener: self.listener.as_deref(),
            http2: self.http2,
            server_name: self.server_name.as_deref(),
        };
        match explain(&config, &world, &question) {
            Ok(told) if self.json => {
                output::data(&format!("{}\n", serde_json::to_string_pretty(&told)?))?;
                Ok(ExitCode::SUCCESS)
            }
            Ok(told) => {
                output::data(&told.to_string())?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                output::error(&error);
                if let Some(help) = help(&error, &config) {
                    output::message(&format!("  help: {help}\n"));
                }
                Ok(ExitCode::from(BAD_CONFIGURATION))
            }
        }
    }
}

fn help(error: &ExplainError, config: &Config) -> Option<String> {
    match error {
        ExplainError::Method(method) => {
            let upper = method.to_ascii_uppercase();
            (upper != *method).then(|| format!("methods are upper case: `{upper}`"))
        }
        ExplainError::Url(url) => Some(format!("`http://{url}`, or `/{url}` for a path alone")),
        ExplainError::Listener(_) => {
            let http = config.listeners.iter();
            let http = http.filter(|listener| matches!(listener.kind, ListenerKind::Http(_)));
            let names: Vec<_> = http.map(|listener| format!("`{}`", listener.name)).collect();
            Some(format!("there is {}", names.join(", ")))
        }
        ExplainError::Header(_) | ExplainError::NoListener | ExplainError::TooLong => None,
    }
}

fn report(errors: &[RouteError]) -> Report {
    let mut report = Report::new();
    for error in errors {
        report.push(Diagnostic::error(error.location.clone(), error.fault.to_string()));
    }
    report
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() => {
            Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
        }
        _ => Err("expected `name: value`".to_owned()),
    }
}
