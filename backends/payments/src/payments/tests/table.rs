//! Each call on each history, with crashes between the steps of a call: what it answers, where the
//! money is afterwards, and who was told.

use std::time::Duration;

use serde_json::{Value, json};
use shop_platform::testing::until;

use super::*;

const AMOUNT: i64 = 250;

/// What may happen to the payment of an order. The last four are calls that died: after the trace
/// that something is going to be asked, or after the processor did it and before that was written
/// down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Authorize,
    AuthorizeMore,
    Capture,
    Undo,
    DiedBeforeAsking,
    DiedAuthorized,
    DiedSettled(Settlement),
}

use Call::{
    Authorize, AuthorizeMore, Capture, DiedAuthorized, DiedBeforeAsking, DiedSettled, Undo,
};

struct Case {
    till: Till,
    terms: Terms,
    order: Uuid,
}

impl Case {
    async fn new(card: &str) -> Self {
        let till = Till::memory().await;
        let terms = till.terms(card, AMOUNT).await;
        Self { till, terms, order: Uuid::now_v7() }
    }

    async fn run(&self, call: Call) -> &'static str {
        let (till, order) = (&self.till, self.order);
        match call {
            Authorize => word(&till.authorize(order, &self.terms).await),
            AuthorizeMore => {
                let amount = Money::try_new(AMOUNT + 1, "EUR").unwrap();
                let terms = Terms { amount, ..self.terms.clone() };
                word(&till.authorize(order, &terms).await)
            }
            Capture => word(&till.capture(order).await),
            Undo => word_of_undo(&till.undo(order).await),
            DiedBeforeAsking => {
                till.payments.begin(order, &self.terms).await.unwrap();
                "died"
            }
            DiedAuthorized => {
                till.payments.begin(order, &self.terms).await.unwrap();
                let method =
                    method::find(till.database.pool(), self.terms.account, self.terms.method);
                let method = method.await.unwrap().unwrap();
                let (token, expiry) = (method.token, method.expiry);
                let charge = Charge { order, token, expiry, amount: self.terms.amount.clone() };
                Processor::authorize(&*till.processor, &charge).await.unwrap();
                "died"
            }
            DiedSettled(settlement) => {
                Processor::settle(&*till.processor, order, settlement).await.unwrap();
                "died"
            }
        }
    }
}

/// Where the money is: held, captured, refunded.
const NOWHERE: (i64, i64, i64) = (0, 0, 0);
const HELD: (i64, i64, i64) = (AMOUNT, 0, 0);
const TAKEN: (i64, i64, i64) = (0, AMOUNT, 0);
const GIVEN_BACK: (i64, i64, i64) = (0, AMOUNT, AMOUNT);

