//! The committed counts, and the conditions that they hold under.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Instructions by the name of their case.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Written sorted and one count a line, so that a change of it reads well.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    pub(crate) made_with: Conditions,
    pub(crate) instructions: Counts,
}

/// What counts depend on besides the code: who compiles it, the library that copies bytes, the
/// instructions that library and search routines choose from at run time, and who counts.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Conditions {
    compiler: String,
    c_library: String,
    processor: String,
    valgrind: String,
}

impl Baseline {
    pub(crate) fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    pub(crate) fn text(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Conditions {
    /// Of this machine, as its own programs tell them.
    pub(crate) fn here() -> anyhow::Result<Self> {
        Ok(Self {
            compiler: told_by("rustc", &["--version"])?,
            c_library: told_by("getconf", &["GNU_LIBC_VERSION"])?,
            processor: processor(),
            valgrind: told_by("valgrind", &["--version"])?,
        })
    }

    /// One line for each that is not the same; empty when all are.
    pub(crate) fn differences(&self, now: &Self) -> String {
        let mut lines = String::new();
        for (what, before, now) in [
            ("compiler", &self.compiler, &now.compiler),
            ("C library", &self.c_library, &now.c_library),
            ("processor", &self.processor, &now.processor),
            ("valgrind", &self.valgrind, &now.valgrind),
        ] {
            if before != now {
                // Writing into a String cannot fail.
                _ = writeln!(lines, "  {what}: baseline {before}, now {now}");
            }
        }
        lines
    }
}

fn told_by(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    anyhow::ensure!(output.status.success(), "{program} failed: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Valgrind shows programs nothing newer than AVX2.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return "x86_64 with AVX2".to_owned();
    }
    std::env::consts::ARCH.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(compiler: &str) -> Conditions {
        Conditions {
            compiler: compiler.to_owned(),
            c_library: "glibc 2.36".to_owned(),
            processor: "x86_64".to_owned(),
            valgrind: "valgrind-3.19.0".to_owned(),
        }
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        let instructions = Counts::from([("b".to_owned(), 2), ("a".to_owned(), 1)]);
        let baseline = Baseline { made_with: conditions("rustc 1"), instructions };
        let read = Baseline::parse(&baseline.text().unwrap()).unwrap();
        assert_eq!(read.instructions, baseline.instructions);
        assert_eq!(read.made_with, baseline.made_with);
    }

    #[test]
    fn only_what_differs_is_told() {
        assert_eq!(conditions("rustc 1").differences(&conditions("rustc 1")), "");
        let told = conditions("rustc 1").differences(&conditions("rustc 2"));
        assert_eq!(told, "  compiler: baseline rustc 1, now rustc 2\n");
    }
}
