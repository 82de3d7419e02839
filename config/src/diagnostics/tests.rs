use std::path::Path;
use std::sync::Arc;

use super::*;

fn location(file: &str, start: usize, end: usize) -> Location {
    Location { file: Arc::from(Path::new(file)), line: 1, column: 1, start, end }
}

#[test]
fn an_error_is_kept_when_warnings_fill_the_report() {
    let mut report = Report::new();
    for _ in 0..KEPT + 10 {
        report.push(Diagnostic::warning(None, "warned"));
    }
    report.push(Diagnostic::error(None, "wrong"));
    assert!(report.has_errors());
    assert_eq!(report.iter().count(), KEPT);
    assert!(report.iter().any(|one| one.message == "wrong"));
    let mut all = Report::new();
    all.extend(report);
    assert_eq!(all.errors(), 1);
}

#[test]
fn a_concealed_range_shows_as_stars_of_the_same_length() {
    let mut sources = Sources::default();
    let file: Arc<Path> = Arc::from(Path::new("a.yaml"));
    sources.insert(file.clone(), "token: gr\u{fc}n # a\n", &[7..12, 15..16]);
    assert_eq!(sources.text(&file), Some("token: ***** # *\n"));
}

#[test]
fn any_range_renders() {
    let text = "\u{feff}a: \u{fc}\r\nb\t: \u{1b}[31m\n";
    let mut sources = Sources::default();
    sources.insert(Arc::from(Path::new("a.yaml")), text, &[]);
    for start in 0..text.len() + 3 {
        for end in 0..text.len() + 3 {
            let mut report = Report::new();
            report.push(
                Diagnostic::error(location("a.yaml", start, end), "wrong\u{1b}[31m")
                    .help("right\u{1b}[31m"),
            );
            let shown = report.render(&sources, false);
            assert!(shown.contains("a.yaml:1:"), "{shown}");
            assert!(!shown.contains('\u{1b}'), "{shown}");
        }
    }
}

#[test]
fn json_holds_place_and_cure() {
    let mut report = Report::new();
    report.push(
        Diagnostic::error(location("a.yaml", 2, 5), "wrong")
            .help("right")
            .related(location("b.yaml", 0, 1), "here"),
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["diagnostics"][0]["severity"], "error");
    assert_eq!(json["diagnostics"][0]["location"]["file"], "a.yaml");
    assert_eq!(json["diagnostics"][0]["related"][0]["location"]["end"], 1);
    assert_eq!(json["diagnostics"][0]["help"], "right");
}
