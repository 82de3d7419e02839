//! From events to messages: each event that concerns a customer becomes one message, within the
//! transaction that remembers the event.

use std::sync::Arc;

use shop_platform::{BoxFuture, Clock, Consumer, Event, Handler, HandlerError, Transaction};
use tokio::sync::Notify;

use crate::feed::seats::Seats;
use crate::messages::{self, NewMessage};
use crate::notice::{Notice, account_of};
use crate::text::Text;

const KINDS: &[&str] = &["user.*", "order.*", "payment.*"];

pub(crate) struct Events {
    pub(crate) seats: Arc<Seats>,
    /// Told that there is a letter to send.
    pub(crate) added: Arc<Notify>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Events {
    pub(crate) fn consumer(self) -> Consumer {
        Consumer { group: "notifications", kinds: KINDS, handler: Arc::new(self) }
    }

    async fn tell(&self, transaction: &mut Transaction, event: &Event) -> Result<(), HandlerError> {
        let unusable = |error: serde_json::Error| HandlerError::Unusable(error.to_string());
        let Some(notice) = Notice::try_new(&event.kind, &event.data).map_err(unusable)? else {
            return Ok(());
        };
        let account = notice.account();
        let database = HandlerError::Database;
        if let Notice::Registered(registered) = &notice {
            let (email, name) = (&registered.email, &registered.display_name);
            messages::keep_address(transaction, account, email, name).await.map_err(database)?;
        }
        let place = messages::next_place(transaction, account).await.map_err(database)?;
        // Events of different services overtake each other: a customer may order before we hear
        // that there is one.
        let (sequence, name) =
            place.ok_or(HandlerError::Later("the account's user.registered has not come"))?;
        let text = Text::of(&notice, &name);
        let (kind, now) = (event.kind.as_str(), self.clock.now());
        let new = NewMessage { account, sequence, event: event.id, kind, text: &text, now };
        messages::add(transaction, &new).await.map_err(database)
    }
}

impl Handler for Events {
    fn handle<'a>(
        &'a self,
        transaction: &'a mut Transaction,
        event: &'a Event,
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(self.tell(transaction, event))
    }

    fn committed(&self, event: &Event) {
        self.added.notify_one();
        if let Some(account) = account_of(&event.data) {
            self.seats.announce(account);
        }
    }
}
