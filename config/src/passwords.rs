//! The text of a file of users and passwords: a line `user:hash` for each.
//!
//! Every hash is judged by its form, so that checking one cannot fail and takes a bounded time.
//! Messages name lines and kinds of hashes, never what a line holds.

mod fault;
mod hash;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

pub use fault::{Fault, LineError};
pub use hash::{HashText, PasswordHash};

/// Bytes of a file.
pub const FILE_BYTES: u64 = 4 << 20;
const LINE_BYTES: usize = 1_024;
const USERS: usize = 10_000;
const USER_BYTES: usize = 255;
/// A file that is not one of passwords would be wrong in every line.
const REPORTED: usize = 20;

/// Users with the hashes of their passwords. Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Passwords {
    users: HashMap<String, PasswordHash>,
}

impl Passwords {
    pub fn find(&self, user: &str) -> Option<&PasswordHash> {
        self.users.get(user)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &PasswordHash)> {
        self.users.iter().map(|(user, hash)| (user.as_str(), hash))
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Passwords({} users)", self.users.len())
    }
}

/// Empty lines and those that begin with `#` are skipped.
///
/// # Errors
/// Every line that is wrong, up to a bound.
pub fn parse(text: &[u8]) -> Result<Passwords, Vec<LineError>> {
    let whole = |fault| Err(vec![LineError { line: None, fault }]);
    if text.len() as u64 > FILE_BYTES {
        return whole(Fault::TooLarge);
    }
    let mut users = HashMap::new();
    let mut errors = Vec::new();
    let mut first_lines = HashMap::new();
    for (number, line) in (1_u32..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() || line.starts_with(b"#") {
            continue;
        }
        let parsed = entry(line).and_then(|(user, hash)| match first_lines.entry(user) {
            Entry::Occupied(first) => Err(Fault::Twice { first: *first.get() }),
            Entry::Vacant(free) => {
                free.insert(number);
                Ok((user, hash))
            }
        });
        match parsed {
            Ok((user, hash)) => {
                users.insert(user.to_owned(), hash);
            }
            Err(fault) => errors.push(LineError { line: Some(number), fault }),
        }
    }
    if users.len() > USERS {
        errors.push(LineError { line: None, fault: Fault::TooManyUsers });
    }
    if let Some(more) = errors.len().checked_sub(REPORTED).filter(|more| *more > 0) {
        errors.truncate(REPORTED);
        errors.push(LineError { line: None, fault: Fault::More(more) });
    }
    match (errors.is_empty(), users.is_empty()) {
        (false, _) => Err(errors),
        (true, true) => whole(Fault::NoUser),
        (true, false) => Ok(Passwords { users }),
    }
}

fn entry(line: &[u8]) -> Result<(&str, PasswordHash), Fault> {
    if line.len() > LINE_BYTES {
        return Err(Fault::LineTooLong);
    }
    if !line.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err(Fault::NotAscii);
    }
    let line = std::str::from_utf8(line).map_err(|_| Fault::NotAscii)?;
    let (user, hash) = line.split_once(':').ok_or(Fault::NoColon)?;
    if user.is_empty() || user.len() > USER_BYTES || user.trim() != user {
        return Err(Fault::User);
    }
    Ok((user, hash::parse(hash)?))
}

#[cfg(test)]
mod tests;
