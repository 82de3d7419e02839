//! Random sequences of calls and crashes: whatever comes, both books agree when it is over.

use proptest::prelude::*;

use super::*;

const CARDS: [&str; 5] = [GOOD, POOR, FLAKY, CAPTURE_FLAKY, GOOD];

#[derive(Debug, Clone, Copy)]
enum Step {
    Authorize(usize),
    Capture(usize),
    Undo(usize),
    /// A call died after the processor did what it was asked.
    Died(usize, Settlement),
}

/// One order for each card, so that calls meet.
fn step() -> impl Strategy<Value = Step> {
    let order = 0..CARDS.len();
    let settlement =
        prop_oneof![Just(Settlement::Capture), Just(Settlement::Void), Just(Settlement::Refund)];
    prop_oneof![
        4 => order.clone().prop_map(Step::Authorize),
        3 => order.clone().prop_map(Step::Capture),
        2 => order.clone().prop_map(Step::Undo),
        1 => (order, settlement).prop_map(|(order, settlement)| Step::Died(order, settlement)),
    ]
}

async fn take(till: &Till, orders: &[(Uuid, Terms)], step: Step) {
    match step {
        Step::Authorize(which) => {
            let (order, terms) = &orders[which];
            // A panic for what is no answer.
            word(&till.authorize(*order, terms).await);
        }
        Step::Capture(which) => {
            word(&till.capture(orders[which].0).await);
        }
        Step::Undo(which) => {
            word_of_undo(&till.undo(orders[which].0).await);
        }
        Step::Died(which, settlement) => died(till, orders[which].0, settlement).await,
    }
}

/// A call asks for a settlement in one state only; it dies before that state changes.
async fn died(till: &Till, order: Uuid, settlement: Settlement) {
    let found = payment::find(till.database.pool(), order).await.unwrap();
    let Some(Record::Payment(payment)) = found else { return };
    let asks = match settlement {
        Settlement::Capture | Settlement::Void => payment.state == State::Authorized,
        Settlement::Refund => payment.state == State::Captured,
    };
    if asks {
        drop(Processor::settle(&*till.processor, order, settlement).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn random_calls_keep_the_books(steps in proptest::collection::vec(step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let till = Till::memory().await;
            let mut orders = Vec::new();
            for (index, card) in (1..).zip(CARDS) {
                orders.push((Uuid::now_v7(), till.terms(card, index * 100).await));
            }
            let mut captured = 0;
            for step in steps {
                take(&till, &orders, step).await;
                let (payments, processor) = till.books().await;
                assert!(payments.captured >= captured, "what was taken stays on record");
                assert!(processor.held >= 0 && processor.net >= 0, "{processor:?}");
                captured = payments.captured;
            }
            for (order, _) in &orders {
                till.undo_at_last(*order).await;
            }
            till.audit().await;
            let (payments, _) = till.books().await;
            assert_eq!((payments.held, payments.net), (0, 0));
            till.database.close().await;
        });
    }
}
