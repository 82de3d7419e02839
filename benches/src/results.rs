//! The results of a run, as they are written to a file and read again.
//!
//! Figures only: it knows neither how they were measured nor how they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A run of the suite.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// In UTC, as `2026-11-23`.
    pub(crate) date: String,
    /// Whether it was the short form, which is too short for verdicts.
    pub(crate) quick: bool,
    pub(crate) slice_seconds: u64,
    /// By the engine's name.
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) rows: Vec<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
}

/// The results of one row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) title: String,
    pub(crate) unit: String,
    /// In the row about reloads, the number of reloads.
    pub(crate) rounds: usize,
    pub(crate) contestants: Vec<Figures>,
    pub(crate) verdicts: Vec<Judged>,
    /// Further figures, in other units.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// One contestant's figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) label: String,
    pub(crate) engine: String,
    /// The median over the rounds, in the row's unit.
    pub(crate) figure: f64,
    /// As a multiple of the row's first contestant; none for that one itself.
    pub(crate) to_first: Option<Ratio>,
    /// Share of the processor time in user mode, over all rounds together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_share: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) requests_per_second: Option<f64>,
    pub(crate) counts: Counts,
    /// One for each round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) figure: f64,
    pub(crate) requests_per_second: f64,
    /// Share of the time in which the engine ran.
    pub(crate) busy: f64,
    /// The same for origin, generator and log receiver together.
    pub(crate) generator_busy: f64,
    pub(crate) errors: u64,
}

/// The median of the ratios within each round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    /// The upper 95 % confidence bound of the true median; none if there were too few rounds.
    pub(crate) upper: Option<f64>,
}

/// Counts that repeat exactly; none where this machine cannot count.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) system_calls: Option<f64>,
    /// In user mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instructions: Option<f64>,
    /// How they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instructions_by: Option<String>,
}

/// A target and its verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judged {
    pub(crate) of: String,
    /// None where the figure itself is judged.
    pub(crate) against: Option<String>,
    /// None where there is no target.
    pub(crate) at_most: Option<f64>,
    pub(crate) found: Ratio,
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Met,
    /// Also if the median meets the target and the bound does not.
    NotMet,
    TooFewRounds,
    /// There is no target.
    Told,
}

impl Figures {
    pub(crate) fn rounds(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.figure).collect()
    }
}
