//! Where events go between services: an embedded durable log, or NATS JetStream by URL.
//!
//! Both deliver alike, and the same tests say so (`tests/broker.rs`): an event is kept until its
//! time is over, each group gets it at least once, members of a group share, what is not
//! acknowledged within its lease comes again, and after too many tries it goes to the dead letters
//! of its group, as an event of the kind `dead.GROUP`. Events of one subject come in order while
//! nothing fails. A new group begins with the oldest event that is still kept.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::clock::{Clock, SystemClock};
use crate::database::DatabaseError;
use crate::event::{Event, EventError, is_word};
use crate::request::RequestContext;

mod delivery;
mod filter;
mod keeper;
mod log;
mod nats;
mod policy;

pub use delivery::{Delivery, Failed, Subscription};
pub use policy::Policy;

use filter::Filter;
use log::Log;
use nats::Nats;

/// What every kind is put after in a broker that others use too.
const SUBJECT_PREFIX: &str = "shop";
/// Characters of what is not an event that its dead letter quotes.
const RUBBISH_LIMIT: usize = 4096;

/// An open broker. Clones share it; the last one that is closed closes it.
#[derive(Debug, Clone)]
pub struct Broker {
    engine: Arc<Engine>,
}

#[derive(Debug)]
enum Engine {
    Log(Log),
    Nats(Box<Nats>),
}

/// What became of a published event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    New,
    /// The broker has it already: it is published once.
    Known,
}

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("the broker URL {0:?} is not understood: use log:FILE, log::memory: or nats://HOST")]
    Url(String),
    #[error("{0:?} is no name of a group or of events")]
    Name(String),
    #[error("the event log cannot be opened: {0}")]
    Open(#[source] DatabaseError),
    #[error("the event log failed: {0}")]
    Log(#[from] sqlx::Error),
    #[error("NATS failed to {what}: {source}")]
    Nats { what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    Event(#[from] EventError),
}

impl Broker {
    /// `log:FILE` may be shared by processes of one machine; `log::memory:` is this process's own.
    pub async fn open(url: &str) -> Result<Self, BrokerError> {
        let engine = if let Some(file) = url.strip_prefix("log:").filter(|file| !file.is_empty()) {
            Engine::Log(Box::pin(Log::open(file)).await?)
        } else if url.starts_with("nats://") {
            Engine::Nats(Box::new(Box::pin(Nats::open(url)).await?))
        } else {
            return Err(BrokerError::Url(url.to_owned()));
        };
        Ok(Self { engine: Arc::new(engine) })
    }

    /// Returns when the event is kept, so that it may be forgotten here. The same event may be
    /// published again: receivers see it once.
    pub async fn publish(&self, event: &Event) -> Result<Published, BrokerError> {
        let text = event.to_json()?;
        match &*self.engine {
            Engine::Log(log) => log.publish(event.id, &event.kind, &text).await,
            Engine::Nats(nats) => nats.publish(event.id, &event.kind, text).await,
        }
    }

    /// Joins `group`, which is made if it is new, to receive `kinds`: words with dots between
    /// them, where `*` stands for one word and a final `>` for all that follow.
    pub async fn subscribe(
        &self,
        group: &str,
        kinds: &[&str],
        policy: Policy,
    ) -> Result<Subscription, BrokerError> {
        if !is_word(group) {
            return Err(BrokerError::Name(group.to_owned()));
        }
        let filter = Filter::try_new(kinds)?;
        match &*self.engine {
            Engine::Log(log) => log.subscribe(group, filter, policy).await.map(Subscription::log),
            Engine::Nats(nats) => {
                nats.subscribe(group, filter, policy).await.map(Subscription::nats)
            }
        }
    }

    /// Whether the broker answers.
    pub async fn check(&self) -> Result<(), BrokerError> {
        match &*self.engine {
            Engine::Log(log) => log.check().await,
            Engine::Nats(nats) => nats.check().await,
        }
    }

    /// Closes the broker if nobody else holds a clone of it.
    pub async fn close(self) {
        match Arc::into_inner(self.engine) {
            Some(Engine::Log(log)) => log.close().await,
            Some(Engine::Nats(nats)) => (*nats).close().await,
            None => {}
        }
    }
}

/// What the dead letters of `group` are: an event about the one that could not be handled. Its id
/// follows from both, so that two who bury it bury it once.
fn dead_letter(group: &str, event: &Event, reason: &str, attempts: u32) -> Event {
    let data = serde_json::json!({
        "reason": reason,
        "attempts": attempts,
        "event": {
            "id": event.id,
            "type": event.kind,
            "source": event.source,
            "subject": event.subject,
            "time": event.time.precise(),
            "data": event.data,
        },
    });
    Event {
        id: dead_id(group, event.id.as_bytes()),
        kind: dead_kind(group),
        source: "broker".to_owned(),
        subject: event.subject.clone(),
        time: event.time,
        data,
        context: event.context.clone(),
    }
}

/// As [`dead_letter`], of what is not even an event. `id` is what the broker knows it by.
fn dead_rubbish(group: &str, id: &[u8], text: &[u8], error: &EventError) -> Event {
    let text: String = String::from_utf8_lossy(text).chars().take(RUBBISH_LIMIT).collect();
    Event {
        id: dead_id(group, id),
        kind: dead_kind(group),
        source: "broker".to_owned(),
        subject: String::new(),
        time: SystemClock.now(),
        data: serde_json::json!({"reason": error.to_string(), "text": text}),
        context: RequestContext::begin(),
    }
}

/// A dead letter quotes its event whole, and so may be too large where that was not.
fn dead_text(dead: &Event) -> Result<String, EventError> {
    match dead.to_json() {
        Err(EventError::TooLarge(size)) => {
            let data = serde_json::json!({"reason": "too large to be quoted", "bytes": size});
            Event { data, ..dead.clone() }.to_json()
        }
        text => text,
    }
}

fn dead_kind(group: &str) -> String {
    format!("dead.{group}")
}

fn dead_id(group: &str, of: &[u8]) -> Uuid {
    let hash = Sha256::new().chain_update(group).chain_update([0]).chain_update(of).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use crate::clock::UnixTime;

    use super::*;

    #[tokio::test]
    async fn urls_and_names_that_cannot_be_meant_are_refused() {
        for url in ["", "log:", "kafka://a", "events.db", "nats:4222"] {
            assert!(matches!(Broker::open(url).await, Err(BrokerError::Url(_))), "{url}");
        }
        let broker = Broker::open("log::memory:").await.unwrap();
        for group in ["", "a.b", "a b", "Orders", "*"] {
            let refused = broker.subscribe(group, &["a.b"], Policy::default()).await;
            assert!(matches!(refused.err(), Some(BrokerError::Name(_))), "{group}");
        }
    }

    #[test]
    fn a_dead_letter_tells_what_died_and_why() {
        let (time, context) = (UnixTime::from_seconds(7), RequestContext::begin());
        let event = Event::new("orders", "order.placed", "o-1", time, 5, &context);
        let dead = dead_letter("mail", &event, "no address", 3);
        assert_eq!((&*dead.kind, &*dead.subject), ("dead.mail", "o-1"));
        assert_eq!(dead.data["reason"], "no address");
        assert_eq!(dead.data["event"]["id"], event.id.to_string());
        assert_eq!(dead.context.request_id(), context.request_id());
        assert_eq!(dead.id, dead_letter("mail", &event, "another", 4).id);
        assert_ne!(dead.id, dead_letter("mails", &event, "no address", 3).id);
    }
}
