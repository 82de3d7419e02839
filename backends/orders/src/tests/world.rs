//! Services for stock and money with books that can be read, and with whatever troubles a test
//! writes into their script.
//!
//! They keep the contract of the protos: calls may be repeated, and undoing an order that was never
//! heard of leaves a mark, so that a late original is refused.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use shop_platform::{BoxFuture, RequestContext};
use tokio::sync::Notify;
use tonic::Code;
use uuid::Uuid;

use crate::lines::{Lines, Money, PricedLine, Quote};
use crate::order::{Order, Reason};
use crate::ports::{Answer, CallError, Inventory, Payments, QuoteError, Undone};

/// What everything costs.
pub(super) const PRICE: i64 = 250;
/// A payment method that is declined.
pub(super) const DECLINED: &str = "pm_declined";
/// One that does not exist.
pub(super) const UNKNOWN: &str = "pm_unknown";

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Nothing,
    /// It does not get there.
    Unavailable,
    /// It has its effect, and the answer is lost.
    AnswerLost,
    /// It gets there, but so many calls later, when nobody waits for it any more.
    Late(usize),
    /// Everything that is held runs out just before.
    Expired,
    /// Whoever calls dies before the call gets there.
    CrashBefore,
    /// Whoever calls dies while the answer is on its way.
    CrashAfter,
    /// The call waits until the test lets it go on.
    Held,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Reserve(Uuid, i64),
    Commit(Uuid),
    Release(Uuid),
    Authorize(Uuid, i64, Method),
    Capture(Uuid),
    Undo(Uuid),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Good,
    Declined,
    Unknown,
}

/// The stock of one order, in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stock {
    Held(i64),
    Sold(i64),
    /// Given back, run out, or never there: no more of this order.
    Released,
}

/// The money of one order, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payment {
    Authorized(i64),
    Declined,
    Captured(i64),
    Undone(Undone),
}

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) available: i64,
    pub(super) stock: BTreeMap<Uuid, Stock>,
    pub(super) payments: BTreeMap<Uuid, Payment>,
    /// Every call that got there.
    pub(super) calls: Vec<Call>,
    script: VecDeque<Trouble>,
    late: Vec<(usize, Call)>,
    prices_down: bool,
}

#[derive(Debug, Default)]
pub(super) struct World {
    books: Mutex<Books>,
    /// Somebody died in a call.
    pub(super) crashed: Notify,
    /// A call that waits is there, and may go on.
    pub(super) held: Notify,
    pub(super) go_on: Notify,
}

impl World {
    pub(super) fn with_stock(available: i64) -> Self {
        let books = Books { available, ..Books::default() };
        Self { books: Mutex::new(books), ..Self::default() }
    }

    /// The troubles of the calls to come, one each; after them all goes well.
    pub(super) fn script(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.books().script = troubles.into_iter().collect();
    }

    pub(super) fn take_prices_down(&self, down: bool) {
        self.books().prices_down = down;
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// What is still on its way gets there.
    pub(super) fn deliver_all(&self) {
        let mut books = self.books();
        for (_, call) in std::mem::take(&mut books.late) {
            let _ = books.execute(call);
        }
    }

    async fn call(&self, call: Call) -> Answer<Undone> {
        let trouble = {
            let mut books = self.books();
            books.deliver_due();
            books.script.pop_front().unwrap_or(Trouble::Nothing)
        };
        match trouble {
            Trouble::Nothing => self.books().execute(call),
            Trouble::Unavailable => Err(CallError::InDoubt(Code::Unavailable)),
            Trouble::AnswerLost => {
                let _ = self.books().execute(call);
                Err(CallError::InDoubt(Code::DeadlineExceeded))
            }
            Trouble::Late(calls) => {
                self.books().late.push((calls, call));
                Err(CallError::InDoubt(Code::DeadlineExceeded))
            }
            Trouble::Expired => {
                let mut books = self.books();
                books.expire();
                books.execute(call)
            }
            Trouble::CrashBefore => {
                self.crashed.notify_one();
                std::future::pending().await
            }
            Trouble::CrashAfter => {
                let _ = self.books().execute(call);
                self.crashed.notify_one();
                std::future::pending().await
            }
            Trouble::Held => {
                self.held.notify_one();
                self.go_on.notified().await;
                self.books().execute(call)
            }
        }
    }
}

impl Books {
    /// Pieces that were sold and not given back.
    pub(super) fn sold(&self) -> i64 {
        let sold = |stock: &Stock| if let Stock::Sold(pieces) = stock { *pieces } else { 0 };
        self.stock.values().map(sold).sum()
    }

    fn deliver_due(&mut self) {
        let mut due = Vec::new();
        self.late.retain_mut(|(calls, call)| {
            if *calls == 0 {
                due.push(*call);
                return false;
            }
            *calls -= 1;
            true
        });
        for call in due {
            let _ = self.execute(call);
        }
    }

    fn expire(&mut self) {
        for stock in self.stock.values_mut() {
            if let Stock::Held(pieces) = *stock {
                self.available += pieces;
                *stock = Stock::Released;
            }
        }
    }

