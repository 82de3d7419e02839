//! Status codes as a bounded set of labels.
//!
//! An upstream may answer with any three digits; the ones in use get a label each, and the rest of
//! a class shares one, so that neither memory nor series depend on what a server makes up.

/// Index into a table of [`COUNT`] counters.
pub(super) fn index(status: u16) -> usize {
    usize::from(INDEX.get(usize::from(status)).copied().unwrap_or(NONE))
}

/// The label of an index: `200`, or `2xx` for the other codes of a class, or `none`.
pub(super) fn label(index: usize) -> &'static str {
    LABELS[index].1
}

pub(super) const COUNT: usize = LABELS.len();

/// Codes with a label of their own; those below 100 stand for the rest of their class.
const LABELS: [(u16, &str); 50] = [
    // No answer could be given: the client went away before one existed.
    (0, "none"),
    (1, "1xx"),
    (2, "2xx"),
    (3, "3xx"),
    (4, "4xx"),
    (5, "5xx"),
    (101, "101"),
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (203, "203"),
    (204, "204"),
    (205, "205"),
    (206, "206"),
    (300, "300"),
    (301, "301"),
    (302, "302"),
    (303, "303"),
    (304, "304"),
    (307, "307"),
    (308, "308"),
    (400, "400"),
    (401, "401"),
    (402, "402"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (406, "406"),
    (408, "408"),
    (409, "409"),
    (410, "410"),
    (411, "411"),
    (412, "412"),
    (413, "413"),
    (414, "414"),
    (415, "415"),
    (416, "416"),
    (417, "417"),
    (421, "421"),
    (422, "422"),
    (425, "425"),
    (428, "428"),
    (429, "429"),
    (431, "431"),
    (500, "500"),
    (501, "501"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
    (505, "505"),
];

const NONE: u8 = 0;

#[allow(clippy::cast_possible_truncation, reason = "the table has fewer than 256 entries")]
const INDEX: [u8; 600] = {
    let mut table = [NONE; 600];
    let mut status = 100;
    while status < 600 {
        table[status] = (status / 100) as u8;
        status += 1;
    }
    let mut at = 6;
    while at < LABELS.len() {
        table[LABELS[at].0 as usize] = at as u8;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_label_of_its_class() {
        for status in 0..=u16::MAX {
            let label = label(index(status));
            if !(100..600).contains(&status) {
                assert_eq!(label, "none", "{status}");
            } else if label.ends_with("xx") {
                assert_eq!(label, format!("{}xx", status / 100));
            } else {
                assert_eq!(label, status.to_string());
            }
        }
    }

    #[test]
    fn what_the_proxy_answers_with_has_its_own_label() {
        for reason in crate::error::Reason::ALL {
            let expected =
                if reason.status() == 0 { "none".into() } else { reason.status().to_string() };
            assert_eq!(label(index(reason.status())), expected, "{}", reason.label());
        }
    }
}
