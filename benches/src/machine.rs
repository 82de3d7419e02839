//! The machine that a run takes place on.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::results::Machine;

pub(crate) fn here() -> anyhow::Result<Machine> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    Ok(Machine {
        processor: model
            .map_or_else(String::new, |text| text.trim_matches([' ', '\t', ':']).to_owned()),
        cores: std::thread::available_parallelism()?.get(),
        // Without what a distribution appends to it.
        kernel: read("/proc/sys/kernel/osrelease")
            .trim()
            .split('-')
            .next()
            .unwrap_or_default()
            .to_owned(),
    })
}

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The day in UTC, as `2026-11-23`.
///
/// Days since 1970 to a date of the Gregorian calendar, by years that begin in March
/// (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
pub(crate) fn date_of(unix_seconds: u64) -> String {
    let days = unix_seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

/// Descriptors that some thousands of connections need on both sides of an engine. Children
/// inherit the limit.
const DESCRIPTORS: u64 = 20_000;

pub(crate) fn raise_descriptor_limit() -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < DESCRIPTORS) {
        let maximum = limit.maximum.map(|maximum| maximum.max(DESCRIPTORS));
        setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum })
            .context("raising the limit of descriptors")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_795_478_399, "2026-11-23"),
            (1_798_675_200, "2026-12-31"),
        ] {
            assert_eq!(date_of(seconds), expected);
        }
    }
}
