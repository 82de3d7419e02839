//! Reports as people read them.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Report, Severity, Sources};
use crate::location::Location;

/// Every diagnostic with its excerpt, then a line that counts them.
pub(super) fn render(report: &Report, sources: &Sources, color: bool) -> String {
    if report.is_empty() {
        return String::new();
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for diagnostic in report {
        text.push_str(&renderer.render(&groups(diagnostic, sources)));
        text.push_str("\n\n");
    }
    text.push_str(&summary(report));
    text
}

fn groups<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut primary = Group::with_title(level.primary_title(diagnostic.message.as_str()));
    if let Some(snippet) = diagnostic.location.as_ref().and_then(|at| excerpt(at, sources)) {
        primary = primary.element(snippet);
    }
    if let Some(help) = &diagnostic.help {
        primary = primary.element(Level::HELP.message(normalised(help)));
    }
    let mut groups = vec![primary];
    for related in &diagnostic.related {
        let group = Group::with_title(Level::NOTE.secondary_title(normalised(&related.message)));
        groups.push(match excerpt(&related.location, sources) {
            Some(snippet) => group.element(snippet),
            None => group,
        });
    }
    groups
}

fn excerpt<'a>(
    at: &'a Location,
    sources: &'a Sources,
) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let (line, range) = sources.excerpt(at)?;
    Some(
        Snippet::source(line)
            .line_start(at.line as usize)
            .path(at.file.to_string_lossy())
            .annotation(AnnotationKind::Primary.span(range)),
    )
}

/// Text from a file may hold control characters that a terminal would obey.
fn normalised(text: &str) -> String {
    annotate_snippets::normalize_untrusted_str(text)
}

fn summary(report: &Report) -> String {
    let count = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        _ => Some(format!("{count} {what}s")),
    };
    let counts = [count(report.errors(), "error"), count(report.warnings(), "warning")];
    let mut text = counts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if report.suppressed() > 0 {
        text.push_str(&format!(" ({} not shown)", report.suppressed()));
    }
    text.push('\n');
    text
}
