//! `portcullis-bench-check`: what was counted now beside the committed baseline.
//!
//! It counts nothing itself: it reads what the bench `instructions` has printed.

mod baseline;
mod compare;
mod counted;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use crate::baseline::{Baseline, Conditions};

/// Compares instruction counts with the baseline; fails when a case has become dearer.
#[derive(Parser)]
struct Arguments {
    /// What the bench has printed, one JSON document a line
    counts: PathBuf,
    #[arg(long)]
    baseline: PathBuf,
    /// Make what was counted the new baseline
    #[arg(long)]
    update: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let instructions = counted::read(&read(&arguments.counts)?)?;
    let now = Baseline { made_with: Conditions::here()?, instructions };
    if arguments.update {
        std::fs::write(&arguments.baseline, now.text()?)
            .with_context(|| arguments.baseline.display().to_string())?;
        println!("{} cases are the new baseline", now.instructions.len());
        return Ok(ExitCode::SUCCESS);
    }
    let before = Baseline::parse(&read(&arguments.baseline)?)
        .with_context(|| arguments.baseline.display().to_string())?;
    let comparison = compare::Comparison::new(&before.instructions, &now.instructions);
    print!("{comparison}");
    let differences = before.made_with.differences(&now.made_with);
    if !differences.is_empty() {
        // Another compiler is no fault of the change that is being looked at.
        println!("\nNOT JUDGED: the baseline was made under other conditions.\n{differences}");
        println!("Renew it on a commit that is known to be good: make bench-check UPDATE=1");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{}", comparison.verdict());
    Ok(if comparison.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}
