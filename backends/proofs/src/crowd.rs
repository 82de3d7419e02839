//! Customers who order, and sometimes cancel, for as long as they are let.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::backoffice::Backoffice;
use crate::customer::{Card, Customer};
use crate::goods::PLENTY;
use crate::world::World;

/// More than any crowd buys.
const SUPPLY: i64 = 100_000;

/// They are there until they are told to go home. Dropping it breaks them off.
#[derive(Debug)]
pub struct Crowd {
    customers: JoinSet<()>,
    closing: Arc<AtomicBool>,
    ends: watch::Receiver<u64>,
}

impl Crowd {
    /// Each of them draws from the seed, so that each does the same again, if not at the same time.
    pub async fn gather(world: &Arc<World>, customers: u64, seed: u64) -> Self {
        let mut backoffice = Backoffice::open(world).await;
        backoffice.supply("supply-crowd", PLENTY, SUPPLY).await;
        let closing = Arc::new(AtomicBool::new(false));
        let (ended, ends) = watch::channel(0);
        let ended = Arc::new(ended);
        let mut crowd = JoinSet::new();
        for number in 0..customers {
            let mut customer = Customer::register(world, &format!("crowd-{number}")).await;
            let good = customer.add_card(Card::Good).await;
            let declined = customer.add_card(Card::Declined).await;
            let slow = customer.add_card(Card::Slow).await;
            let rng = Rng::with_seed(seed.wrapping_add(number));
            let (closing, ended) = (Arc::clone(&closing), Arc::clone(&ended));
            let visitor = Visitor { customer, good, declined, slow, rng };
            crowd.spawn(visitor.shop(closing, ended));
        }
        Self { customers: crowd, closing, ends }
    }

    /// Orders that have come to an end so far.
    pub fn ends(&self) -> u64 {
        *self.ends.borrow()
    }

    /// Waits until so many more orders have ended; gives up after `within`.
    pub async fn more_ends(&mut self, count: u64, within: Duration) -> bool {
        let goal = self.ends() + count;
        matches!(timeout(within, self.ends.wait_for(|ends| *ends >= goal)).await, Ok(Ok(_)))
    }

    /// Waits until everyone has seen their last order through. Tells how many orders there were.
    pub async fn go_home(mut self) -> u64 {
        self.closing.store(true, Ordering::Relaxed);
        while let Some(gone) = self.customers.join_next().await {
            gone.unwrap();
        }
        self.ends()
    }
}

struct Visitor {
    customer: Customer,
    good: String,
    declined: String,
    slow: String,
    rng: Rng,
}

impl Visitor {
    async fn shop(mut self, closing: Arc<AtomicBool>, ended: Arc<watch::Sender<u64>>) {
        let mut number = 0;
        while !closing.load(Ordering::Relaxed) {
            number += 1;
            self.order(&format!("order-{number}")).await;
            ended.send_modify(|ends| *ends += 1);
        }
    }

    /// One order in one of its ways. Under trouble it may also time out: that is for the audit.
    async fn order(&mut self, key: &str) {
        let (quantity, chance) = (self.rng.u32(1..=3), self.rng.u32(..10));
        let card = match chance {
            0 => &self.declined,
            1 | 2 => &self.slow,
            _ => &self.good,
        };
        let order = self.customer.place(key, PLENTY, quantity, card).await;
        // Of those with the slow card one changes their mind before the confirmation.
        if chance == 1 {
            self.customer.cancel(&order).await;
        }
        let end = self.customer.end(&order).await;
        if chance == 3 && end.state == "confirmed" {
            self.customer.cancel(&order).await;
            self.customer.end(&order).await;
        }
    }
}
