//! A hypothetical request head, in the form that the codec would have produced.

use super::known::known;
use super::syntax::elements;
use crate::message::{Field, Fields, Known, RequestHead, RequestParts, Span};

/// Owns what a [`RequestHead`] points into.
#[derive(Debug, Clone)]
pub(crate) struct HypotheticalHead {
    bytes: Vec<u8>,
    parts: RequestParts,
}

impl HypotheticalHead {
    /// `None` when it is longer than offsets can reach.
    pub(crate) fn try_new(
        method: &str,
        authority: &str,
        path: &str,
        query: Option<&str>,
        headers: &[(String, String)],
    ) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut put = |text: &str| -> Option<Span> {
            let start = u32::try_from(bytes.len()).ok()?;
            bytes.extend_from_slice(text.as_bytes());
            Some(Span { start, end: u32::try_from(bytes.len()).ok()? })
        };
        let mut parts = RequestParts { method: put(method)?, ..RequestParts::default() };
        put(" ")?;
        parts.path = put(path)?;
        parts.target = parts.path;
        if let Some(query) = query {
            put("?")?;
            let query = put(query)?;
            parts.target.end = query.end;
            parts.query = Some(query);
        }
        put(" HTTP/1.1\r\nhost: ")?;
        parts.authority = put(authority)?;
        put("\r\n")?;
        for (name, value) in headers {
            let known = known(name.as_bytes());
            let name = put(name)?;
            put(": ")?;
            let value = put(value)?;
            put("\r\n")?;
            parts.fields.push(Field { name, value, known });
        }
        put("\r\n")?;
        parts.length = u32::try_from(bytes.len()).ok()?;
        parts.upgrade = wants_upgrade(Fields { bytes: &bytes, fields: &parts.fields });
        Some(Self { bytes, parts })
    }

    pub(crate) fn view(&self) -> RequestHead<'_> {
        RequestHead { bytes: &self.bytes, parts: &self.parts }
    }
}

fn wants_upgrade(fields: Fields<'_>) -> bool {
    let options = fields.all("connection").flat_map(elements);
    fields.known(Known::Upgrade).is_some()
        && options.into_iter().any(|option| option.eq_ignore_ascii_case(b"upgrade"))
}
