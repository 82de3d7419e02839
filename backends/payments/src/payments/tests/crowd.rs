//! Many calls at once, on each engine: the processor decides, and everybody comes to know it.

use std::collections::BTreeMap;

use shop_platform::database::is_transient;
use shop_platform::testing::{self, within};
use tokio::task::JoinSet;

use super::*;

/// Repeats what failed for a reason that passes, as orders would.
async fn persist<T, F>(mut call: impl FnMut() -> F) -> Result<T, PaymentError>
where
    F: Future<Output = Result<T, PaymentError>>,
{
    within("an answer that is none to be repeated", async {
        loop {
            match call().await {
                Err(
                    PaymentError::Database(error)
                    | PaymentError::Processor(ProcessorError::Database(error)),
                ) if is_transient(&error) => {}
                Err(PaymentError::Processor(ProcessorError::Unavailable)) => {}
                answer => return answer,
            }
        }
    })
    .await
}

/// Orders that are authorized, captured and undone by several callers at once.
async fn calls_at_once(url: &str) {
    let till = Till::open(url, Latency::default()).await;
    let mut calls = JoinSet::new();
    let mut orders = Vec::new();
    for index in 0..30_usize {
        let card = [GOOD, FLAKY, CAPTURE_FLAKY][index % 3];
        let (order, terms) = (Uuid::now_v7(), till.terms(card, 100).await);
        orders.push(order);
        for which in 0..6 {
            let (till, terms) = (till.clone(), terms.clone());
            calls.spawn(async move {
                match which {
                    0..3 => word(&persist(|| till.authorize(order, &terms)).await),
                    // The last two orders of three are never undone here.
                    3 if index % 3 == 0 => word_of_undo(&persist(|| till.undo(order)).await),
                    _ => word(&persist(|| till.capture(order)).await),
                }
            });
        }
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    till.audit().await;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for kind in till.told().await {
        *kinds.entry(kind).or_default() += 1;
    }
    let count = |kind: &str| kinds.get(kind).copied().unwrap_or_default();
    assert!(count("payment.authorized") >= 20, "{kinds:?}");
    let (payments, _) = till.books().await;
    assert_eq!(payments.captured, i64::try_from(100 * count("payment.captured")).unwrap());
    assert_eq!(payments.refunded, i64::try_from(100 * count("payment.refunded")).unwrap());
    for order in orders {
        persist(|| till.undo(order)).await.unwrap();
    }
    till.audit().await;
    let (payments, _) = till.books().await;
    assert_eq!((payments.held, payments.net), (0, 0));
    till.database.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_at_once_agree_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    calls_at_once(&format!("sqlite:{}/payments.db", directory.path().display())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_at_once_agree_on_postgres() {
    if let Some(server) = testing::postgres() {
        calls_at_once(&server.url("payments_calls_at_once")).await;
    }
}
