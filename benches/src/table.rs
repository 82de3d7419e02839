//! Figures as tables for a terminal.

use std::fmt::Write;

use crate::reload::Reloads;
use crate::results::{Figures, Judged, Outcome, Ratio, Results, Verdict};
use crate::row::{Contestant, Row};

/// What rows there are.
pub(crate) fn list(rows: &[Row], last: &Reloads) -> String {
    let mut table = vec![["row", "group", "who", "what"].map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(|row| {
        let labels: Vec<String> = row.contestants.iter().map(Contestant::label).collect();
        let who = if labels.len() > 6 { format!("{} ...", labels[0]) } else { labels.join(" ") };
        vec![row.name.to_owned(), row.group.to_owned(), who, row.title.to_owned()]
    }));
    table.push([last.name, last.group, "portcullis", last.title].map(str::to_owned).to_vec());
    aligned(&table)
}

/// One row with its targets.
pub(crate) fn row(outcome: &Outcome, quick: bool) -> String {
    let mut text = format!("\n{}: {}\n", outcome.name, outcome.title);
    if quick {
        text.push_str("quick: too few rounds for a verdict\n");
    }
    let mut lines = vec![heading(outcome)];
    lines.extend(outcome.contestants.iter().map(line));
    text.push_str(&aligned(&without_empty_columns(&lines)));
    let verdicts: Vec<Vec<String>> = outcome.verdicts.iter().map(verdict).collect();
    text.push_str(&aligned(&verdicts));
    for note in &outcome.notes {
        let _ = writeln!(text, "  {note}");
    }
    for warning in &outcome.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// How many targets were met, over all rows.
pub(crate) fn summary(results: &Results) -> String {
    let all = results.rows.iter().flat_map(|outcome| &outcome.verdicts);
    let count = |wanted| all.clone().filter(|judged| judged.verdict == wanted).count();
    let mut text = String::from(
        "Figures are medians over the rounds, ratios medians of the ratios within a round; in \
         brackets the\nbound below which the true median lies with 95 % confidence. Targets are \
         judged by the bound.\n",
    );
    let _ = writeln!(
        text,
        "targets: {} met, {} not met, {} with too few rounds",
        count(Verdict::Met),
        count(Verdict::NotMet),
        count(Verdict::TooFewRounds)
    );
    text
}

/// Drops columns in which only the heading has text.
fn without_empty_columns(lines: &[Vec<String>]) -> Vec<Vec<String>> {
    let says = |column: usize| {
        column == 0
            || lines
                .iter()
                .skip(1)
                .any(|line| line.get(column).is_some_and(|cell| !cell.is_empty()))
    };
    let kept = |line: &Vec<String>| {
        line.iter()
            .enumerate()
            .filter(|(column, _)| says(*column))
            .map(|(_, cell)| cell.clone())
            .collect()
    };
    lines.iter().map(kept).collect()
}

fn heading(outcome: &Outcome) -> Vec<String> {
    let first = outcome.contestants.first().map_or("", |figures| figures.label.as_str());
    let to_first = format!("/ {first} (95 %)");
    ["", &outcome.unit, "user + sys", &to_first, "per second", "syscalls", "instructions"]
        .map(str::to_owned)
        .to_vec()
}

fn line(figures: &Figures) -> Vec<String> {
    let split = figures
        .user_share
        .map(|user| format!("{:.1} + {:.1}", figures.figure * user, figures.figure * (1.0 - user)));
    let number = |figure: Option<f64>, digits: usize| {
        figure.map_or_else(String::new, |figure| format!("{figure:.digits$}"))
    };
    vec![
        figures.label.clone(),
        format!("{:.2}", figures.figure),
        split.unwrap_or_default(),
        figures.to_first.map_or_else(|| "1".to_owned(), |ratio| bounded(&ratio)),
        number(figures.requests_per_second, 0),
        number(figures.counts.system_calls, 2),
        number(figures.counts.instructions, 0),
    ]
}

fn verdict(judged: &Judged) -> Vec<String> {
    let word = match judged.verdict {
        Verdict::Met => "  met",
        Verdict::NotMet => "  NOT MET",
        Verdict::TooFewRounds => "  too few rounds",
        Verdict::Told => "  no target",
    };
    let what = match &judged.against {
        Some(other) => format!("{} / {other}", judged.of),
        None => judged.of.clone(),
    };
    let target = judged.at_most.map_or_else(String::new, |at_most| format!("target {at_most:.2}"));
    vec![format!("{word:<18}{what}"), bounded(&judged.found), target]
}

/// Units are kept in ASCII; pages show microseconds by their sign.
pub(crate) fn unit(kept: &str) -> String {
    kept.strip_prefix("us").map_or_else(|| kept.to_owned(), |per| format!("µs{per}"))
}

pub(crate) fn bounded(ratio: &Ratio) -> String {
    match ratio.upper {
        Some(upper) => format!("{:.2} (<= {upper:.2})", ratio.median),
        None => format!("{:.2}", ratio.median),
    }
}

/// The first and the last column to the left, the others to the right.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell: &String| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ = if column == 0 || column + 1 == columns {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows =
            [["a", "1.5", "x"], ["long", "20", "y"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), "a     1.5  x\nlong   20  y\n");
    }
}
