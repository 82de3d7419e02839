//! Which errors of a database pass by themselves.

use std::borrow::Cow;

/// Whether the same work may well succeed later, with nothing changed in it: a lost connection, a
/// lock that another held, a transaction that lost against another, a disk that is full. Whoever
/// drives the work does it again, from its beginning.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(is_transient_code),
        // The enum is open; the rest are mistakes of ours, which time does not heal.
        _ => false,
    }
}

/// A lock was waited for as long as allowed.
pub(crate) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "55P03" || is_busy(&code))
}

fn is_transient_code(code: Cow<'_, str>) -> bool {
    // PostgreSQL's codes have five characters (appendix A of its manual), SQLite's four at most.
    match code.as_ref() {
        // Serialization failure, deadlock, lock timeout, disk full, too many connections.
        "40001" | "40P01" | "55P03" | "53100" | "53300" => true,
        // The server is shutting down or starting.
        "57P01" | "57P02" | "57P03" => true,
        code if code.len() == 5 => code.starts_with("08"),
        code => is_busy(code) || is_sqlite(code, &[SQLITE_FULL]),
    }
}

const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_FULL: u32 = 13;

fn is_busy(code: &str) -> bool {
    is_sqlite(code, &[SQLITE_BUSY, SQLITE_LOCKED])
}

/// Whether it is one of SQLite's, or extends it.
fn is_sqlite(code: &str, codes: &[u32]) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| codes.contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_engines_are_told_apart() {
        let check = |code: &str, transient: bool| {
            assert_eq!(is_transient_code(code.into()), transient, "{code}");
        };
        check("40001", true);
        check("40P01", true);
        check("08006", true);
        check("57P01", true);
        check("23505", false);
        check("42P01", false);
        check("5", true);
        check("517", true);
        check("261", true);
        check("6", true);
        check("13", true);
        check("53100", true);
        check("1", false);
        check("53000", false);
        check("19", false);
        check("2067", false);
    }

    #[test]
    fn a_lost_connection_is_transient_and_a_missing_row_is_not() {
        assert!(is_transient(&sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())));
        assert!(is_transient(&sqlx::Error::PoolTimedOut));
        assert!(!is_transient(&sqlx::Error::RowNotFound));
        assert!(!is_transient(&sqlx::Error::PoolClosed));
    }
}
