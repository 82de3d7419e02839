//! Parameters of a query or a form, as RFC 6749 wants them read: each at most once, and an empty
//! one is none (section 3.1).

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// More than any request of ours has; the body's own limit bounds their size.
const MAX_PARAMETERS: usize = 64;

/// Names and values, decoded.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormError {
    #[error("the parameters are not application/x-www-form-urlencoded")]
    Malformed,
    #[error("the parameter {0} is given more than once")]
    Repeated(&'static str),
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
}

impl Form {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, FormError> {
        let pairs = || text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        if pairs().count() > MAX_PARAMETERS {
            return Err(FormError::Malformed);
        }
        let parameters = pairs().map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = at.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
            Some((decode(name)?, decode(value)?))
        });
        parameters.collect::<Option<_>>().map(Self).ok_or(FormError::Malformed)
    }

    /// The one value of a parameter; `None` if it is absent or empty.
    pub(crate) fn value(&self, name: &'static str) -> Result<Option<&str>, FormError> {
        let mut values = self.0.iter().filter(|(found, _)| found == name);
        let first = values.next().map(|(_, value)| value.as_str());
        if values.next().is_some() {
            return Err(FormError::Repeated(name));
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    pub(crate) fn required(&self, name: &'static str) -> Result<&str, FormError> {
        self.value(name)?.ok_or(FormError::Missing(name))
    }

    /// Whether any parameter is given more than once, those that nobody reads included.
    pub(crate) fn repeats(&self) -> bool {
        let mut names: Vec<_> = self.0.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }
}

/// One encoded word. No text of ours has a NUL, and PostgreSQL keeps none.
pub(crate) fn decode(text: &[u8]) -> Option<String> {
    let spaced: Cow<'_, [u8]> = if text.contains(&b'+') {
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect()
    } else {
        text.into()
    };
    let decoded = percent_decode(&spaced).decode_utf8().ok()?.into_owned();
    (!decoded.contains('\0')).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_read_once() {
        let form = Form::parse(b"a=1&b=x%26y+z%2B&empty=&bare&&a%62=%C3%A4&twice=&twice=1");
        let form = form.unwrap();
        let check = |name, expected| assert_eq!(form.value(name), expected, "{name}");
        check("a", Ok(Some("1")));
        check("b", Ok(Some("x&y z+")));
        check("ab", Ok(Some("ä")));
        check("empty", Ok(None));
        check("bare", Ok(None));
        check("absent", Ok(None));
        check("twice", Err(FormError::Repeated("twice")));
        assert_eq!(form.required("empty"), Err(FormError::Missing("empty")));
        assert!(form.repeats());
        assert!(!Form::parse(b"a=1&b=1").unwrap().repeats());
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let many = "a=1&".repeat(65);
        for bad in [&b"a=%ff"[..], b"a=%00", b"%80=1", b"a=\xc3", many.as_bytes()] {
            assert_eq!(Form::parse(bad).err(), Some(FormError::Malformed));
        }
    }
}
