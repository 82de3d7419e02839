//! Two sets of counts side by side, and what follows from it.

use std::collections::BTreeSet;
use std::fmt;

use crate::baseline::Counts;

/// More than this, in either direction, is a change of the code and not of its surroundings.
const TOLERANCE_PERCENT: u64 = 5;

/// Prints as a table, sorted by name.
pub(crate) struct Comparison<'a> {
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    name: &'a str,
    before: Option<u64>,
    now: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Same,
    Dearer,
    Cheaper,
    /// Only one of the two knows the case.
    Unknown,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(before: &'a Counts, now: &'a Counts) -> Self {
        let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
        let row = |name: &'a String| {
            let count = |counts: &Counts| counts.get(name).copied();
            Row { name, before: count(before), now: count(now) }
        };
        Self { rows: names.into_iter().map(row).collect() }
    }

    /// Nothing is dearer, and the baseline knows exactly the cases that there are.
    pub(crate) fn passes(&self) -> bool {
        self.count(Change::Dearer) + self.count(Change::Unknown) == 0
    }

    pub(crate) fn verdict(&self) -> String {
        let (dearer, cheaper) = (self.count(Change::Dearer), self.count(Change::Cheaper));
        let mut told = Vec::new();
        if dearer > 0 {
            told.push(format!("FAILED: {dearer} dearer by more than {TOLERANCE_PERCENT} %."));
        }
        if self.count(Change::Unknown) > 0 {
            told.push("FAILED: the baseline knows other cases than there are.".to_owned());
        }
        if cheaper > 0 {
            told.push(format!("{cheaper} cheaper by more than {TOLERANCE_PERCENT} %: well done."));
        }
        if told.is_empty() {
            return format!("All within {TOLERANCE_PERCENT} % of the baseline.");
        }
        told.push("To take these counts over: make bench-check UPDATE=1".to_owned());
        told.join("\n")
    }

    fn count(&self, change: Change) -> usize {
        self.rows.iter().filter(|row| row.change() == change).count()
    }
}

impl Row<'_> {
    fn change(&self) -> Change {
        let (Some(before), Some(now)) = (self.before, self.now) else { return Change::Unknown };
        if now * 100 > before * (100 + TOLERANCE_PERCENT) {
            Change::Dearer
        } else if now * 100 < before * (100 - TOLERANCE_PERCENT) {
            Change::Cheaper
        } else {
            Change::Same
        }
    }

    fn percent(&self) -> Option<f64> {
        let (before, now) = (self.before? as f64, self.now? as f64);
        Some((now / before - 1.0) * 100.0)
    }
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        writeln!(out, "{:<28}{:>10}{:>10}{:>12}", "instructions", "baseline", "now", "change")?;
        for row in &self.rows {
            let percent = row.percent().map_or("-".to_owned(), |it| format!("{it:+.1} %"));
            let (before, now) = (number(row.before), number(row.now));
            write!(out, "{:<28}{before:>10}{now:>10}{percent:>12}", row.name)?;
            writeln!(
                out,
                "{}",
                match row.change() {
                    Change::Same => "",
                    Change::Dearer => "  DEARER",
                    Change::Cheaper => "  cheaper",
                    Change::Unknown if row.before.is_none() => "  NEW",
                    Change::Unknown => "  GONE",
                }
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn five_percent_are_tolerated_and_no_more() {
        for (now, expected, passes) in [
            (1000, Change::Same, true),
            (1050, Change::Same, true),
            (1051, Change::Dearer, false),
            (950, Change::Same, true),
            (949, Change::Cheaper, true),
        ] {
            let (before, now) = (counts(&[("a", 1000)]), counts(&[("a", now)]));
            let comparison = Comparison::new(&before, &now);
            assert_eq!(comparison.rows[0].change(), expected, "{now:?}");
            assert_eq!(comparison.passes(), passes, "{now:?}");
        }
    }

    #[test]
    fn one_dearer_case_is_not_made_up_for_by_others() {
        let before = counts(&[("a", 100), ("b", 100), ("c", 100)]);
        let now = counts(&[("a", 10), ("b", 106), ("c", 100)]);
        let comparison = Comparison::new(&before, &now);
        assert!(!comparison.passes());
        let verdict = comparison.verdict();
        assert!(verdict.starts_with("FAILED: 1 dearer"), "{verdict}");
        assert!(verdict.contains("1 cheaper"), "{verdict}");
    }

    #[test]
    fn a_case_that_the_baseline_does_not_know_fails_and_so_does_one_that_is_gone() {
        let (one, two) = (counts(&[("a", 1)]), counts(&[("a", 1), ("b", 1)]));
        for (before, now, word) in [(&one, &two, "NEW"), (&two, &one, "GONE")] {
            let comparison = Comparison::new(before, now);
            assert!(!comparison.passes());
            assert!(comparison.to_string().contains(word), "{comparison}");
        }
    }
}
