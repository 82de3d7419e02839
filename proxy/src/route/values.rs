//! Tests on single values of a request: headers, query parameters, cookies.
//!
//! How a value is found is written here once for each kind; what it is held against is one enum.

use regex::Regex;
use smallvec::SmallVec;

use crate::message::Fields;
use crate::target::path::hex;

/// What a value must be. A regex covers the whole value and never matches what is not UTF-8.
#[derive(Debug)]
pub(super) enum Test {
    Present,
    Absent,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Regex(Regex),
}

impl Test {
    pub(super) fn holds(&self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Self::Absent, value) => value.is_none(),
            (_, None) => false,
            (Self::Present, Some(_)) => true,
            (Self::Exact(wanted), Some(value)) => **wanted == *value,
            (Self::Prefix(wanted), Some(value)) => value.starts_with(wanted),
            (Self::Regex(wanted), Some(value)) => {
                std::str::from_utf8(value).is_ok_and(|text| wanted.is_match(text))
            }
        }
    }
}

/// A field's value. Several lines of one name are one value, joined by `, ` in their order
/// (RFC 9110, section 5.3).
pub(super) fn header_holds(fields: &Fields<'_>, name: &str, test: &Test) -> bool {
    let mut lines = fields.all(name);
    let first = lines.next();
    let Some(second) = lines.next() else { return test.holds(first) };
    let mut joined = SmallVec::<[u8; 256]>::from_slice(first.unwrap_or_default());
    for line in std::iter::once(second).chain(lines) {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line);
    }
    test.holds(Some(&joined))
}

/// The first parameter of that name; both are percent-decoded and `+` is a space, as forms are
/// written. A malformed escape stands for itself.
pub(super) fn query_holds(query: Option<&[u8]>, name: &str, test: &Test) -> bool {
    let found = query.unwrap_or_default().split(|byte| *byte == b'&').find_map(|pair| {
        let equals = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let here = decoded(&pair[..equals]).eq(name.bytes());
        (here && !pair.is_empty()).then(|| pair.get(equals + 1..).unwrap_or_default())
    });
    match found {
        Some(raw) if raw.iter().any(|byte| matches!(byte, b'%' | b'+')) => {
            test.holds(Some(&decoded(raw).collect::<SmallVec<[u8; 256]>>()))
        }
        found => test.holds(found),
    }
}

/// The first cookie of exactly that name.
pub(super) fn cookie_holds(fields: &Fields<'_>, name: &str, test: &Test) -> bool {
    test.holds(fields.cookie(name))
}

fn decoded(raw: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match (byte, after) {
            (b'+', _) => Some(b' '),
            (b'%', [high, low, behind @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = behind;
                    Some(high << 4 | low)
                }
                _ => Some(byte),
            },
            _ => Some(byte),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Field, FieldList, Known, Span};

    fn query(raw: &str, name: &str) -> Option<Vec<u8>> {
        if query_holds(Some(raw.as_bytes()), name, &Test::Absent) {
            return None;
        }
        // The value is what an exact test takes: found by trying prefixes byte by byte.
        let mut value = Vec::new();
        'next: loop {
            let wanted = Test::Exact(value.clone().into());
            if query_holds(Some(raw.as_bytes()), name, &wanted) {
                return Some(value);
            }
            for byte in 0..=255 {
                let mut longer = value.clone();
                longer.push(byte);
                let wanted = Test::Prefix(longer.clone().into());
                if query_holds(Some(raw.as_bytes()), name, &wanted) {
                    value = longer;
                    continue 'next;
                }
            }
            return Some(b"<no value>".to_vec());
        }
    }

    #[test]
    fn query_parameters_are_decoded_and_the_first_counts() {
        for (raw, name, expected) in [
            ("a=1", "a", Some("1")),
            ("a=1&a=2", "a", Some("1")),
            ("b=2&a=1", "a", Some("1")),
            ("a", "a", Some("")),
            ("a=", "a", Some("")),
            ("", "a", None),
            ("&&", "", None),
            ("ab=1", "a", None),
            ("A=1", "a", None),
            ("a=b=c", "a", Some("b=c")),
            ("%61=1", "a", Some("1")),
            ("a=x%20y+z", "a", Some("x y z")),
            ("a=%", "a", Some("%")),
            ("a=%4", "a", Some("%4")),
            ("a=%zz", "a", Some("%zz")),
            ("a=%26b=1", "a", Some("&b=1")),
            ("a%3D1=2", "a=1", Some("2")),
            ("a;b=1", "b", None),
        ] {
            let got = query(raw, name).map(|value| String::from_utf8_lossy(&value).into_owned());
            assert_eq!(got.as_deref(), expected, "{raw} {name}");
        }
    }

    fn fields(lines: &[(&str, &str)]) -> (String, FieldList) {
        let mut bytes = String::new();
        let mut fields = FieldList::default();
        for (name, value) in lines {
            let known = if *name == "cookie" { Known::Cookie } else { Known::Other };
            let mut put = |text: &str| {
                let start = u32::try_from(bytes.len()).unwrap();
                bytes.push_str(text);
                Span { start, end: u32::try_from(bytes.len()).unwrap() }
            };
            fields.push(Field { name: put(name), value: put(value), known });
        }
        (bytes, fields)
    }

    #[test]
    fn cookies_are_found_by_exact_name() {
        for (lines, expected) in [
            (&["a=1"][..], Some("1")),
            (&["b=2; a=1"], Some("1")),
            (&["b=2;a=1"], Some("1")),
            (&["b=2", "a=1"], Some("1")),
            (&["a=1; a=2"], Some("1")),
            (&["a=\"1\""], Some("1")),
            (&["a=\"1"], Some("\"1")),
            (&["a="], Some("")),
            (&["a"], None),
            (&["A=1"], None),
            (&["xa=1"], None),
            (&["a =1"], None),
            (&["b=a=1"], None),
            (&[";;=; a=b=c"], Some("b=c")),
            (&[], None),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
            let (bytes, fields) = fields(&lines);
            let fields = Fields { bytes: bytes.as_bytes(), fields: &fields };
            assert_eq!(fields.cookie("a"), expected.map(str::as_bytes), "{lines:?}");
        }
    }

    #[test]
    fn header_lines_of_one_name_are_one_value() {
        let (bytes, fields) = fields(&[("X-A", "1"), ("x-b", "9"), ("x-a", "2"), ("X-a", "")]);
        let fields = Fields { bytes: bytes.as_bytes(), fields: &fields };
        let exact = |text: &str| Test::Exact(text.as_bytes().into());
        assert!(header_holds(&fields, "x-a", &exact("1, 2, ")));
        assert!(!header_holds(&fields, "x-a", &exact("1")));
        assert!(header_holds(&fields, "x-b", &exact("9")));
        assert!(header_holds(&fields, "x-a", &Test::Prefix(b"1, ".as_slice().into())));
        assert!(header_holds(&fields, "x-a", &Test::Regex(Regex::new("^1.*2.*$").unwrap())));
        assert!(header_holds(&fields, "x-c", &Test::Absent));
        assert!(!header_holds(&fields, "x-c", &Test::Present));
        assert!(header_holds(&fields, "x-a", &Test::Present));
    }
}
