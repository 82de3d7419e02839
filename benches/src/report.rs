//! Writes the benchmark figures of the README, of docs/benchmarks.md and of the chart, from the
//! results that are kept in the repository.
//!
//! Those texts are not edited by hand: a test compares them with the results.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::chart;
use crate::results::{Figures, Judged, Outcome, Results, Verdict};
use crate::suite;
use crate::table::{bounded, unit};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Results of a run to keep instead of those that are kept now; several, if rows were
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
const PAGE: &str = "docs/benchmarks.md";

/// A text that stands between two marks of a page.
struct Part {
    page: &'static str,
    name: &'static str,
    text: fn(&Results) -> anyhow::Result<String>,
}

const PARTS: [Part; 3] = [
    Part { page: README, name: "headline", text: headline },
    Part { page: README, name: "selected rows", text: selected },
    Part { page: PAGE, name: "all rows", text: all },
];

/// The README's rows: the ordinary request, what TLS and HTTP/2 add, and two that others win.
const SELECTED: [&str; 5] = ["small", "h2c", "tls-handshake", "grpc-unary", "idle"];

/// Peers have a column of the table each, in this order; beside it how they write their names.
const PEERS: [(&str, &str); 4] =
    [("haproxy", "HAProxy"), ("nginx", "nginx"), ("envoy", "Envoy"), ("caddy", "Caddy")];

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let kept = options.root.join(KEPT);
    let (results, json) = match &options.adopt[..] {
        [] => (read(&kept)?, None),
        [first, others @ ..] => {
            let others = others.iter().map(|path| read(path));
            let results =
                others.into_iter().try_fold(read(first)?, |all, more| joined(all, more?))?;
            let json = adopted(results.clone())?;
            (results, Some(json))
        }
    };
    // All texts are made before the first is written: results that lack a row change nothing.
    let mut files = vec![(PathBuf::from(CHART), chart::svg(&results))];
    files.extend(json.map(|json| (PathBuf::from(KEPT), json)));
    for page in [README, PAGE] {
        let text = std::fs::read_to_string(options.root.join(page)).context(page)?;
        files.push((PathBuf::from(page), with_figures(page, &text, &results)?));
    }
    for (path, text) in files {
        std::fs::write(options.root.join(&path), text)?;
        println!("written: {}", path.display());
    }
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

/// A page in which every part that belongs to it is written anew.
fn with_figures(page: &str, text: &str, results: &Results) -> anyhow::Result<String> {
    let mut text = text.to_owned();
    for part in PARTS.iter().filter(|part| part.page == page) {
        let (begin, end) = (part.begin(), part.end());
        let from = text.find(&begin).with_context(|| format!("{page} has no mark {begin}"))?;
        let from = from + begin.len();
        let length =
            text[from..].find(&end).with_context(|| format!("{page} has no mark {end}"))?;
        text.replace_range(from..from + length, &(part.text)(results)?);
    }
    Ok(text)
}

impl Part {
    fn begin(&self) -> String {
        format!("<!-- benchmarks, {}: begin, written by `make bench-report` -->\n", self.name)
    }

    fn end(&self) -> String {
        format!("<!-- benchmarks, {}: end -->\n", self.name)
    }
}

/// Two items for the list on the README's first screen.
fn headline(results: &Results) -> anyhow::Result<String> {
    let mut text = String::new();
    for (name, what) in [
        ("small", "of CPU time**]({}) per small HTTP/1.1 request with its log line"),
        ("rest", "of memory**]({}) for a process at rest"),
    ] {
        let row = row_of(results, name)?;
        let own = row.contestants.first().with_context(|| format!("row `{name}` is empty"))?;
        let amount = row.unit.split('/').next().unwrap_or_default();
        let what = what.replace("{}", &format!("{PAGE}#results"));
        let _ = write!(text, "- [**{} {what};", with_unit(own.figure, amount));
        let mut separator = "";
        // A line has room for three.
        for (engine, shown) in &PEERS[..3] {
            let peer = row.contestants.iter().find(|figures| figures.engine == *engine);
            let peer = peer.with_context(|| format!("{engine} is not in row `{name}`"))?;
            let _ = write!(text, "{separator} {shown} {}", times(peer));
            separator = ",";
        }
        text.push('\n');
    }
    // The mark behind it is indented, so that it is inside of the list and does not end it.
    text.push_str("  ");
    Ok(text)
}

fn row_of<'a>(results: &'a Results, name: &str) -> anyhow::Result<&'a Outcome> {
    let row = results.rows.iter().find(|row| row.name == name);
    row.with_context(|| format!("the results have no row `{name}`, which the README shows"))
}

/// The README's table and the chart.
fn selected(results: &Results) -> anyhow::Result<String> {
    let mut text = machine(results);
    let peers = heading(&mut text, results, "");
    for name in SELECTED {
        let _ = writeln!(text, "{}", figures_of(row_of(results, name)?, &peers));
    }
    let _ = writeln!(text, "\n![Bar chart. {}]({CHART})", chart::TITLE);
    Ok(text)
}

/// The table of the page about benchmarks: every row with its targets.
fn all(results: &Results) -> anyhow::Result<String> {
    let mut text = machine(results);
    let peers = heading(&mut text, results, " target | found (bound) | verdict |");
    for row in &results.rows {
        rows(&mut text, row, &peers);
    }
    Ok(text)
}

