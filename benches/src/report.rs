//! Writes what the README and its chart say of the benchmarks, from the figures that are kept in
//! the repository.
//!
//! Nobody edits those texts by hand: a test holds them to the figures.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::chart;
use crate::results::{Figures, Judged, Outcome, Results, Verdict};
use crate::suite;
use crate::table::bounded;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Figures of a run to keep instead of those that are kept now; several, if rows were
    /// measured by runs of their own.
    #[arg(long, value_name = "JSON", num_args = 1..)]
    adopt: Vec<PathBuf>,
    /// Where the repository is.
    #[arg(long, default_value = ".")]
    root: PathBuf,
}

const KEPT: &str = "docs/benchmarks/results.json";
const CHART: &str = "docs/benchmarks/results.svg";
const README: &str = "README.md";
const BEGIN: &str = "<!-- benchmark figures: begin, by `make bench-report` -->\n";
const END: &str = "<!-- benchmark figures: end -->\n";

/// Peers have a column of the table each, in this order.
const PEERS: [&str; 4] = ["haproxy", "nginx", "envoy", "caddy"];

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let kept = options.root.join(KEPT);
    if let [first, others @ ..] = &options.adopt[..] {
        let others = others.iter().map(|path| read(path));
        let results = others.into_iter().try_fold(read(first)?, |all, more| joined(all, more?))?;
        std::fs::write(&kept, adopted(results)?)?;
    }
    let results = read(&kept)?;
    let readme = options.root.join(README);
    let text = std::fs::read_to_string(&readme)?;
    std::fs::write(&readme, with_figures(&text, &results)?)?;
    std::fs::write(options.root.join(CHART), chart::svg(&results))?;
    println!("written: {README}, {CHART}");
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<Results> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// Two runs as one. A row compares nothing but its own slices, so it may come from either, as long
/// as machine and programs are the same.
fn joined(mut all: Results, more: Results) -> anyhow::Result<Results> {
    let differ = |engine: &String| matches!((all.versions.get(engine), more.versions.get(engine)), (Some(a), Some(b)) if a != b);
    if all.machine != more.machine || more.versions.keys().any(differ) {
        bail!("the runs are of different machines or programs: their rows do not make one table");
    }
    let twice = more.rows.iter().find(|row| all.rows.iter().any(|other| other.name == row.name));
    if let Some(row) = twice {
        bail!("more than one run has the row {}", row.name);
    }
    all.versions.extend(more.versions);
    all.quick |= more.quick;
    all.date = all.date.max(more.date);
    all.rows.extend(more.rows);
    let place = |name: &str| suite::ROWS.iter().position(|row| row.name == name);
    // What the suite does not compare comes last there too.
    all.rows.sort_by_key(|row| place(&row.name).unwrap_or(usize::MAX));
    Ok(all)
}

/// What is worth keeping of a run: all but the samples of each round.
fn adopted(mut results: Results) -> anyhow::Result<String> {
    if results.quick {
        bail!("the short form of the suite proves nothing: its figures are not to be kept");
    }
    for figures in results.rows.iter_mut().flat_map(|row| &mut row.contestants) {
        figures.samples.clear();
    }
    Ok(serde_json::to_string_pretty(&results)? + "\n")
}

/// The README with what stands between its two marks written anew.
fn with_figures(readme: &str, results: &Results) -> anyhow::Result<String> {
    let begin = readme.find(BEGIN).context("the README has no mark of where figures begin")?;
    let end = readme.find(END).context("the README has no mark of where figures end")?;
    let (before, after) = (&readme[..begin + BEGIN.len()], &readme[end..]);
    Ok(format!("{before}{}{after}", section(results)))
}

fn section(results: &Results) -> String {
    let machine = &results.machine;
    let versions: Vec<String> = PEERS
        .iter()
        .filter_map(|peer| Some(format!("{peer} {}", number_of(results.versions.get(*peer)?)?)))
        .collect();
    let mut text = format!(
        "{}, Linux {}, {} cores, {}; {}.\n\n",
        results.date,
        machine.kernel,
        machine.cores,
        machine.processor,
        versions.join(", ")
    );
    text.push_str("| | portcullis |");
    let peers: Vec<&str> =
        PEERS.into_iter().filter(|peer| results.versions.contains_key(*peer)).collect();
    for peer in &peers {
        let _ = write!(text, " {peer} |");
    }
    text.push_str(" target | found | |\n|---|---|");
    text.push_str(&"---|".repeat(peers.len() + 3));
    text.push('\n');
    for row in &results.rows {
        rows(&mut text, row, &peers);
    }
    let _ = writeln!(text, "\n![Cost beside portcullis, by row]({CHART})");
    text
}