/// Answers to [`Authorize`], [`AuthorizeMore`], [`Capture`] and [`Undo`], and the books after each.
type Expected = [(&'static str, (i64, i64, i64)); 4];

async fn check(card: &str, history: &[Call], expected: Expected) {
    for (call, (answer, books)) in [Authorize, AuthorizeMore, Capture, Undo].iter().zip(expected) {
        let case = Case::new(card).await;
        for earlier in history {
            case.run(*earlier).await;
        }
        let found = case.run(*call).await;
        let what = format!("card {card}: {history:?}, then {call:?}");
        assert_eq!(found, answer, "{what}");
        let (payments, _) = case.till.books().await;
        assert_eq!((payments.held, payments.captured, payments.refunded), books, "{what}");
        // Whatever it answered at last, it answers again, and changes nothing more.
        let settled = case.run(*call).await;
        let (told, before) = (case.till.told().await, case.till.books().await);
        assert_eq!(case.run(*call).await, settled, "{what}, again and again");
        assert_eq!((case.till.told().await, case.till.books().await), (told, before), "{what}");
        // An undo at the end leaves nothing held, whatever went before.
        case.till.undo_at_last(case.order).await;
        case.till.audit().await;
        assert_eq!((case.till.books().await.0.held, case.till.books().await.0.net), (0, 0));
    }
}

#[tokio::test]
async fn every_call_on_every_history() {
    let none = [("authorized", HELD), ("authorized", (251, 0, 0)), ("! not held", NOWHERE)];
    check(GOOD, &[], [none[0], none[1], none[2], ("nothing", NOWHERE)]).await;
    check(
        GOOD,
        &[Authorize],
        [("authorized", HELD), ("! other payment", HELD), ("captured", TAKEN), ("voided", NOWHERE)],
    )
    .await;
    check(
        GOOD,
        &[Authorize, Capture],
        [
            ("captured", TAKEN),
            ("! other payment", TAKEN),
            ("captured", TAKEN),
            ("refunded", GIVEN_BACK),
        ],
    )
    .await;
    check(
        GOOD,
        &[Authorize, Undo],
        [
            ("! voided", NOWHERE),
            ("! other payment", NOWHERE),
            ("! voided", NOWHERE),
            ("voided", NOWHERE),
        ],
    )
    .await;
    check(
        GOOD,
        &[Authorize, Capture, Undo],
        [
            ("! refunded", GIVEN_BACK),
            ("! other payment", GIVEN_BACK),
            ("! refunded", GIVEN_BACK),
            ("refunded", GIVEN_BACK),
        ],
    )
    .await;
    check(
        GOOD,
        &[Undo],
        [("! voided", NOWHERE), ("! voided", NOWHERE), ("! voided", NOWHERE), ("nothing", NOWHERE)],
    )
    .await;
}

#[tokio::test]
async fn every_call_on_cards_that_make_trouble() {
    check(
        POOR,
        &[Authorize],
        [
            ("declined", NOWHERE),
            ("! other payment", NOWHERE),
            ("! declined", NOWHERE),
            ("declined", NOWHERE),
        ],
    )
    .await;
    check(
        POOR,
        &[Authorize, Undo],
        [
            ("declined", NOWHERE),
            ("! other payment", NOWHERE),
            ("! declined", NOWHERE),
            ("declined", NOWHERE),
        ],
    )
    .await;
    check(
        FLAKY,
        &[],
        [
            ("! unavailable", NOWHERE),
            ("! unavailable", NOWHERE),
            ("! not held", NOWHERE),
            ("nothing", NOWHERE),
        ],
    )
    .await;
    check(
        FLAKY,
        &[Authorize],
        [
            ("authorized", HELD),
            ("! other payment", NOWHERE),
            ("! not held", NOWHERE),
            ("voided", NOWHERE),
        ],
    )
    .await;
    check(
        CAPTURE_FLAKY,
        &[Authorize],
        [
            ("authorized", HELD),
            ("! other payment", HELD),
            ("! unavailable", HELD),
            ("voided", NOWHERE),
        ],
    )
    .await;
    check(
        CAPTURE_FLAKY,
        &[Authorize, Capture],
        [("authorized", HELD), ("! other payment", HELD), ("captured", TAKEN), ("voided", NOWHERE)],
    )
    .await;
}

#[tokio::test]
async fn every_call_after_every_crash() {
    let unanswered = [
        ("authorized", HELD),
        ("! other payment", NOWHERE),
        ("! not held", NOWHERE),
        ("voided", NOWHERE),
    ];
    check(GOOD, &[DiedBeforeAsking], unanswered).await;
    check(GOOD, &[DiedAuthorized], unanswered).await;
    check(
        POOR,
        &[DiedAuthorized],
        [
            ("declined", NOWHERE),
            ("! other payment", NOWHERE),
            ("! not held", NOWHERE),
            ("declined", NOWHERE),
        ],
    )
    .await;
    check(
        FLAKY,
        &[DiedBeforeAsking],
        [
            ("! unavailable", NOWHERE),
            ("! other payment", NOWHERE),
            ("! not held", NOWHERE),
            ("! unavailable", NOWHERE),
        ],
    )
    .await;
    check(
        GOOD,
        &[Authorize, DiedSettled(Settlement::Capture)],
        [
            ("authorized", HELD),
            ("! other payment", HELD),
            ("captured", TAKEN),
            ("refunded", GIVEN_BACK),
        ],
    )
    .await;
    check(
        GOOD,
        &[Authorize, DiedSettled(Settlement::Void)],
        [
            ("authorized", HELD),
            ("! other payment", HELD),
            ("! voided", NOWHERE),
            ("voided", NOWHERE),
        ],
    )
    .await;
    check(
        GOOD,
        &[Authorize, Capture, DiedSettled(Settlement::Refund)],
        [
            ("captured", TAKEN),
            ("! other payment", TAKEN),
            ("captured", TAKEN),
            ("refunded", GIVEN_BACK),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_authorization_that_is_repeated_after_a_crash_charges_once() {
    let case = Case::new(GOOD).await;
    case.run(DiedAuthorized).await;
    assert_eq!(case.run(Authorize).await, "authorized");
    assert_eq!(case.run(Authorize).await, "authorized");
    let (_, processor) = case.till.books().await;
    assert_eq!(processor.held, AMOUNT);
    assert_eq!(case.till.told().await, ["payment.authorized"]);
}

#[tokio::test]
async fn every_documented_decline_has_its_code() {
    for (number, code) in [
        ("4000000000009995", "insufficient_funds"),
        ("4000000000000002", "card_declined"),
        ("4000000000000069", "expired_card"),
        ("4100000000000019", "fraud_suspected"),
    ] {
        let till = Till::memory().await;
        let terms = till.terms(number, AMOUNT).await;
        let payment = till.authorize(Uuid::now_v7(), &terms).await.unwrap();
        assert_eq!(payment.state.decline_code().map(|code| code.name()), Some(code));
        assert_eq!(till.told().await, ["payment.declined"]);
    }
}

#[tokio::test]
async fn a_card_that_has_expired_meanwhile_is_declined() {
    let till = Till::memory().await;
    let terms = till.terms(GOOD, AMOUNT).await;
    till.clock.advance(Duration::from_secs(60 * 24 * 3600));
    let payment = till.authorize(Uuid::now_v7(), &terms).await.unwrap();
    assert_eq!(payment.state.decline_code().map(|code| code.name()), Some("expired_card"));
}

#[tokio::test]
async fn a_method_pays_for_its_own_account() {
    let till = Till::memory().await;
    let terms = till.terms(GOOD, AMOUNT).await;
    let others = Terms { account: Uuid::now_v7(), ..terms.clone() };
    assert_eq!(word(&till.authorize(Uuid::now_v7(), &others).await), "! unknown method");
    let unknown = Terms { method: Uuid::now_v7(), ..terms.clone() };
    let order = Uuid::now_v7();
    assert_eq!(word(&till.authorize(order, &unknown).await), "! unknown method");
    assert_eq!(word(&till.authorize(order, &terms).await), "authorized", "no trace was left");
}

#[tokio::test]
async fn nothing_may_be_paid_for() {
    let till = Till::memory().await;
    let (terms, order) = (till.terms(GOOD, 0).await, Uuid::now_v7());
    assert_eq!(word(&till.authorize(order, &terms).await), "authorized");
    assert_eq!(word(&till.capture(order).await), "captured");
    assert_eq!(word_of_undo(&till.undo(order).await), "refunded");
}

#[tokio::test]
async fn events_tell_whose_money_went_where() {
    let case = Case::new(GOOD).await;
    for call in [Authorize, Capture, Undo] {
        case.run(call).await;
        case.run(call).await;
    }
    assert_eq!(
        case.till.told().await,
        ["payment.authorized", "payment.captured", "payment.refunded"]
    );
    let text: String = sqlx::query_scalar("SELECT event FROM outbox ORDER BY id LIMIT 1")
        .fetch_one(case.till.database.pool())
        .await
        .unwrap();
    let event: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&event["subject"], &event["source"]), (&json!(case.order), &json!("payments")));
    let Ok(Undone::Payment(payment)) = case.till.undo(case.order).await else { panic!() };
    let expected = json!({"payment_id": payment.id, "order_id": case.order,
        "account_id": case.terms.account,
        "amount": {"minor_units": AMOUNT, "currency": "EUR"}});
    assert_eq!(event["data"], expected);
}

#[tokio::test]
async fn a_slow_card_takes_its_time() {
    let slow = Duration::from_secs(3600);
    let till =
        Till::open(&shop_platform::testing::database(), Latency { always: Duration::ZERO, slow })
            .await;
    let (quick, waiting) = (till.terms(GOOD, AMOUNT).await, till.terms(SLOW, AMOUNT).await);
    assert_eq!(word(&till.authorize(Uuid::now_v7(), &quick).await), "authorized");
    let order = Uuid::now_v7();
    let call = {
        let till = till.clone();
        tokio::spawn(async move { till.authorize(order, &waiting).await.map(drop) })
    };
    // Its trace is there before the processor is asked.
    until("the trace of a call", async || {
        payment::find(till.database.pool(), order).await.unwrap().is_some()
    })
    .await;
    assert_eq!(word(&till.capture(order).await), "! not held", "it holds nobody up");
    assert!(!call.is_finished(), "it waits for the processor");
    call.abort();
}

#[tokio::test]
async fn whoever_hangs_up_on_a_slow_card_learns_the_answer_by_asking_again() {
    let slow = Duration::from_millis(200);
    let till =
        Till::open(&shop_platform::testing::database(), Latency { always: Duration::ZERO, slow })
            .await;
    let (order, terms) = (Uuid::now_v7(), till.terms(SLOW, AMOUNT).await);
    let begun = std::time::Instant::now();
    // No caller waits for as long as it thinks. On a busy machine, the first may hang up before they
    // have asked it, and later ones before they have read its answer.
    until("the answer for those who ask again", async || {
        match tokio::time::timeout(slow / 4, till.authorize(order, &terms)).await {
            Ok(answer) => {
                assert_eq!(word(&answer), "authorized");
                true
            }
            Err(_) => false,
        }
    })
    .await;
    assert!(begun.elapsed() >= slow, "it thinks for longer than any of them waits");
    till.audit().await;
}