/// When and where it was measured, beside which programs.
fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let versions: Vec<String> = PEERS
        .iter()
        .filter_map(|(peer, shown)| {
            Some(format!("{shown} {}", number_of(results.versions.get(*peer)?)?))
        })
        .collect();
    format!(
        "{}, Linux {}, {} cores, {}; {}.\n\n",
        results.date,
        machine.kernel,
        machine.cores,
        machine.processor,
        versions.join(", ")
    )
}

/// The first two lines of a table; the peers that have a column.
fn heading(text: &mut String, results: &Results, more: &str) -> Vec<&'static str> {
    let peers = PEERS.iter().filter(|(peer, _)| results.versions.contains_key(*peer));
    let names: String = peers.clone().map(|(_, shown)| format!(" {shown} |")).collect();
    let columns = 1 + peers.clone().count() + more.matches('|').count();
    let _ = writeln!(text, "| | Portcullis |{names}{more}\n|---|{}", "---|".repeat(columns));
    peers.map(|(peer, _)| *peer).collect()
}

/// A line for each target, at least one.
fn rows(text: &mut String, row: &Outcome, peers: &[&str]) {
    let mut judged = row.verdicts.iter().filter(|judged| judged.verdict != Verdict::Told);
    let first = judged.next().map_or_else(|| "| | |".to_owned(), verdict);
    let _ = writeln!(text, "{} {first}", figures_of(row, peers));
    for judged in judged {
        let _ = writeln!(text, "| | |{} {}", " |".repeat(peers.len()), verdict(judged));
    }
}

/// What a row is about, our figure, and each peer's as a multiple of it.
fn figures_of(row: &Outcome, peers: &[&str]) -> String {
    let mut cells = format!("| {} |", row.title);
    if let Some(first) = row.contestants.first() {
        let _ = write!(cells, " {}", labelled(first, with_unit(first.figure, &row.unit)));
        for ours in row.contestants.iter().skip(1).filter(|other| other.engine == first.engine) {
            let _ = write!(cells, "; {}", labelled(ours, times(ours)));
        }
    }
    cells.push_str(" |");
    for peer in peers {
        let of_the_peer = row.contestants.iter().find(|figures| figures.engine == *peer);
        let cell = of_the_peer.map_or_else(String::new, |peer| labelled(peer, times(peer)));
        let _ = write!(cells, " {cell} |");
    }
    cells
}

/// A figure, after the contestant's own setting where the row compares settings.
fn labelled(figures: &Figures, figure: String) -> String {
    match figures.label.strip_prefix(&figures.engine).map(str::trim_start) {
        Some(setting) if !setting.is_empty() => format!("{setting}: {figure}"),
        _ => figure,
    }
}

/// With three significant digits.
fn with_unit(figure: f64, kept_unit: &str) -> String {
    let digits = if figure >= 100.0 {
        0
    } else if figure >= 10.0 {
        1
    } else {
        2
    };
    format!("{figure:.digits$} {}", unit(kept_unit).replace('/', " / "))
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

    fn kept() -> (PathBuf, Results) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let results = read(&root.join(KEPT)).unwrap();
        (root, results)
    }

    #[test]
    fn the_pages_and_the_chart_say_what_the_results_say() {
        let (root, results) = kept();
        for page in [README, PAGE] {
            let text = std::fs::read_to_string(root.join(page)).unwrap();
            let written = with_figures(page, &text, &results).unwrap();
            assert!(written == text, "{page}: run `make bench-report`");
        }
        let chart = std::fs::read_to_string(root.join(CHART)).unwrap();
        assert!(chart::svg(&results) == chart, "{CHART}: run `make bench-report`");
    }

    #[test]
    fn another_figure_changes_every_place_that_shows_it_and_nothing_else() {
        let (root, mut results) = kept();
        let small = results.rows.iter_mut().find(|row| row.name == "small").unwrap();
        small.contestants[0].figure = 4321.0;
        for (page, places) in [(README, 2), (PAGE, 1)] {
            let text = std::fs::read_to_string(root.join(page)).unwrap();
            let written = with_figures(page, &text, &results).unwrap();
            assert_eq!(written.matches("4321 µs").count(), places, "{page}");
            let changed = text.lines().zip(written.lines()).filter(|(old, new)| old != new);
            assert_eq!(changed.count(), places, "{page}");
            assert_eq!(text.lines().count(), written.lines().count(), "{page}");
        }
    }

    #[test]
    fn a_page_without_a_mark_and_results_without_a_row_are_errors() {
        let (root, mut results) = kept();
        let text = std::fs::read_to_string(root.join(README)).unwrap();
        for mark in PARTS
            .iter()
            .filter(|part| part.page == README)
            .flat_map(|part| [part.begin(), part.end()])
        {
            let error =
                with_figures(README, &text.replace(&mark, ""), &results).map(drop).unwrap_err();
            assert!(error.to_string().contains(mark.trim_end()), "{error}");
        }
        results.rows.retain(|row| row.name != "idle");
        let error = with_figures(README, &text, &results).map(drop).unwrap_err();
        assert!(error.to_string().contains("`idle`"), "{error}");
    }

    #[test]
    fn rows_of_two_runs_make_one_table_in_the_order_of_the_suite() {
        let (_, kept) = kept();
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
