//! Answers that stand in the configuration.

use portcullis_config::model;

use super::PolicyFault;
use crate::http1::edits::EditError;

/// A fixed response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: Option<Box<str>>,
    pub body: Box<[u8]>,
}

impl Reply {
    /// # Errors
    /// A content type that would break its line.
    pub fn compile(reply: &model::Reply) -> Result<Self, PolicyFault> {
        let content_type = reply.content_type.as_deref();
        if !content_type.is_none_or(is_field_value) {
            return Err(PolicyFault::Edit(EditError::Value("content-type".to_owned())));
        }
        Ok(Self {
            status: reply.status.code(),
            content_type: content_type.map(Into::into),
            body: reply.body.expose().as_bytes().into(),
        })
    }
}
/// RFC 9110, section 5.5: no control but the tab, no space at either end.
pub(crate) fn is_field_value(value: &str) -> bool {
    value.trim_matches([' ', '\t']).len() == value.len()
        && value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}
