//! Everything that happens in a shop, once: what a proof lets happen while it makes trouble.

use std::sync::Arc;

use crate::backoffice::Backoffice;
use crate::customer::{Card, Customer, End};
use crate::goods::{PLENTY, SCARCE};
use crate::world::World;

/// What one round of it needs at most.
const SUPPLY: i64 = 10;

/// A registration, a supply, an order for each way that an order can go, a complaint, a
/// notification that is read. `name` is new to the world. What does not end as it must is a broken
/// promise.
pub async fn everything(world: &Arc<World>, name: &str) {
    let supply = async {
        let mut backoffice = Backoffice::open(world).await;
        backoffice.supply(&format!("supply-{name}"), PLENTY, SUPPLY).await;
    };
    let arrival = async {
        let mut customer = Customer::register(world, name).await;
        let cards = Cards::add(&mut customer).await;
        (customer, cards)
    };
    // Boxed, here and below: together they are large.
    let ((), (customer, cards)) = tokio::join!(Box::pin(supply), Box::pin(arrival));
    let story = Story { world, customer, cards };
    tokio::join!(
        Box::pin(story.bought()),
        Box::pin(story.declined()),
        Box::pin(story.out_of_stock()),
        Box::pin(story.cancelled_before()),
        Box::pin(story.cancelled_after()),
        Box::pin(story.bought_at_the_second_try()),
    );
    let mut customer = story.customer;
    let notification = customer.notification("order.confirmed").await;
    customer.read(&notification).await;
}

/// Payment methods, by their ids.
struct Cards {
    good: String,
    declined: String,
    slow: String,
    wobbly: String,
}

impl Cards {
    async fn add(customer: &mut Customer) -> Self {
        Self {
            good: customer.add_card(Card::Good).await,
            declined: customer.add_card(Card::Declined).await,
            slow: customer.add_card(Card::Slow).await,
            wobbly: customer.add_card(Card::Wobbly).await,
        }
    }
}

struct Story<'a> {
    world: &'a World,
    customer: Customer,
    cards: Cards,
}

impl Story<'_> {
    async fn bought(&self) {
        let mut customer = self.customer.clone();
        let order = customer.place("bought", PLENTY, 2, &self.cards.good).await;
        // Whoever sends it twice has ordered once.
        customer.place("bought", PLENTY, 2, &self.cards.good).await;
        self.must_end(customer.end(&order).await, "confirmed", None, false);
        customer.complain(&order, "It squeaks.").await;
    }

    async fn declined(&self) {
        let mut customer = self.customer.clone();
        let order = customer.place("declined", PLENTY, 1, &self.cards.declined).await;
        self.must_end(customer.end(&order).await, "cancelled", Some("card_declined"), false);
    }

    async fn out_of_stock(&self) {
        let mut customer = self.customer.clone();
        let order = customer.place("out-of-stock", SCARCE, 1, &self.cards.good).await;
        self.must_end(customer.end(&order).await, "cancelled", Some("out_of_stock"), false);
    }

    /// While the processor thinks about the card, so that the authorization is there to be voided;
    /// after a death meanwhile there may be money to give back.
    async fn cancelled_before(&self) {
        let mut customer = self.customer.clone();
        let order = customer.place("cancelled-before", PLENTY, 1, &self.cards.slow).await;
        customer.payment_begun(&order).await;
        customer.cancel(&order).await;
        let end = customer.end(&order).await;
        let refunded = end.refunded;
        self.must_end(end, "cancelled", Some("customer"), refunded);
    }

    async fn cancelled_after(&self) {
        let mut customer = self.customer.clone();
        let order = customer.place("cancelled-after", PLENTY, 1, &self.cards.good).await;
        self.must_end(customer.end(&order).await, "confirmed", None, false);
        customer.cancel(&order).await;
        self.must_end(customer.end(&order).await, "cancelled", Some("customer"), true);
    }

    async fn bought_at_the_second_try(&self) {
        let mut customer = self.customer.clone();
        let order = customer.place("second-try", PLENTY, 1, &self.cards.wobbly).await;
        self.must_end(customer.end(&order).await, "confirmed", None, false);
    }

    fn must_end(&self, end: End, state: &str, reason: Option<&str>, refunded: bool) {
        let (state, reason) = (state.to_owned(), reason.map(str::to_owned));
        let right = End { state, reason, refunded };
        if end != right {
            self.world.promises.broke(format!("an order ended as {end:?}, not as {right:?}"));
        }
    }
}
