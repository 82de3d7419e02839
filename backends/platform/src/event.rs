//! What happened, told to whom it may concern: CloudEvents 1.0 in the structured JSON format.
//!
//! Beside its own attributes an event carries `traceparent` (the distributed tracing extension) and
//! `requestid`, so that whatever it causes is logged under the request that began it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::clock::UnixTime;
use crate::request::RequestContext;

/// The largest event as JSON, in bytes. The outbox refuses a larger one before anything is
/// committed, so that none gets stuck on its way.
pub const SIZE_LIMIT: usize = 256 * 1024;
const KIND_LIMIT: usize = 64;

/// One event. Its `id` is what every receiver knows it by: the same id is the same event.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: Uuid,
    /// What happened: `order.placed`. CloudEvents calls it `type`.
    pub kind: String,
    /// The service that it happened in.
    pub source: String,
    /// The aggregate that it happened to. Events of one subject stay in order while nothing fails.
    pub subject: String,
    pub time: UnixTime,
    pub data: Value,
    pub context: RequestContext,
}

#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error("not an event in JSON: {0}")]
    Json(#[source] serde_json::Error),
    #[error("an event of version {0:?}, not 1.0")]
    Version(String),
    #[error("{0:?} is not a time")]
    Time(String),
    #[error("{0:?} is not a kind of event")]
    Kind(String),
    #[error("an event of {0} bytes, more than {SIZE_LIMIT}")]
    TooLarge(usize),
    #[error("the data of a {kind} are not as expected: {source}")]
    Data { kind: String, source: serde_json::Error },
}

impl Event {
    /// A new event with an id of its own, which begins with the time: ids sort by age.
    pub fn new(
        source: &'static str,
        kind: &'static str,
        subject: impl Into<String>,
        now: UnixTime,
        data: impl Serialize,
        context: &RequestContext,
    ) -> Self {
        let data = serde_json::to_value(data).unwrap_or_else(|error| {
            // Only maps with keys that are no texts, and serializers that fail on purpose.
            tracing::error!(%error, kind, "the data of an event cannot be written as JSON");
            Value::Null
        });
        Self {
            id: Uuid::now_v7(),
            kind: kind.to_owned(),
            source: source.to_owned(),
            subject: subject.into(),
            time: now,
            data,
            context: context.clone(),
        }
    }

    /// What the event tells, in the receiver's own words.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, EventError> {
        T::deserialize(&self.data)
            .map_err(|source| EventError::Data { kind: self.kind.clone(), source })
    }

    pub fn to_json(&self) -> Result<String, EventError> {
        check_kind(&self.kind)?;
        let wire = Wire {
            specversion: "1.0".to_owned(),
            id: self.id,
            source: self.source.clone(),
            kind: self.kind.clone(),
            subject: self.subject.clone(),
            time: self.time.precise(),
            datacontenttype: "application/json".to_owned(),
            traceparent: Some(self.context.traceparent().to_owned()),
            requestid: Some(self.context.request_id().to_owned()),
            data: self.data.clone(),
        };
        let text = serde_json::to_string(&wire).map_err(EventError::Json)?;
        if text.len() > SIZE_LIMIT {
            return Err(EventError::TooLarge(text.len()));
        }
        Ok(text)
    }

    pub fn from_json(text: &[u8]) -> Result<Self, EventError> {
        if text.len() > SIZE_LIMIT {
            return Err(EventError::TooLarge(text.len()));
        }
        let wire: Wire = serde_json::from_slice(text).map_err(EventError::Json)?;
        if wire.specversion != "1.0" {
            return Err(EventError::Version(wire.specversion));
        }
        check_kind(&wire.kind)?;
        let time = UnixTime::parse(&wire.time).ok_or(EventError::Time(wire.time))?;
        let context =
            RequestContext::from_parts(wire.requestid.as_deref(), wire.traceparent.as_deref());
        Ok(Self {
            id: wire.id,
            kind: wire.kind,
            source: wire.source,
            subject: wire.subject,
            time,
            data: wire.data,
            context,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    specversion: String,
    id: Uuid,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    subject: String,
    time: String,
    #[serde(default)]
    datacontenttype: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requestid: Option<String>,
    #[serde(default)]
    data: Value,
}

/// A kind becomes part of a broker's subject: words of small letters, digits and dashes.
fn check_kind(kind: &str) -> Result<(), EventError> {
    let known = kind.len() <= KIND_LIMIT && kind.split('.').all(is_word);
    if known { Ok(()) } else { Err(EventError::Kind(kind.to_owned())) }
}

pub(crate) fn is_word(word: &str) -> bool {
    let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    !word.is_empty() && word.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn event() -> Event {
        let context = RequestContext::from_parts(Some("abc-1"), Some(PARENT));
        let now = UnixTime::from_millis(1_735_689_599_070);
        Event::new("orders", "order.placed", "o-1", now, json!({"total": 7}), &context)
    }

    #[test]
    fn an_event_is_structured_cloud_events_json() {
        let event = event();
        let json: Value = serde_json::from_str(&event.to_json().unwrap()).unwrap();
        let expected = json!({
            "specversion": "1.0", "id": event.id.to_string(), "source": "orders",
            "type": "order.placed", "subject": "o-1", "time": "2024-12-31T23:59:59.070Z",
            "datacontenttype": "application/json", "traceparent": PARENT, "requestid": "abc-1",
            "data": {"total": 7},
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn it_is_read_back_as_it_was() {
        let event = event();
        let read = Event::from_json(event.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!((read.id, read.time), (event.id, event.time));
        assert_eq!((&*read.kind, &*read.source, &*read.subject), ("order.placed", "orders", "o-1"));
        assert_eq!(read.context.request_id(), "abc-1");
        assert_eq!(read.context.traceparent(), PARENT);
        #[derive(Deserialize)]
        struct Placed {
            total: u32,
        }
        assert_eq!(read.data::<Placed>().unwrap().total, 7);
        assert!(matches!(read.data::<String>(), Err(EventError::Data { .. })));
    }

    #[test]
    fn what_others_send_is_read_if_it_is_an_event() {
        let whole = json!({"specversion": "1.0", "id": Uuid::nil(), "source": "/x", "type": "a.b",
            "time": "2024-12-31T23:59:59Z", "comment": "an extension"});
        let check = |name: &str, value: Value, known: bool| {
            let mut event = whole.clone();
            match value {
                Value::Null => drop(event.as_object_mut().unwrap().remove(name)),
                value => event[name] = value,
            }
            let read = Event::from_json(event.to_string().as_bytes());
            assert_eq!(read.is_ok(), known, "{event}");
        };
        check("comment", json!(7), true);
        check("specversion", json!("0.3"), false);
        check("specversion", Value::Null, false);
        check("id", json!("7"), false);
        check("time", json!("yesterday"), false);
        check("type", json!("a..b"), false);
        check("type", json!("a.*"), false);
        check("type", json!("a b"), false);
        check("type", json!(""), false);
        check("data", json!("x".repeat(SIZE_LIMIT)), false);
        assert!(matches!(Event::from_json(b"rubbish"), Err(EventError::Json(_))));
        // Without a request of its own an event begins one.
        let read = Event::from_json(whole.to_string().as_bytes()).unwrap();
        assert!(!read.context.request_id().is_empty());
    }

    #[test]
    fn ids_sort_by_age() {
        let ids: Vec<String> = (0..100).map(|_| event().id.to_string()).collect();
        assert!(ids.is_sorted());
    }
}
