//! Payments of orders: every call on every history, crashes between their steps, random
//! histories, and many calls at once.

use prometheus::Registry;
use shop_platform::testing::until;
use shop_platform::{ManualClock, UnixTime};

use super::*;
use crate::books::{self, Totals};
use crate::card::{CardNumber, Expiry};
use crate::method::Method;
use crate::money::Money;
use crate::processor::{Latency, Simulated};

mod crowd;
mod random;
mod table;

const GOOD: &str = "4242424242424242";
const POOR: &str = "4000000000009995";
const FLAKY: &str = "4000000000000119";
const CAPTURE_FLAKY: &str = "4000000000000341";
const SLOW: &str = "4000000000000101";

/// Payments, the processor behind them, and a clock that stands still.
#[derive(Clone)]
struct Till {
    payments: Payments,
    processor: Arc<Simulated>,
    database: Database,
    clock: Arc<ManualClock>,
}

impl Till {
    async fn open(url: &str, latency: Latency) -> Self {
        let database = Database::open(url, crate::MIGRATIONS).await.unwrap();
        let clock = Arc::new(ManualClock::at(UnixTime::from_seconds(1_700_000_000)));
        let processor = Arc::new(Simulated::new(database.clone(), clock.clone(), latency));
        let metrics = PaymentMetrics::try_new(&Registry::new()).unwrap();
        let payments = Payments::new(database.clone(), clock.clone(), processor.clone(), metrics);
        Self { payments, processor, database, clock }
    }

    async fn memory() -> Self {
        Self::open(&shop_platform::testing::database(), Latency::default()).await
    }

    /// Terms of a new account that pays by a card of this number, good to the end of 2023.
    async fn terms(&self, number: &str, minor_units: i64) -> Terms {
        let number = CardNumber::try_new(number).unwrap();
        let token = Processor::tokenize(&*self.processor, &number).await.unwrap();
        let account = Uuid::now_v7();
        let expiry = Expiry::try_new(12, 2023).unwrap();
        let method = Method::new(account, &number, expiry, token, self.clock.now());
        let mut transaction = self.database.begin_write().await.unwrap();
        method::insert(&mut transaction, &method).await.unwrap();
        self.database.commit(transaction, "test").await.unwrap();
        let amount = Money::try_new(minor_units, "EUR").unwrap();
        Terms { account, method: method.id, amount }
    }

    async fn authorize(&self, order: Uuid, terms: &Terms) -> Result<Payment, PaymentError> {
        self.payments.authorize(order, terms, &RequestContext::begin()).await
    }

    async fn capture(&self, order: Uuid) -> Result<Payment, PaymentError> {
        self.payments.capture(order, &RequestContext::begin()).await
    }

    async fn undo(&self, order: Uuid) -> Result<Undone, PaymentError> {
        self.payments.undo(order, &RequestContext::begin()).await
    }

    /// A card's processor may be away once.
    async fn undo_at_last(&self, order: Uuid) {
        until("a payment is undone", async || {
            word_of_undo(&self.undo(order).await) != "! unavailable"
        })
        .await;
    }

    /// The kinds of all events so far, in their order.
    async fn told(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT kind FROM outbox ORDER BY id")
            .fetch_all(self.database.pool())
            .await
            .unwrap()
    }

    /// The books in euros: this service's, and the processor's.
    async fn books(&self) -> (Totals, Totals) {
        let books = books::books(self.database.pool()).await.unwrap();
        books.first().map(|books| (books.payments, books.processor)).unwrap_or_default()
    }

    /// Both books agree, and nothing was done twice.
    async fn audit(&self) {
        let (payments, processor) = self.books().await;
        assert_eq!(payments, processor);
        assert!(payments.held >= 0 && payments.net >= 0, "{payments:?}");
        let twice: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT order_id FROM processor_operations \
             GROUP BY order_id, operation HAVING count(*) > 1) AS twice",
        )
        .fetch_one(self.database.pool())
        .await
        .unwrap();
        assert_eq!(twice, 0);
    }
}

/// The word for an answer.
fn word(answer: &Result<Payment, PaymentError>) -> &'static str {
    match answer {
        Ok(payment) => payment.state.name(),
        Err(error) => refusal(error),
    }
}

fn word_of_undo(answer: &Result<Undone, PaymentError>) -> &'static str {
    match answer {
        Ok(Undone::Payment(payment)) => payment.state.name(),
        Ok(Undone::Nothing { .. }) => "nothing",
        Err(error) => refusal(error),
    }
}

fn refusal(error: &PaymentError) -> &'static str {
    match error {
        PaymentError::UnknownMethod => "! unknown method",
        PaymentError::OtherPayment => "! other payment",
        PaymentError::Voided => "! voided",
        PaymentError::Refunded => "! refunded",
        PaymentError::Declined => "! declined",
        PaymentError::NotHeld => "! not held",
        PaymentError::Processor(ProcessorError::Unavailable) => "! unavailable",
        PaymentError::Processor(_)
        | PaymentError::Disagreement { .. }
        | PaymentError::Database(_) => panic!("{error}"),
    }
}
