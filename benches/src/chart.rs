//! The chart of a run: for each row, every engine's figure as a multiple of ours.
//!
//! Plain SVG with a style sheet of its own, so that it is readable on light and on dark pages.

use std::fmt::Write;

use crate::results::{Figures, Outcome, Results};
use crate::table::unit;

/// The title, which is also the alternative text.
pub(crate) const TITLE: &str = "Each proxy's figure as a multiple of Portcullis's, less is better";

/// Engines and the hue of each; those that are not here are not drawn.
const HUES: [(&str, &str); 6] = [
    ("portcullis", "#d9480f"),
    ("haproxy", "#1c7ed6"),
    ("nginx", "#2f9e44"),
    ("envoy", "#ae3ec9"),
    ("caddy", "#0c8599"),
    ("floor", "#868e96"),
];

/// Longer bars are cut here and show their number.
const MOST: f64 = 4.0;

const WIDTH: f64 = 860.0;
/// Bars begin here; the names of rows are left of it.
const LEFT: f64 = 250.0;
const ONE: f64 = 130.0;
const BAR: f64 = 13.0;
const GAP: f64 = 12.0;
const TOP: f64 = 58.0;

pub(crate) fn svg(results: &Results) -> String {
    let rows: Vec<&Outcome> = results.rows.iter().filter(|row| bars(row).count() > 1).collect();
    let mut body = String::new();
    let mut y = TOP;
    for row in &rows {
        let height = BAR * bars(row).map(|_| 1.0).sum::<f64>();
        let _ = writeln!(
            body,
            r#"<text class="name" x="{:.0}" y="{:.1}">{}</text><text class="note" x="{:.0}" y="{:.1}">portcullis: {}</text>"#,
            LEFT - 12.0,
            y + height / 2.0 - 2.0,
            row.name,
            LEFT - 12.0,
            y + height / 2.0 + 12.0,
            own_figure(row),
        );
        for figures in bars(row) {
            y += bar(&mut body, figures, y);
        }
        y += GAP;
    }
    let end = y;
    let mut lines = String::new();
    for mark in 0..=4_u8 {
        let x = LEFT + ONE * f64::from(mark);
        let class = if mark == 1 { "one" } else { "grid" };
        let _ = writeln!(
            lines,
            r#"<line class="{class}" x1="{x:.0}" x2="{x:.0}" y1="{:.0}" y2="{end:.1}"/><text class="mark" x="{x:.0}" y="{:.0}">{mark}</text>"#,
            TOP - 6.0,
            TOP - 11.0,
        );
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0} {height:.0}" width="{WIDTH:.0}" height="{height:.0}" role="img" aria-label="{label}">
<style>
text {{ font: 12px system-ui, sans-serif; fill: #1f2328 }}
.name {{ font-weight: 600; text-anchor: end }} .note {{ font-size: 10px; text-anchor: end; fill: #59636e }}
.mark {{ font-size: 10px; text-anchor: middle; fill: #59636e }} .value {{ font-size: 10px }}
.grid {{ stroke: #d1d9e0 }} .one {{ stroke: #d9480f; stroke-dasharray: 3 3 }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3 }} .note, .mark {{ fill: #9198a1 }} .grid {{ stroke: #3d444d }}
}}
</style>
<text x="2" y="16">{label} ({date})</text>
{lines}{body}</svg>
"#,
        height = end + 6.0,
        label = TITLE,
        date = results.date,
    )
}

/// What is drawn of a row: each engine in the setting that the row gives to all.
fn bars(row: &Outcome) -> impl Iterator<Item = &Figures> {
    row.contestants
        .iter()
        .filter(|figures| figures.label == figures.engine && hue(figures).is_some())
}

fn hue(figures: &Figures) -> Option<&'static str> {
    HUES.iter().find(|(engine, _)| *engine == figures.engine).map(|(_, hue)| *hue)
}

fn own_figure(row: &Outcome) -> String {
    row.contestants
        .first()
        .map_or_else(String::new, |own| format!("{:.1} {}", own.figure, unit(&row.unit)))
}

/// Its height.
fn bar(body: &mut String, figures: &Figures, y: f64) -> f64 {
    let ratio = figures.to_first.map_or(1.0, |ratio| ratio.median);
    let length = ONE * ratio.min(MOST);
    let beyond = if ratio > MOST { "\u{2192} " } else { "" };
    let _ = writeln!(
        body,
        r#"<rect x="{LEFT:.0}" y="{y:.1}" width="{length:.1}" height="{:.1}" fill="{}"/><text class="value" x="{:.1}" y="{:.1}">{beyond}{ratio:.2} {}</text>"#,
        BAR - 2.0,
        hue(figures).unwrap_or_default(),
        LEFT + length + 5.0,
        y + BAR - 4.0,
        figures.engine,
    );
    BAR
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::results::{Counts, Machine, Ratio};

    fn figures(engine: &str, ratio: Option<f64>) -> Figures {
        Figures {
            label: engine.to_owned(),
            engine: engine.to_owned(),
            figure: 10.0,
            to_first: ratio.map(|median| Ratio { median, upper: None }),
            user_share: None,
            requests_per_second: None,
            counts: Counts::default(),
            samples: Vec::new(),
        }
    }

    #[test]
    fn long_bars_end_and_say_so() {
        let row = Outcome {
            name: "small".to_owned(),
            group: String::new(),
            title: String::new(),
            unit: "us/request".to_owned(),
            rounds: 5,
            contestants: vec![figures("portcullis", None), figures("caddy", Some(9.5))],
            verdicts: Vec::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
        };
        let machine = Machine { processor: String::new(), cores: 2, kernel: String::new() };
        let drawn = svg(&Results {
            machine,
            date: "2026-11-23".to_owned(),
            quick: false,
            slice_seconds: 1,
            versions: BTreeMap::new(),
            rows: vec![row],
        });
        assert_eq!(drawn.matches("<rect").count(), 2, "{drawn}");
        assert!(
            drawn.contains(r#"width="130.0""#) && drawn.contains(r#"width="520.0""#),
            "{drawn}"
        );
        assert!(drawn.contains("\u{2192} 9.50 caddy"), "{drawn}");
        assert!(drawn.contains("portcullis: 10.0 µs/request<"), "{drawn}");
    }
}
