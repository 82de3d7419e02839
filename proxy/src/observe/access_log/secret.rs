//! Which names stand for secrets, so that their values never reach the log.
//!
//! Judged by the name alone and rather too often than too seldom: an operator who misses a value
//! can rename the field, one who logged a credential cannot take it back.

/// Written in place of a secret.
pub(super) const HIDDEN: &[u8] = b"***";

/// A header whose value is a credential: known ones, and whatever calls itself so.
pub(super) fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WORDS_IN_HEADERS.iter().any(|word| name.contains(word))
}

/// A query parameter that clients are known to put credentials into, in any case.
pub(super) fn is_secret_parameter(name: &[u8]) -> bool {
    // One look at the length spares most names the comparison.
    (3..=20).contains(&name.len())
        && PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()))
}

const WORDS_IN_HEADERS: &[&str] = &[
    "authorization",
    "authenticat",
    "cookie",
    "token",
    "secret",
    "password",
    "passwd",
    "credential",
    "api-key",
    "apikey",
    "api_key",
    "access-key",
    "private-key",
    "session",
    "signature",
    "assertion",
    "jwt",
    "csrf",
    "xsrf",
];

const PARAMETERS: &[&str] = &[
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "assertion",
    "auth",
    "auth_token",
    "authorization",
    "client_assertion",
    "client_secret",
    "id_token",
    "jwt",
    "passwd",
    "password",
    "pwd",
    "refresh_token",
    "secret",
    "session_id",
    "sessionid",
    "sig",
    "signature",
    "token",
    "x-amz-security-token",
    "x-amz-signature",
    "x-goog-signature",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_their_names() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "cookie",
            "set-cookie",
            "x-api-key",
            "x-auth-token",
            "x-amz-security-token",
            "x-csrf-token",
            "x-hub-signature-256",
            "x-goog-iap-jwt-assertion",
        ] {
            assert!(is_secret_header(name), "{name}");
        }
        for name in ["user-agent", "referer", "x-request-id", "accept", "idempotency-key"] {
            assert!(!is_secret_header(name), "{name}");
        }
    }

    #[test]
    fn every_listed_parameter_is_recognised() {
        for name in PARAMETERS {
            assert!(is_secret_parameter(name.to_ascii_uppercase().as_bytes()), "{name}");
        }
        for name in ["", "q", "page", "tokens", "key", "code", "a-name-that-is-rather-too-long"] {
            assert!(!is_secret_parameter(name.as_bytes()), "{name}");
        }
    }
}
