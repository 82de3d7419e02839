//! Whether an order may have come to the end that it came to.

use crate::audit::ledger::{Placed, Wish};
use crate::documents::{Order, OrderState};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndFault {
    #[error("it did not end, it is {0:?}")]
    Unfinished(OrderState),
    #[error("it was confirmed with a card that is declined ({0})")]
    PaidByDeclinedCard(&'static str),
    #[error("it is confirmed although its customer cancelled it")]
    NotCancelled,
    #[error("it was cancelled for {0:?}, which is not so")]
    Reason(String),
    #[error("it was cancelled without a reason")]
    NoReason,
}

/// What is wrong with the end of an order, if anything is.
pub(crate) fn judge(placed: &Placed, order: &Order, outages: bool) -> Result<(), EndFault> {
    match (order.state, placed.card.decline_code()) {
        (OrderState::Pending | OrderState::Cancelling, _) => Err(EndFault::Unfinished(order.state)),
        (OrderState::Confirmed, Some(code)) => Err(EndFault::PaidByDeclinedCard(code)),
        (OrderState::Confirmed, None) if placed.wish == Wish::Cancelled => {
            Err(EndFault::NotCancelled)
        }
        (OrderState::Confirmed, None) => Ok(()),
        (OrderState::Cancelled, code) => {
            let reason = order.reason.as_deref().ok_or(EndFault::NoReason)?;
            let so = match reason {
                "customer" => placed.wish != Wish::Keep,
                "out_of_stock" => true,
                "timed_out" | "reservation_expired" => outages,
                declined => code == Some(declined),
            };
            if so { Ok(()) } else { Err(EndFault::Reason(reason.to_owned())) }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::card::Card;
    use crate::documents::Money;

    #[test]
    fn an_end_follows_from_the_card_and_the_customers_wish() {
        use OrderState::{Cancelled, Cancelling, Confirmed, Pending};
        let check = |card, wish, state, reason: Option<&str>, expected: Result<(), EndFault>| {
            let placed = Placed { wish, ..Placed::new(Uuid::nil(), card) };
            let order = Order {
                id: Uuid::nil(),
                state,
                reason: reason.map(str::to_owned),
                refunded: false,
                lines: Vec::new(),
                total: Money { minor_units: 0, currency: "EUR".to_owned() },
                complaints: 0,
                version: 1,
            };
            let found = judge(&placed, &order, false);
            assert_eq!(found, expected, "{card:?} {wish:?} {state:?} {reason:?}");
            let outages = matches!(reason, Some("timed_out" | "reservation_expired"));
            assert_eq!(judge(&placed, &order, true).is_ok(), expected.is_ok() || outages);
        };
        let (good, poor) = (Card::Good, Card::InsufficientFunds);
        let (keep, maybe, gone) = (Wish::Keep, Wish::MayCancel, Wish::Cancelled);
        let wrong = |reason: &str| Err(EndFault::Reason(reason.to_owned()));
        check(good, keep, Confirmed, None, Ok(()));
        check(Card::CaptureFailsOnce, keep, Confirmed, None, Ok(()));
        check(good, maybe, Confirmed, None, Ok(()));
        check(good, gone, Confirmed, None, Err(EndFault::NotCancelled));
        let declined = EndFault::PaidByDeclinedCard("insufficient_funds");
        check(poor, keep, Confirmed, None, Err(declined));
        check(good, keep, Pending, None, Err(EndFault::Unfinished(Pending)));
        check(good, gone, Cancelling, Some("customer"), Err(EndFault::Unfinished(Cancelling)));
        check(good, gone, Cancelled, Some("customer"), Ok(()));
        check(good, maybe, Cancelled, Some("customer"), Ok(()));
        check(good, keep, Cancelled, Some("customer"), wrong("customer"));
        check(good, keep, Cancelled, Some("out_of_stock"), Ok(()));
        check(poor, keep, Cancelled, Some("insufficient_funds"), Ok(()));
        check(poor, gone, Cancelled, Some("insufficient_funds"), Ok(()));
        check(poor, keep, Cancelled, Some("card_declined"), wrong("card_declined"));
        check(good, keep, Cancelled, Some("card_declined"), wrong("card_declined"));
        check(good, keep, Cancelled, Some("payment_refused"), wrong("payment_refused"));
        check(good, keep, Cancelled, Some("timed_out"), wrong("timed_out"));
        check(good, keep, Cancelled, Some("reservation_expired"), wrong("reservation_expired"));
        check(good, keep, Cancelled, None, Err(EndFault::NoReason));
    }
}
