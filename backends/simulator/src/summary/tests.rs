//! What a run says at its end, to people and to programs.

use uuid::Uuid;

use super::*;
use crate::documents::{Money, Order, Payment, PaymentStatus};
use crate::record::{Call, Finding, Recorder};

fn order(state: OrderState, reason: Option<&str>) -> Order {
    Order {
        id: Uuid::nil(),
        state,
        reason: reason.map(str::to_owned),
        refunded: false,
        lines: Vec::new(),
        total: Money { minor_units: 5, currency: "EUR".to_owned() },
        complaints: 1,
        version: 1,
    }
}

fn summary() -> Summary {
    let recorder = Recorder::default();
    for _ in 0..3 {
        recorder.answered(Call::PlaceOrder, Duration::from_micros(1_250));
    }
    recorder.again(Call::PlaceOrder);
    let mut orders = Orders { placed: 3, feeds: 1, ..Orders::default() };
    let declined = Payment {
        order_id: Uuid::nil(),
        amount: Money { minor_units: 5, currency: "EUR".to_owned() },
        status: PaymentStatus::Declined,
        decline_code: Some("card_declined".to_owned()),
    };
    orders.see(&Seen {
        orders: vec![
            order(OrderState::Confirmed, None),
            order(OrderState::Cancelled, Some("customer")),
            order(OrderState::Cancelled, Some("card_declined")),
        ],
        payments: vec![declined],
        ..Seen::default()
    });
    Summary {
        seed: 42,
        customers: 2,
        elapsed: Duration::from_millis(1500),
        records: recorder.take(),
        orders,
        verdict: Verdict::default(),
    }
}

#[test]
fn a_clean_run_says_so() {
    let summary = summary();
    assert!(summary.is_clean());
    let text = summary.to_string();
    for part in [
        "2 customers, 1.5 s, 3 requests, seed 42\n",
        "place order                 3        1        1.2        1.2        1.2\n",
        "3 placed: 1 confirmed, 2 cancelled: 1 card_declined, 1 customer\n",
        "1 declined: 1 card_declined\n",
        "✓ the books balance",
        "✓ no order is lost",
        "✓ no findings",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(!text.contains('✗'), "{text}");
}

#[test]
fn whatever_is_wrong_shows() {
    let check = |spoil: &dyn Fn(&mut Summary), part: &str| {
        let mut summary = summary();
        spoil(&mut summary);
        assert!(!summary.is_clean(), "{part}");
        let (text, json) = (summary.to_string(), summary.to_json());
        assert!(text.contains(part) && text.contains('✗'), "{part:?} in\n{text}");
        assert_eq!(json["clean"], false);
    };
    check(
        &|summary| summary.verdict.books.push(Imbalance::UnderWay(2)),
        "    2 orders are under way\n",
    );
    check(
        &|summary| summary.verdict.visits.push((7, Wrong::Welcomed(2))),
        "    customer 7: welcomed 2 times\n",
    );
    check(&|summary| summary.verdict.unread = true, "✗ not everything could be read");
    let finding = || Finding {
        customer: None,
        call: Call::Feed,
        what: "closed with 1013".to_owned(),
        request_id: None,
    };
    check(
        &|summary| {
            summary.records.found = 1;
            summary.records.findings.push(finding());
        },
        "✗ 1 findings\n    feed: closed with 1013\n",
    );
    check(
        &|summary| {
            summary.records.found = 70;
            summary.records.findings.extend((0..70).map(|_| finding()));
        },
        "    and 40 more\n",
    );
}

#[test]
fn programs_read_the_same() {
    let json = summary().to_json();
    assert_eq!(json["clean"], true);
    assert_eq!(json["requests"], 3);
    assert_eq!(json["calls"]["place order"]["again"], 1);
    assert_eq!(json["orders"]["cancelled"]["customer"], 1);
    assert_eq!(json["declines"]["card_declined"], 1);
}
