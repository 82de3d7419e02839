//! What the process's container may take, as the kernel tells: control groups of either version.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::descriptors;

/// From here on the kernel means "no limit".
const UNLIMITED: u64 = 1 << 60;

/// The tightest limit of memory over this process; `None` where there is none.
///
/// # Errors
/// If no descriptor is left to read it. A missing file is no error.
pub(super) fn limit() -> io::Result<Option<u64>> {
    let groups = text(Path::new("/proc/self/cgroup"))?.unwrap_or_default();
    limit_under(Path::new("/sys/fs/cgroup"), &groups)
}

fn limit_under(root: &Path, groups: &str) -> io::Result<Option<u64>> {
    let mut least = None;
    for line in groups.lines() {
        least = tighter(least, tightest(root, line)?);
    }
    Ok(least)
}

/// Of one line of `/proc/self/cgroup`, `number:controllers:path`: a group is bound by those above
/// it too. In a container the path may be that of the host, and the limit stands at the root.
fn tightest(root: &Path, line: &str) -> io::Result<Option<u64>> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Ok(None) };
    let (root, file) = match controllers {
        "" => (root.to_owned(), "memory.max"),
        _ if controllers.split(',').any(|one| one == "memory") => {
            (root.join("memory"), "memory.limit_in_bytes")
        }
        _ => return Ok(None),
    };
    let path = PathBuf::from(path.trim_start_matches('/'));
    let mut least = None;
    for group in path.ancestors() {
        least = tighter(least, read(&root.join(group).join(file))?);
    }
    Ok(least)
}

fn tighter(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

fn read(file: &Path) -> io::Result<Option<u64>> {
    // `max` is no number.
    let limit = text(file)?.and_then(|text| text.trim().parse().ok());
    Ok(limit.filter(|limit| (1..UNLIMITED).contains(limit)))
}

fn text(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if descriptors::is_shortage(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], groups: &str, expected: Option<u64>) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        assert_eq!(limit_under(root.path(), groups).unwrap(), expected, "{groups}");
    }

    #[test]
    fn the_tightest_group_counts() {
        check(&[("memory.max", "1000\n")], "0::/\n", Some(1000));
        check(&[("memory.max", "max\n")], "0::/\n", None);
        let nested = [("a/memory.max", "500\n"), ("a/b/memory.max", "700\n")];
        check(&nested, "0::/a/b\n", Some(500));
        check(&[("a/memory.max", "max\n"), ("a/b/memory.max", "700\n")], "0::/a/b\n", Some(700));
        // The path is the host's, and this is all that the container sees.
        check(&[("memory.max", "300\n")], "0::/kubepods/pod1/c1\n", Some(300));
    }

    #[test]
    fn the_first_version_is_understood() {
        let groups = "9:name=systemd:/\n4:memory:/a\n0::/\n";
        check(&[("memory/a/memory.limit_in_bytes", "800\n")], groups, Some(800));
        check(&[("memory/memory.limit_in_bytes", "900\n")], groups, Some(900));
        let unlimited = [("memory/a/memory.limit_in_bytes", "9223372036854771712\n")];
        check(&unlimited, groups, None);
    }

    #[test]
    fn unreadable_limits_limit_nothing() {
        check(&[], "", None);
        check(&[], "0::/", None);
        check(&[("memory.max", "many")], "garbage\n0::/\n", None);
    }
}
