//! The shop's own eyes: reads the books, fills shelves, and looks at customers' things once more
//! behind them. What it sees is judged by [`audit`](crate::audit).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::audit::books::{Books, Deeds};
use crate::audit::visit::{self, Seen, Wrong};
use crate::courier::{Courier, Found};
use crate::customer::Visit;
use crate::documents::{History, NotificationPage, OrderPage, PaymentPage};
use crate::options::Secret;
use crate::record::Call;
use crate::session::{Credentials, Session};
use crate::wire::Request;

/// Between two looks at whether something has come to its end.
const LOOK: Duration = Duration::from_millis(500);
/// After everything fits, what comes twice has so long to come.
const ONCE_MORE: Duration = Duration::from_secs(1);
/// Fewer of a product may run out during the run.
const FEW: i64 = 200;
/// A product that is short gets so many.
const SUPPLY: i64 = 1000;
/// No customer has so many pages of anything.
const MOST_PAGES: u32 = 10_000;

pub(crate) struct Auditor {
    session: Session,
}

impl Auditor {
    pub(crate) async fn begin(courier: Courier, secret: Secret) -> Result<Self, Found> {
        let session = Session::begin(courier, Credentials::Backoffice { secret }).await?;
        Ok(Self { session })
    }

    /// All books. They are of one moment only if nothing is under way.
    pub(crate) async fn books(&self) -> Result<Books, Found> {
        Ok(Books {
            stock: self.read("/v1/stock/books").await?,
            orders: self.read("/v1/orders/books").await?,
            payments: self.read("/v1/payments/books").await?,
        })
    }

    /// The books when no order is under way, or as they are when the time is up.
    pub(crate) async fn quiet_books(&self, until: Instant) -> Result<Books, Found> {
        loop {
            let quiet = self.books().await?;
            if quiet.are_quiet() || Instant::now() >= until {
                // What was under way while they were read may be in one of them only.
                return self.books().await;
            }
            sleep(LOOK).await;
        }
    }

    /// Supplies what is short, so that a run after many others still sells.
    pub(crate) async fn fill_shelves(&self, run: &str, books: &Books) -> Result<Deeds, Found> {
        let mut deeds = Deeds::default();
        for product in books.stock.products.iter().filter(|product| product.available < FEW) {
            let id = &product.product_id;
            let request = Request::post(format!("/v1/products/{id}/supply"))
                .json(&json!({"quantity": SUPPLY}))
                .key(&format!("{run}-{id}"));
            self.session.call(Call::Backoffice, request, &[200]).await?;
            deeds.supply(id, SUPPLY);
        }
        Ok(deeds)
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Found> {
        let reply = self.session.call(Call::Backoffice, Request::get(path), &[200]).await?;
        self.session.courier().read(Call::Backoffice, &reply)
    }
}

/// What the shop says of a customer once everything fits, or when the time is up; and what does
/// not fit then.
pub(crate) async fn settle(
    visit: &Visit,
    until: Instant,
    outages: bool,
) -> Result<(Seen, Vec<Wrong>), Found> {
    let mut fitted = false;
    loop {
        let seen = Box::pin(look(visit)).await?;
        let wrong = visit::check(&visit.ledger, &seen, outages);
        // News that come twice come late: a second look after a while has the last word.
        if fitted || (!wrong.is_empty() && Instant::now() >= until) {
            return Ok((seen, wrong));
        }
        fitted = wrong.is_empty();
        sleep(if fitted { ONCE_MORE } else { LOOK }).await;
    }
}

/// Everything that the shop says of a customer.
async fn look(visit: &Visit) -> Result<Seen, Found> {
    let session = &visit.session;
    let mut seen = Seen { feed: visit.feed.as_ref().map(|feed| feed.told()), ..Seen::default() };
    let mut next = Some("/v1/orders?limit=100".to_owned());
    for _ in 0..MOST_PAGES {
        let Some(path) = next.take() else { break };
        let page: OrderPage = read(session, path).await?;
        seen.orders.extend(page.items);
        next = page.next;
    }
    let mut histories = BTreeMap::new();
    for order in &seen.orders {
        let history: History = read(session, format!("/v1/orders/{}/events", order.id)).await?;
        histories.insert(order.id, history.items);
    }
    seen.histories = histories;
    let mut next = Some("/v1/payments?limit=100".to_owned());
    for _ in 0..MOST_PAGES {
        let Some(path) = next.take() else { break };
        let page: PaymentPage = read(session, path).await?;
        seen.payments.extend(page.items);
        next = page.next.map(|before| format!("/v1/payments?limit=100&before={before}"));
    }
    let mut next = Some("/v1/notifications?limit=100".to_owned());
    for _ in 0..MOST_PAGES {
        let Some(path) = next.take() else { break };
        let page: NotificationPage = read(session, path).await?;
        seen.notifications.extend(page.items);
        next = page.next.map(|before| format!("/v1/notifications?limit=100&before={before}"));
    }
    Ok(seen)
}

async fn read<T: DeserializeOwned>(session: &Session, path: String) -> Result<T, Found> {
    let reply = session.call(Call::Audit, Request::get(path), &[200]).await?;
    session.courier().read(Call::Audit, &reply)
}
