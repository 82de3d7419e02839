//! Which errors of a database pass by themselves.

use std::borrow::Cow;

/// Whether the same work may well succeed a moment later: a lost connection, a lock that another
/// held, a transaction that lost against another. Whoever drives the work does it again, from its
/// beginning.
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
        // Serialization failure, deadlock, lock timeout, too many connections.
        "40001" | "40P01" | "55P03" | "53300" => true,
        // The server is shutting down or starting.
        "57P01" | "57P02" | "57P03" => true,
        code if code.len() == 5 => code.starts_with("08"),
        code => is_busy(code),
    }
}

/// `SQLITE_BUSY` (5) and `SQLITE_LOCKED` (6), with whatever extends them.
fn is_busy(code: &str) -> bool {
    code.len() < 5 && matches!(code.parse::<u32>().map(|code| code & 0xff), Ok(5 | 6))
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
        check("1", false);
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
