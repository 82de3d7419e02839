//! A message as clients see it, in a list and in a feed.
//!
//! It knows neither.

use serde::Serialize;
use shop_platform::UnixTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::messages::Message;

/// What an account was told.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Notification {
    pub(crate) id: Uuid,
    /// The kind of the event: `order.confirmed`.
    #[schema(example = "order.confirmed")]
    kind: String,
    subject: String,
    /// Plain text in several lines.
    body: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// Null until it is read.
    #[schema(format = DateTime)]
    read_at: Option<String>,
    /// What became of the letter: `pending`, `sent` or `failed`.
    #[schema(example = "sent")]
    letter: &'static str,
}

impl From<Message> for Notification {
    fn from(message: Message) -> Self {
        Self {
            id: message.id,
            kind: message.kind,
            subject: message.subject,
            body: message.body,
            created_at: message.created_at.to_string(),
            read_at: message.read_at.as_ref().map(UnixTime::to_string),
            letter: message.letter.as_str(),
        }
    }
}
