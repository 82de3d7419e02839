//! Any text loads, or is refused with errors that say where; what loads can be served and shown.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use portcullis_config::location::Location;
use portcullis_config::model::ListenerId;
use portcullis_config::{Report, SecretSource, effective, parse_str_with};
use portcullis_proxy::route::{Table, compile};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    match parse_str_with("gate.yaml", &text, &Nothing) {
        Ok(loaded) => {
            assert!(!loaded.warnings.has_errors());
            check_report(&loaded.warnings, &text);
            loaded.warnings.render(&loaded.sources, false);
            effective(&loaded.config);
            // What the loader lets pass and the router refuses would be found at a reload only.
            let routes = compile(&loaded.config, &[]);
            let routes = routes.unwrap_or_else(|errors| panic!("{:?}", errors[0]));
            for listener in 0..loaded.config.listeners.len() {
                Table::for_listener(&routes, ListenerId(listener));
            }
        }
        Err(failed) => {
            assert!(failed.report.has_errors());
            check_report(&failed.report, &text);
            assert!(!failed.report.render(&failed.sources, true).is_empty());
        }
    }
});

/// No world: what is found is found again, and no input names a file of this machine.
struct Nothing;

impl SecretSource for Nothing {
    fn environment(&self, name: &str) -> Result<String, String> {
        Ok(name.to_lowercase())
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("there is no file".to_owned())
    }
}

fn check_report(report: &Report, text: &str) {
    for one in report {
        assert!(!one.message.is_empty());
        match &one.location {
            Some(location) => check_place(location, text),
            // What is missing as a whole has no place.
            None => assert_eq!(one.message, "no file declares a listener"),
        }
        for related in &one.related {
            check_place(&related.location, text);
        }
    }
}

/// The place lies in the text, and line and column lead to where the bytes do.
fn check_place(location: &Location, text: &str) {
    let Location { line, column, start, end, .. } = *location;
    assert!(start <= end && end <= text.len(), "{location}: {start}..{end} of {}", text.len());
    assert!(text.is_char_boundary(start) && text.is_char_boundary(end), "{location}");
    assert!(line >= 1 && column >= 1, "{location}");
}
