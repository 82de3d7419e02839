//! Where text goes: data to stdout, everything else to stderr.
//!
//! A reader that goes away, as `head` does, ends the output and is no failure: `print!` would
//! panic instead.

use std::io::{self, IsTerminal, Write};

use portcullis_config::{Report, Sources};

/// What was asked for.
pub(super) fn data(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// What there is to say about it.
pub(super) fn message(text: &str) {
    // When nobody listens on stderr, there is nobody to tell either.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

pub(super) fn error(text: impl std::fmt::Display) {
    message(&format!("error: {text}\n"));
}

/// Findings with their excerpts, in colour where somebody sees it.
pub(super) fn report(report: &Report, sources: &Sources) {
    message(&report.render(sources, stderr_is_colored()));
}

fn stderr_is_colored() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let dumb = set("TERM").is_some_and(|terminal| terminal == "dumb");
    // https://no-color.org: set and not empty, whatever it says.
    is_colored(io::stderr().is_terminal(), set("NO_COLOR").is_some(), dumb)
}

fn is_colored(terminal: bool, refused: bool, dumb: bool) -> bool {
    terminal && !refused && !dumb
}

#[cfg(test)]
mod tests {
    use super::is_colored;

    #[test]
    fn color_is_for_terminals_that_did_not_refuse_it() {
        assert!(is_colored(true, false, false));
        assert!(!is_colored(false, false, false));
        assert!(!is_colored(true, true, false));
        assert!(!is_colored(true, false, true));
    }
}
