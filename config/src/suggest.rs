//! The name that was probably meant.

pub(crate) mod foreign;
pub(crate) mod short;

/// The candidate nearest to an unknown name, when one is near enough to be worth saying.
pub(crate) fn nearest<'a>(
    unknown: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Longer names are nobody's typing error, and the distance is quadratic.
    if unknown.len() > 100 {
        return None;
    }
    let wanted = folded(unknown);
    let allowed = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &folded(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *candidate != unknown)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean" when something is near, else all that is known, unless that is too much.
pub(crate) fn help(unknown: &str, candidates: &[&str]) -> Option<String> {
    if let Some(meant) = nearest(unknown, candidates.iter().copied()) {
        return Some(format!("did you mean `{meant}`?"));
    }
    let shown = candidates.iter().take(20).map(|one| format!("`{one}`")).collect::<Vec<_>>();
    match (shown.len(), candidates.len() - shown.len()) {
        (0, _) => None,
        (_, 0) => Some(format!("known here: {}", shown.join(", "))),
        (_, more) => Some(format!("known here: {} and {more} more", shown.join(", "))),
    }
}

/// `header_bytes`, `header-bytes` and `headerBytes` are one.
pub(crate) fn folded(name: &str) -> String {
    name.chars().filter(|one| !matches!(one, '_' | '-')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["listeners", "routes", "upstreams", "accessLog", "tls"];
        for (unknown, expected) in [
            ("listner", Some("listeners")),
            ("upstream", Some("upstreams")),
            ("access_log", Some("accessLog")),
            ("access-log", Some("accessLog")),
            ("tsl", Some("tls")),
            ("jwtProviders", None),
            ("", None),
        ] {
            assert_eq!(nearest(unknown, known), expected, "{unknown}");
        }
    }
}
