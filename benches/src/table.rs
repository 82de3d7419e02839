//! How figures look on a terminal.

use std::fmt::Write;

use crate::compare::{Figures, Outcome, REFERENCES};

pub(crate) fn comparison(outcome: &Outcome) -> String {
    let present = |name: &&str| outcome.engines.iter().any(|engine| engine.name == *name);
    let references: Vec<&str> = REFERENCES.into_iter().filter(present).collect();
    let mut rows = vec![heading(&references)];
    rows.extend(outcome.engines.iter().map(|figures| row(figures, &references)));
    let mut text = aligned(&rows);
    text.push_str(
        "\nCPU: median over the rounds, in microseconds of one core for each request. Ratios: median \
         of the\nrounds, and the bound below which the true median lies with 95 % confidence.\n",
    );
    for warning in &outcome.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn heading(references: &[&str]) -> Vec<String> {
    let mut heading: Vec<String> = ["engine", "CPU us", "user + sys"].map(str::to_owned).to_vec();
    heading.extend(references.iter().map(|name| format!("/ {name} (<= 95 %)")));
    heading.extend(["requests/s", "syscalls", "instructions", "version"].map(str::to_owned));
    heading
}

fn row(figures: &Figures, references: &[&str]) -> Vec<String> {
    let split = figures
        .user_share
        .map(|user| format!("{:.1} + {:.1}", figures.cpu_us * user, figures.cpu_us * (1.0 - user)));
    let mut row = vec![figures.name.to_owned(), format!("{:.2}", figures.cpu_us), or_absent(split)];
    for name in references {
        let ratio = figures.ratios.iter().find(|ratio| ratio.to == *name);
        let text = ratio.map(|ratio| match ratio.upper {
            Some(upper) => format!("{:.3} ({upper:.3})", ratio.median),
            None => format!("{:.3} (too few)", ratio.median),
        });
        row.push(if figures.name == *name { "1".to_owned() } else { or_absent(text) });
    }
    row.push(format!("{:.0}", figures.requests_per_second));
    row.push(or_absent(figures.counts.system_calls.map(|count| format!("{count:.2}"))));
    row.push(or_absent(figures.counts.instructions.map(|count| format!("{count:.0}"))));
    row.push(figures.version.chars().take(40).collect());
    row
}

fn or_absent(text: Option<String>) -> String {
    text.unwrap_or_else(|| "n/a".to_owned())
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
