//! `init`: a commented configuration to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use portcullis_config::starter;

use super::{FAILED, output};

#[derive(Args)]
pub(super) struct Init {
    /// Where it is written; `-` is stdout
    #[arg(value_name = "PATH", default_value = "portcullis.yaml")]
    path: PathBuf,

    /// Overwrite a file that is there
    #[arg(long, short)]
    force: bool,
}

impl Init {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        if self.path.as_os_str() == "-" {
            output::data(starter())?;
            return Ok(ExitCode::SUCCESS);
        }
        let shown = self.path.display();
        match self.write() {
            Ok(()) => {
                output::message(&format!(
                    "wrote {shown}\nnext: portcullis-gateway check {shown}\n      \
                     portcullis-gateway run --config {shown}\n"
                ));
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                output::error(format_args!("{shown}: {error}"));
                if error.kind() == ErrorKind::AlreadyExists {
                    output::message("  help: --force overwrites it\n");
                }
                Ok(ExitCode::from(FAILED))
            }
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true);
        if self.force {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        options.open(&self.path)?.write_all(starter().as_bytes())
    }
}
