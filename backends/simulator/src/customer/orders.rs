//! What a customer does about orders that it has placed, and about what it is told of them.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Customer;
use crate::audit::ledger::Wish;
use crate::courier::Found;
use crate::documents::{NotificationPage, Order, OrderPage, OrderState};
use crate::record::Call;
use crate::wire::Request;
use crate::words;

/// How long the shop is asked to keep an answer back.
const WAIT: Duration = Duration::from_secs(5);
/// The saga's deadline is a minute, and then everything is undone.
const ENDS_WITHIN: Duration = Duration::from_secs(150);
/// Between two questions that were answered at once.
const LOOK: Duration = Duration::from_millis(100);
/// The shop keeps ten of an order.
const MOST_COMPLAINTS: u32 = 3;

impl Customer {
    /// Waits for an order's end.
    pub(super) async fn follow(&self, id: Uuid) -> Result<OrderState, Found> {
        let call = Call::FollowOrder;
        let until = Instant::now() + ENDS_WITHIN;
        loop {
            let asked = Instant::now();
            let request = Request::get(format!("/v1/orders/{id}")).wait(WAIT);
            let reply = self.session.call(call, request, &[200]).await?;
            let order: Order = self.courier().read(call, &reply)?;
            if order.state.is_end() {
                return Ok(order.state);
            }
            if asked >= until {
                let what = format!("order {id} is still {:?}", order.state);
                return Err(self.courier().found_in(call, &what, &reply));
            }
            if asked.elapsed() < LOOK {
                sleep(LOOK).await;
            }
        }
    }

    pub(super) async fn cancel(&mut self, id: Uuid) -> Result<(), Found> {
        let key = self.key();
        self.ledger.wish(id, Wish::MayCancel);
        let request = Request::post(format!("/v1/orders/{id}/cancel")).key(&key);
        let reply = self.session.call(Call::CancelOrder, request, &[202]).await?;
        self.ledger.wish(id, Wish::Cancelled);
        let order: Order = self.courier().read(Call::CancelOrder, &reply)?;
        if matches!(order.state, OrderState::Pending | OrderState::Confirmed) {
            let what = format!("order {id} was cancelled and is {:?}", order.state);
            return Err(self.courier().found_in(Call::CancelOrder, &what, &reply));
        }
        Ok(())
    }

    /// Cancels an order of a while ago, whatever became of it.
    pub(super) async fn change_mind(&mut self) -> Result<(), Found> {
        match self.any_kept() {
            Some(id) => self.cancel(id).await,
            None => Ok(()),
        }
    }

    pub(super) async fn complain(&mut self) -> Result<(), Found> {
        let Some(id) = self.any_kept() else { return Ok(()) };
        let Some(place) = self.ledger.placed.iter().position(|placed| placed.id == id) else {
            return Ok(());
        };
        let filed = self.ledger.placed[place].complaints;
        if filed >= MOST_COMPLAINTS {
            return Ok(());
        }
        let words = self.random.choice(words::COMPLAINTS).copied().unwrap_or_default();
        // The same words again would be the same complaint.
        let body = json!({"text": format!("{words} ({})", filed + 1)});
        let key = self.key();
        let request = Request::post(format!("/v1/orders/{id}/complaints")).json(&body).key(&key);
        self.session.call(Call::Complain, request, &[201]).await?;
        self.ledger.placed[place].complaints += 1;
        Ok(())
    }

    /// Looks at the newest, and marks one as read.
    pub(super) async fn read_notifications(&mut self) -> Result<(), Found> {
        let call = Call::ListNotifications;
        let request = Request::get("/v1/notifications?unread=true");
        let reply = self.session.call(call, request, &[200]).await?;
        let page: NotificationPage = self.courier().read(call, &reply)?;
        let Some(newest) = page.items.first() else { return Ok(()) };
        let key = self.key();
        let request = Request::post(format!("/v1/notifications/{}/read", newest.id)).key(&key);
        self.session.call(Call::ReadNotification, request, &[200]).await.map(drop)
    }

    /// All that is listed is its own.
    pub(super) async fn look_at_orders(&mut self) -> Result<(), Found> {
        let call = Call::ListOrders;
        let request = Request::get("/v1/orders");
        let reply = self.session.call(call, request, &[200]).await?;
        let page: OrderPage = self.courier().read(call, &reply)?;
        let strange = page.items.iter().find(|order| self.ledger.find(order.id).is_none());
        match strange {
            Some(order) if self.ledger.doubtful == 0 => {
                let what = format!("order {} is none of its own", order.id);
                Err(self.courier().found_in(call, &what, &reply))
            }
            _ => Ok(()),
        }
    }

    fn any_kept(&mut self) -> Option<Uuid> {
        let kept: Vec<Uuid> = self
            .ledger
            .placed
            .iter()
            .filter(|placed| placed.wish == Wish::Keep)
            .map(|placed| placed.id)
            .collect();
        self.random.choice(&kept).copied()
    }
}
