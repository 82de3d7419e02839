//! Where a server keeps its data: a folder that goes with the test, or, if the test was killed, with
//! the next test that starts a server.

use std::path::Path;

use tempfile::TempDir;

/// With the id of the test's process behind it.
const PREFIX: &str = "shop-test-";

pub(super) fn new() -> TempDir {
    let place = std::env::temp_dir();
    remove_those_of_the_dead(&place);
    new_in(&place, std::process::id())
}

fn new_in(place: &Path, process: u32) -> TempDir {
    let prefix = format!("{PREFIX}{process}-");
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(place);
    folder.unwrap_or_else(|error| panic!("{}: {error}", place.display()))
}

fn remove_those_of_the_dead(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        let process = process.and_then(|process| process.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            // Another test may be quicker, or it may be another user's.
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_test_left_goes_with_the_next() {
        let place = tempfile::tempdir().unwrap();
        let mine = new_in(place.path(), std::process::id());
        // Beyond any process id of Linux.
        let left = new_in(place.path(), u32::MAX).keep();
        std::fs::write(left.join("data"), "").unwrap();
        remove_those_of_the_dead(place.path());
        assert!(mine.path().exists() && !left.exists());
    }
}