    fn execute(&mut self, call: Call) -> Answer<Undone> {
        self.calls.push(call);
        let nothing = Undone { refunded: false };
        match call {
            Call::Reserve(id, pieces) => match self.stock.get(&id) {
                Some(Stock::Held(_) | Stock::Sold(_)) => Ok(nothing),
                None if self.available >= pieces => {
                    self.available -= pieces;
                    self.stock.insert(id, Stock::Held(pieces));
                    Ok(nothing)
                }
                None | Some(Stock::Released) => Err(CallError::Refused(Reason::OutOfStock)),
            },
            Call::Commit(id) => match self.stock.get(&id).copied() {
                Some(Stock::Held(pieces) | Stock::Sold(pieces)) => {
                    self.stock.insert(id, Stock::Sold(pieces));
                    Ok(nothing)
                }
                None | Some(Stock::Released) => Err(CallError::Refused(Reason::ReservationExpired)),
            },
            Call::Release(id) => {
                let was = self.stock.insert(id, Stock::Released);
                if let Some(Stock::Held(pieces) | Stock::Sold(pieces)) = was {
                    self.available += pieces;
                }
                Ok(nothing)
            }
            Call::Authorize(id, amount, method) => match (self.payments.get(&id), method) {
                (Some(Payment::Authorized(_) | Payment::Captured(_)), _) => Ok(nothing),
                (None, Method::Good) => {
                    self.payments.insert(id, Payment::Authorized(amount));
                    Ok(nothing)
                }
                (None | Some(Payment::Declined), Method::Good | Method::Declined) => {
                    self.payments.insert(id, Payment::Declined);
                    Err(CallError::Refused(Reason::CardDeclined))
                }
                (_, Method::Unknown) | (Some(Payment::Undone(_)), _) => {
                    Err(CallError::Refused(Reason::PaymentRefused))
                }
            },
            Call::Capture(id) => match self.payments.get(&id).copied() {
                Some(Payment::Authorized(amount) | Payment::Captured(amount)) => {
                    self.payments.insert(id, Payment::Captured(amount));
                    Ok(nothing)
                }
                None | Some(Payment::Declined | Payment::Undone(_)) => {
                    Err(CallError::Refused(Reason::PaymentRefused))
                }
            },
            Call::Undo(id) => {
                let undone = match self.payments.get(&id) {
                    Some(Payment::Undone(undone)) => *undone,
                    Some(Payment::Captured(_)) => Undone { refunded: true },
                    None | Some(Payment::Authorized(_) | Payment::Declined) => nothing,
                };
                self.payments.insert(id, Payment::Undone(undone));
                Ok(undone)
            }
        }
    }
}

fn pieces(lines: &[PricedLine]) -> i64 {
    lines.iter().map(|line| i64::from(line.quantity)).sum()
}

fn euros(minor_units: i64) -> Money {
    Money { minor_units, currency: "EUR".to_owned() }
}

impl Inventory for World {
    fn quote<'a>(
        &'a self,
        _: &'a RequestContext,
        lines: &'a Lines,
    ) -> BoxFuture<'a, Result<Quote, QuoteError>> {
        Box::pin(async move {
            if self.books().prices_down {
                return Err(QuoteError::Unavailable(Code::Unavailable));
            }
            if lines.as_slice().iter().any(|line| line.product_id == "unknown") {
                return Err(QuoteError::UnknownProduct);
            }
            let priced = lines.as_slice().iter().map(|line| PricedLine {
                product_id: line.product_id.clone(),
                quantity: line.quantity,
                unit_price: euros(PRICE),
            });
            let priced: Vec<PricedLine> = priced.collect();
            let total = euros(pieces(&priced) * PRICE);
            Quote::try_new(lines, priced, total).ok_or(QuoteError::Nonsense)
        })
    }

    fn reserve<'a>(
        &'a self,
        _: &'a RequestContext,
        order_id: Uuid,
        lines: &'a [PricedLine],
        hold: Duration,
    ) -> BoxFuture<'a, Answer<()>> {
        assert!(hold > Duration::from_secs(29), "held for longer than the saga may take");
        Box::pin(async move { self.call(Call::Reserve(order_id, pieces(lines))).await.map(drop) })
    }

    fn commit<'a>(&'a self, _: &'a RequestContext, id: Uuid) -> BoxFuture<'a, Answer<()>> {
        Box::pin(async move { self.call(Call::Commit(id)).await.map(drop) })
    }

    fn release<'a>(&'a self, _: &'a RequestContext, id: Uuid) -> BoxFuture<'a, Answer<()>> {
        Box::pin(async move { self.call(Call::Release(id)).await.map(drop) })
    }
}

impl Payments for World {
    fn authorize<'a>(
        &'a self,
        _: &'a RequestContext,
        order: &'a Order,
    ) -> BoxFuture<'a, Answer<()>> {
        let method = match order.payment_method().as_str() {
            DECLINED => Method::Declined,
            UNKNOWN => Method::Unknown,
            _ => Method::Good,
        };
        let call = Call::Authorize(order.id(), order.total().minor_units, method);
        Box::pin(async move { self.call(call).await.map(drop) })
    }

    fn capture<'a>(&'a self, _: &'a RequestContext, id: Uuid) -> BoxFuture<'a, Answer<()>> {
        Box::pin(async move { self.call(Call::Capture(id)).await.map(drop) })
    }

    fn undo<'a>(&'a self, _: &'a RequestContext, id: Uuid) -> BoxFuture<'a, Answer<Undone>> {
        Box::pin(async move { self.call(Call::Undo(id)).await })
    }
}
