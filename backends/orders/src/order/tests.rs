//! The aggregate by tables: what has happened, what is asked, what follows.

use serde_json::json;

use super::*;
use Command::{Cancel, Complain, Confirm, FinishCancelling, Record};

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

fn placed() -> OrderEvent {
    let price = Money { minor_units: 250, currency: "EUR".to_owned() };
    OrderEvent::Placed(Placed {
        account_id: Uuid::from_u128(7),
        lines: vec![PricedLine {
            product_id: "lamp".to_owned(),
            quantity: 2,
            unit_price: price.clone(),
        }],
        total: Money { minor_units: 500, ..price },
        payment_method: PaymentMethod::try_new("pm_1".to_owned()).unwrap(),
    })
}

fn order(events: &[OrderEvent]) -> Order {
    let mut order = Order::begin(Uuid::from_u128(1), &placed(), at(1)).unwrap();
    for (seconds, event) in (2..).zip(events) {
        order.apply(event, at(seconds));
    }
    order
}

const FORWARD: [Fact; 4] =
    [Fact::StockReserved, Fact::PaymentAuthorized, Fact::StockCommitted, Fact::PaymentCaptured];
const VOIDED: Fact = Fact::PaymentUndone { refunded: false };
const REFUNDED: Fact = Fact::PaymentUndone { refunded: true };

fn facts(facts: &[Fact]) -> Vec<OrderEvent> {
    facts.iter().map(|fact| fact.event()).collect()
}

fn cancelling(reason: Reason) -> OrderEvent {
    OrderEvent::Cancelling { reason }
}

/// The events of an order that is in `state`.
fn history(state: State) -> Vec<OrderEvent> {
    let end = OrderEvent::Cancelled { reason: Reason::OutOfStock, refunded: false };
    match state {
        State::Pending => vec![],
        State::Confirmed => [facts(&FORWARD), vec![OrderEvent::Confirmed {}]].concat(),
        State::Cancelling => vec![cancelling(Reason::OutOfStock)],
        State::Cancelled => vec![cancelling(Reason::OutOfStock), end],
    }
}

#[test]
fn commands_are_answered_by_the_state() {
    enum Answer {
        Event(OrderEvent),
        Nothing,
        OutOfTurn,
    }
    use Answer::{Event, Nothing, OutOfTurn};
    let check = |state: State, command: Command, expected: Answer| {
        let expected = match expected {
            Event(event) => Ok(vec![event]),
            Nothing => Ok(vec![]),
            OutOfTurn => Err(Refusal::OutOfTurn(state)),
        };
        let found = order(&history(state)).decide(command.clone());
        assert_eq!(found, expected, "{command:?} when {state:?}");
    };
    let cancelled = OrderEvent::Cancelled { reason: Reason::OutOfStock, refunded: false };
    for fact in FORWARD {
        check(State::Pending, Record(fact), Event(fact.event()));
        check(State::Confirmed, Record(fact), Nothing);
        check(State::Cancelling, Record(fact), Event(fact.event()));
        check(State::Cancelled, Record(fact), OutOfTurn);
    }
    for fact in [VOIDED, REFUNDED, Fact::StockReleased] {
        check(State::Pending, Record(fact), OutOfTurn);
        check(State::Confirmed, Record(fact), OutOfTurn);
        check(State::Cancelling, Record(fact), Event(fact.event()));
        check(State::Cancelled, Record(fact), OutOfTurn);
    }
    check(State::Pending, Confirm, OutOfTurn);
    check(State::Confirmed, Confirm, Nothing);
    check(State::Cancelling, Confirm, OutOfTurn);
    check(State::Cancelled, Confirm, OutOfTurn);
    for reason in Reason::ALL {
        let after = if reason == Reason::Customer { Event(cancelling(reason)) } else { OutOfTurn };
        check(State::Pending, Cancel(reason), Event(cancelling(reason)));
        check(State::Confirmed, Cancel(reason), after);
        check(State::Cancelling, Cancel(reason), Nothing);
        check(State::Cancelled, Cancel(reason), Nothing);
    }
    check(State::Pending, FinishCancelling, OutOfTurn);
    check(State::Confirmed, FinishCancelling, OutOfTurn);
    check(State::Cancelling, FinishCancelling, Event(cancelled));
    check(State::Cancelled, FinishCancelling, Nothing);
    for state in [State::Pending, State::Confirmed, State::Cancelling, State::Cancelled] {
        let text = "It squeaks.".to_owned();
        check(state, Complain(text.clone()), Event(OrderEvent::Complained { text }));
    }
}

