//! File descriptors: raising their limit, and naming their shortage as what it is.
//!
//! Knows the process and its limit, not what the descriptors are for.

use std::fs::File;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Reading a configuration with its files takes fewer at the same time.
const SPARE: usize = 4;

/// Raises the soft limit of open descriptors to the hard one: each connection needs one or two.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open descriptors could not be raised");
    }
}

/// Whether an error says that the process, or the whole system, has no descriptor left.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Whether some files could be opened now.
///
/// # Errors
/// The shortage, when there is one. Any other error is not this function's business.
pub fn spare() -> io::Result<()> {
    let mut open = Vec::with_capacity(SPARE);
    for _ in 0..SPARE {
        match File::open("/dev/null") {
            Ok(file) => open.push(file),
            Err(error) if is_shortage(&error) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(())
}

/// What an operator can do about a shortage.
pub fn help(error: &io::Error) -> String {
    if error.raw_os_error() == Some(libc::ENFILE) {
        return "the whole system has none left: raise the sysctl fs.file-max".to_owned();
    }
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    format!(
        "the process may open {limit}: raise LimitNOFILE= of its service, or `ulimit -n`, or lower \
         connectionLimits.max"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_distinguished_from_other_errors() {
        let check = |number, expected| {
            assert_eq!(is_shortage(&io::Error::from_raw_os_error(number)), expected);
        };
        check(libc::EMFILE, true);
        check(libc::ENFILE, true);
        check(libc::ENOENT, false);
        check(libc::ENOBUFS, false);
        assert!(spare().is_ok());
    }

    #[test]
    fn the_help_fits_the_shortage() {
        let help = |number| help(&io::Error::from_raw_os_error(number));
        assert!(help(libc::EMFILE).contains("LimitNOFILE"));
        assert!(help(libc::ENFILE).contains("fs.file-max"));
    }
}
