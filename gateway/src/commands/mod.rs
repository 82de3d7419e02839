//! The commands, one file each.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

mod check;
mod explain;
mod init;
mod logging;
mod output;
mod serve;

/// Exit codes: 0 clean, 1 a failure while running, 2 a configuration or a command line that
/// cannot be used.
pub(crate) const FAILED: u8 = 1;
pub(crate) const BAD_CONFIGURATION: u8 = 2;

const NAME: &str = "portcullis-gateway";

/// The public edge of Portcullis: an API gateway
#[derive(Parser)]
#[command(name = NAME, version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  portcullis-gateway init gate.yaml            write a file to start from
  portcullis-gateway check gate.yaml           say what is wrong with it
  portcullis-gateway run --config gate.yaml    serve it

Exit codes: 0 clean, 1 failed, 2 the configuration or the command line cannot be used";

#[derive(Subcommand)]
enum Command {
    /// Serve a configuration until told to stop
    #[command(after_help = "\
Examples:
  portcullis-gateway run --config gate.yaml
  portcullis-gateway run --config /etc/portcullis --log-format json
  portcullis-gateway run -c gate.yaml --log-level info,portcullis_proxy=debug

Signals:
  HUP   read the configuration again (files are also watched)
  USR1  open the access log again
  TERM  stop accepting, finish what is in flight, exit; INT does the same, a later one exits now")]
    Run {
        /// A configuration file, or a directory of them
        #[arg(long, short, value_name = "PATH")]
        config: PathBuf,
        #[command(flatten)]
        logging: logging::Logging,
    },

    /// Say whether a configuration would be served, and what is wrong with it
    ///
    /// Applies every rule and reads every file that the configuration names, but binds no socket:
    /// it may run beside the process that serves.
    #[command(after_help = "\
Examples:
  portcullis-gateway check gate.yaml
  portcullis-gateway check --strict /etc/portcullis
  portcullis-gateway check --format json gate.yaml | jq '.diagnostics[].message'

Exit codes: 0 clean, 1 warnings with --strict, 2 errors")]
    Check(check::Check),

    /// Say what would happen to a request, and why
    ///
    /// Drives the code that serves, on a configuration that need not be running; nothing is sent.
    #[command(after_help = "\
Examples:
  portcullis-gateway explain --config gate.yaml GET https://shop.example.com/products/7
  portcullis-gateway explain -c gate.yaml -H 'x-channel: beta' GET /products
  portcullis-gateway explain -c gate.yaml --listener internal --json POST /orders | jq .route")]
    Explain(explain::Explain),

    /// Print the JSON Schema of the configuration
    #[command(after_help = "\
Examples:
  portcullis-gateway schema > portcullis.schema.json
  # then, in the first line of a configuration, for editors with a YAML language server:
  # yaml-language-server: $schema=portcullis.schema.json")]
    Schema,

    /// Write a commented configuration to start from
    #[command(after_help = "\
Examples:
  portcullis-gateway init
  portcullis-gateway init --force gate.yaml
  portcullis-gateway init - | less")]
    Init(init::Init),

    /// Print the completions of a shell
    #[command(after_help = "\
Examples:
  portcullis-gateway completion bash > /etc/bash_completion.d/portcullis-gateway
  portcullis-gateway completion zsh > \"${fpath[1]}/_portcullis-gateway\"
  portcullis-gateway completion fish > ~/.config/fish/completions/portcullis-gateway.fish")]
    Completion {
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
}

pub(crate) fn run() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run { config, logging } => {
            logging.start();
            return serve::serve(&config);
        }
        Command::Check(check) => check.run(),
        Command::Explain(explain) => explain.run(),
        Command::Schema => schema(),
        Command::Init(init) => init.run(),
        Command::Completion { shell } => completion(shell),
    };
    done.unwrap_or_else(|error| {
        output::error(format_args!("{error:#}"));
        ExitCode::from(FAILED)
    })
}

fn schema() -> anyhow::Result<ExitCode> {
    output::data(&format!("{:#}\n", portcullis_config::schema()))?;
    Ok(ExitCode::SUCCESS)
}

fn completion(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut script);
    output::data(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