#[test]
fn only_a_whole_purchase_is_confirmed() {
    for missing in 0..FORWARD.len() {
        let mut done = FORWARD.to_vec();
        done.remove(missing);
        let found = order(&facts(&done)).decide(Confirm);
        assert_eq!(found, Err(Refusal::OutOfTurn(State::Pending)), "without {missing}");
    }
    assert_eq!(order(&facts(&FORWARD)).decide(Confirm), Ok(vec![OrderEvent::Confirmed {}]));
}

#[test]
fn what_has_happened_happens_once() {
    let mut events = facts(&FORWARD);
    events.extend([cancelling(Reason::Customer), REFUNDED.event()]);
    let order = order(&events);
    for fact in [FORWARD.as_slice(), &[VOIDED, REFUNDED]].concat() {
        assert_eq!(order.decide(Record(fact)), Ok(vec![]), "{fact:?}");
    }
}

#[test]
fn a_cancelled_order_tells_the_first_reason_and_whether_money_came_back() {
    for (fact, refunded) in [(VOIDED, false), (REFUNDED, true)] {
        let order = order(&[cancelling(Reason::TimedOut), fact.event()]);
        let expected = OrderEvent::Cancelled { reason: Reason::TimedOut, refunded };
        assert_eq!(order.decide(FinishCancelling), Ok(vec![expected]));
    }
}

#[test]
fn complaints_are_kept_once_each_and_not_without_end() {
    let mut order = order(&[]);
    for number in 0..MAX_COMPLAINTS {
        let events = order.decide(Complain(format!("It squeaks, {number}."))).unwrap();
        order.apply(&events[0], at(9));
    }
    assert_eq!(order.decide(Complain("It squeaks, 0.".to_owned())), Ok(vec![]));
    let one_more = order.decide(Complain("It hums.".to_owned()));
    assert_eq!(one_more, Err(Refusal::TooManyComplaints));
}

#[test]
fn an_order_is_as_old_as_its_events() {
    let order = order(&history(State::Confirmed));
    assert_eq!((order.version(), order.state()), (6, State::Confirmed));
    assert_eq!((order.placed_at(), order.changed_at()), (at(1), at(6)));
    assert!(Order::begin(Uuid::nil(), &OrderEvent::Confirmed {}, at(1)).is_none());
}

#[test]
fn an_order_survives_being_written_down() {
    let events = [history(State::Confirmed), vec![cancelling(Reason::Customer), REFUNDED.event()]];
    let order = order(&events.concat());
    let text = serde_json::to_string(&order).unwrap();
    assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order);
}

#[test]
fn events_are_read_as_they_were_written() {
    let mut events = facts(&[&FORWARD[..], &[VOIDED, REFUNDED, Fact::StockReleased]].concat());
    events.push(placed());
    events.push(OrderEvent::Confirmed {});
    events.push(cancelling(Reason::FraudSuspected));
    events.push(OrderEvent::Cancelled { reason: Reason::Customer, refunded: true });
    events.push(OrderEvent::Complained { text: "\"\u{1f30a}\n".to_owned() });
    for event in events {
        let written = event.write();
        assert_eq!(OrderEvent::read(event.kind(), &written).unwrap(), event, "{written}");
    }
}

#[test]
fn events_of_other_times_are_read_or_refused_but_never_guessed() {
    let check = |kind: &str, data: &str, expected: Option<OrderEvent>| {
        assert_eq!(OrderEvent::read(kind, data).ok(), expected, "{kind} {data}");
    };
    let cancelled = OrderEvent::Cancelled { reason: Reason::TimedOut, refunded: false };
    check("confirmed", "{}", Some(OrderEvent::Confirmed {}));
    check("confirmed", r#"{"v":1,"mood":"good"}"#, Some(OrderEvent::Confirmed {}));
    check("cancelled", r#"{"v":1,"reason":"timed_out","refunded":false}"#, Some(cancelled));
    check("cancelled", r#"{"v":2,"reason":"timed_out","refunded":false}"#, None);
    check("cancelled", r#"{"v":"1","reason":"timed_out","refunded":false}"#, None);
    check("cancelled", r#"{"v":1,"reason":"boredom","refunded":false}"#, None);
    check("cancelled", r#"{"v":1}"#, None);
    check("wrapped", "{}", None);
    check("confirmed", "{", None);
    assert_eq!(json!(OrderEvent::Confirmed {}.data()), json!({}));
}
