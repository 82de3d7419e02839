//! What a row of the suite is, as data: a load, who bears it, and what is expected of the figures.
//!
//! It knows neither how an engine is started nor how a slice is measured.

use std::fmt;

use crate::load::Load;
use crate::setting::{Policies, Setting};

/// One question that the suite answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Rows that are asked for together.
    pub(crate) group: &'static str,
    pub(crate) title: &'static str,
    /// Of its figures, of which less is always better.
    pub(crate) unit: &'static str,
    pub(crate) load: Load,
    /// How all engines are set up, but for what a contestant changes.
    pub(crate) setting: Setting,
    /// The first is what the others are shown in proportion to.
    pub(crate) contestants: &'static [Contestant],
    pub(crate) targets: &'static [Target],
    /// Each gives every contestant one slice.
    pub(crate) rounds: usize,
    /// How many times as long as usual a slice is: opening thousands of connections takes a while.
    pub(crate) length: u32,
    /// Whether system calls and instructions are counted too.
    pub(crate) counted: bool,
    /// Whether it belongs to the short form of the suite.
    pub(crate) quick: bool,
}

/// An engine, set up as the row says but for some changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contestant {
    pub(crate) engine: &'static str,
    pub(crate) changes: &'static [Change],
}

impl Contestant {
    pub(crate) const fn of(engine: &'static str) -> Self {
        Self { engine, changes: &[] }
    }

    pub(crate) const fn with(engine: &'static str, changes: &'static [Change]) -> Self {
        Self { engine, changes }
    }

    pub(crate) fn setting(&self, of_the_row: Setting) -> Setting {
        self.changes.iter().fold(of_the_row, |setting, change| change.applied(setting))
    }

    /// How tables and targets name it: `portcullis`, `portcullis routes=100`.
    pub(crate) fn label(&self) -> String {
        let mut label = self.engine.to_owned();
        for change in self.changes {
            label.push_str(&format!(" {change}"));
        }
        label
    }
}

/// What a contestant has of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Routes(u32),
    Workers(u32),
    Policies(Policies),
}

impl Change {
    fn applied(self, setting: Setting) -> Setting {
        match self {
            Self::Routes(routes) => Setting { routes, ..setting },
            Self::Workers(workers) => Setting { workers, ..setting },
            // A log is a policy too.
            Self::Policies(policies) => {
                Setting { policies, logs: setting.logs && policies != Policies::Off, ..setting }
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Routes(routes) => write!(formatter, "routes={routes}"),
            Self::Workers(workers) => write!(formatter, "workers={workers}"),
            Self::Policies(policies) => {
                write!(formatter, "policies={}", format!("{policies:?}").to_lowercase())
            }
        }
    }
}

/// What is expected of a row's figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// The label of the contestant that is judged.
    pub(crate) of: &'static str,
    pub(crate) against: Against,
    pub(crate) at_most: f64,
}

/// What a contestant's figure is divided by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Against {
    /// The figure of another, by its label.
    Contestant(&'static str),
    /// Whichever peer it does worst against.
    BestPeer,
    /// Nothing: the figure itself is judged.
    Nothing,
}

/// `portcullis` against another.
pub(crate) const fn against(label: &'static str, at_most: f64) -> Target {
    Target { of: "portcullis", against: Against::Contestant(label), at_most }
}

/// `portcullis` against every peer.
pub(crate) const fn against_the_best(at_most: f64) -> Target {
    Target { of: "portcullis", against: Against::BestPeer, at_most }
}

/// `portcullis` by itself, in the row's unit.
pub(crate) const fn absolute(at_most: f64) -> Target {
    Target { of: "portcullis", against: Against::Nothing, at_most }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_applied_and_named() {
        let changes = &[Change::Routes(100), Change::Policies(Policies::All)];
        let contestant = Contestant::with("portcullis", changes);
        assert_eq!(contestant.label(), "portcullis routes=100 policies=all");
        let expected = Setting { routes: 100, policies: Policies::All, ..Setting::PLAIN };
        assert_eq!(contestant.setting(Setting::PLAIN), expected);
    }
}