/// A line for each target, at least one.
fn rows(text: &mut String, row: &Outcome, peers: &[&str]) {
    let Some(first) = row.contestants.first() else { return };
    let mut cells =
        format!("| {} | {}", row.title, labelled(first, with_unit(first.figure, &row.unit)));
    for ours in row.contestants.iter().skip(1).filter(|figures| figures.engine == first.engine) {
        let _ = write!(cells, "; {}", labelled(ours, times(ours)));
    }
    cells.push_str(" |");
    for peer in peers {
        let of_the_peer = row.contestants.iter().find(|figures| figures.engine == *peer);
        let _ = write!(
            cells,
            " {} |",
            of_the_peer.map_or_else(String::new, |peer| labelled(peer, times(peer)))
        );
    }
    let mut judged = row.verdicts.iter().filter(|judged| judged.verdict != Verdict::Told);
    let _ = writeln!(text, "{cells} {}", judged.next().map_or_else(|| "| | |".to_owned(), verdict));
    for judged in judged {
        let _ = writeln!(text, "| | |{} {}", " |".repeat(peers.len()), verdict(judged));
    }
}

/// A figure with what its contestant does otherwise than the row says, where there is such a thing.
fn labelled(figures: &Figures, figure: String) -> String {
    match figures.label.strip_prefix(&figures.engine).map(str::trim_start) {
        Some(setting) if !setting.is_empty() => format!("{setting}: {figure}"),
        _ => figure,
    }
}

/// Three digits that count.
fn with_unit(figure: f64, unit: &str) -> String {
    let digits = if figure >= 100.0 {
        0
    } else if figure >= 10.0 {
        1
    } else {
        2
    };
    format!("{figure:.digits$} {}", unit.replace('/', " / "))
}

fn times(figures: &Figures) -> String {
    figures.to_first.map_or_else(String::new, |ratio| format!("{:.2} x", ratio.median))
}

fn verdict(judged: &Judged) -> String {
    let against = judged.against.as_ref().map_or_else(String::new, |other| format!(" of {other}"));
    let own = if judged.of == "portcullis" { String::new() } else { format!("{}: ", judged.of) };
    let target =
        judged.at_most.map_or_else(String::new, |at_most| format!("{own}<= {at_most:.2}{against}"));
    let word = match judged.verdict {
        Verdict::Met => "met",
        Verdict::NotMet => "**not met**",
        Verdict::TooFewRounds => "too few rounds",
        Verdict::Told => "",
    };
    format!("{target} | {} | {word} |", bounded(&judged.found))
}

/// `2.6.12-1+deb12u4` of `HAProxy version 2.6.12-1+deb12u4 2026/10/17`.
fn number_of(version: &str) -> Option<String> {
    let words = version.split([' ', '/']).map(|word| word.trim_start_matches('v'));
    let number = words.into_iter().find(|word| {
        word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.')
    })?;
    Some(number.split(['-', '+']).next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_and_the_chart_say_what_the_figures_say() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let results = read(&root.join(KEPT)).unwrap();
        let readme = std::fs::read_to_string(root.join(README)).unwrap();
        let chart = std::fs::read_to_string(root.join(CHART)).unwrap();
        assert!(with_figures(&readme, &results).unwrap() == readme, "run `make bench-report`");
        assert!(chart::svg(&results) == chart, "run `make bench-report`");
    }

    #[test]
    fn rows_of_two_runs_make_one_table_in_the_order_of_the_suite() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let kept = read(&root.join(KEPT)).unwrap();
        let names = |results: &Results| -> Vec<String> {
            results.rows.iter().map(|row| row.name.clone()).collect()
        };
        let (mut early, mut late) = (kept.clone(), kept.clone());
        late.rows = early.rows.split_off(1);
        let whole = joined(late.clone(), early.clone()).unwrap();
        assert_eq!(names(&whole), names(&kept));

        assert!(joined(kept.clone(), early.clone()).is_err(), "a row is there twice");
        late.versions.insert("nginx".to_owned(), "another".to_owned());
        assert!(joined(early.clone(), late.clone()).is_err());
        late.versions.clear();
        late.machine.cores += 1;
        assert!(joined(early, late).is_err());
    }

    #[test]
    fn versions_are_short() {
        for (version, expected) in [
            ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12"),
            ("nginx version: nginx/1.22.1", "1.22.1"),
            ("/x/envoy  version: f8c/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0"),
            ("v2.6.2 h1:abc=", "2.6.2"),
        ] {
            assert_eq!(number_of(version).as_deref(), Some(expected));
        }
    }
}
