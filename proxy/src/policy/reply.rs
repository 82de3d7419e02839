//! Answers that stand in the configuration.

use portcullis_config::model;

use super::headers::is_field_value;
use crate::route::RouteFault;

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
    pub fn compile(reply: &model::Reply) -> Result<Self, RouteFault> {
        let content_type = reply.content_type.as_deref();
        if !content_type.is_none_or(is_field_value) {
            return Err(RouteFault::HeaderValue("content-type".to_owned()));
        }
        Ok(Self {
            status: reply.status.code(),
            content_type: content_type.map(Into::into),
            body: reply.body.expose().as_bytes().into(),
        })
    }
}
