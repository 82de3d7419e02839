//! `Prefer: wait=5` (RFC 7240): how long a client would like to wait for an answer.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The `wait` preference. Of several the first holds (section 2), and what is not understood is as
/// good as absent.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|preference| {
            // Parameters after the semicolon belong to the preference; `wait` has none.
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
        })
        .filter(|seconds| !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit()))
        // More digits than fit are a long time.
        .map(|seconds| Duration::from_secs(seconds.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_wait_that_is_a_number_of_seconds_holds() {
        let check = |values: &[&str], seconds: Option<u64>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(PREFER, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(wait(&headers), seconds.map(Duration::from_secs), "{values:?}");
        };
        check(&[], None);
        check(&["wait=5"], Some(5));
        check(&["Wait = 5"], Some(5));
        check(&["wait=\"5\""], Some(5));
        check(&["respond-async, wait=100; foo=bar"], Some(100));
        check(&["respond-async", "wait=0"], Some(0));
        check(&["wait=1, wait=2"], Some(1));
        check(&["wait=x, wait=2"], None);
        check(&["wait"], None);
        check(&["wait="], None);
        check(&["wait=-1"], None);
        check(&["wait=1.5"], None);
        check(&["waiting=1"], None);
        check(&["wait=99999999999999999999999"], Some(u64::MAX));
    }
}
