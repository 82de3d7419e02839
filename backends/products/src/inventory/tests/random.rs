//! Random sequences of calls: whatever comes, the books balance.

use proptest::prelude::*;

use super::*;

const PRODUCTS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Step {
    Reserve { order: usize, lines: Vec<(usize, i64)> },
    Commit { order: usize },
    Release { order: usize },
    Expire,
    Supply { product: usize, quantity: i64 },
}

/// Few orders, so that calls meet; few pieces, so that they run out.
fn step() -> impl Strategy<Value = Step> {
    let order = 0_usize..6;
    let lines = proptest::collection::vec((0_usize..PRODUCTS.len(), 1_i64..5), 1..4);
    prop_oneof![
        6 => (order.clone(), lines).prop_map(|(order, lines)| Step::Reserve { order, lines }),
        4 => order.clone().prop_map(|order| Step::Commit { order }),
        3 => order.prop_map(|order| Step::Release { order }),
        1 => Just(Step::Expire),
        1 => (0_usize..PRODUCTS.len(), 1_i64..5)
            .prop_map(|(product, quantity)| Step::Supply { product, quantity }),
    ]
}

async fn take(shelf: &Shelf, orders: &[Uuid], step: &Step) {
    match step {
        Step::Reserve { order, lines } => {
            let lines: Vec<_> =
                lines.iter().map(|(product, quantity)| (PRODUCTS[*product], *quantity)).collect();
            // A panic for what is no answer.
            word(&shelf.reserve(orders[*order], &lines).await);
        }
        Step::Commit { order } => {
            word(&shelf.commit(orders[*order]).await);
        }
        Step::Release { order } => shelf.release(orders[*order]).await.unwrap(),
        Step::Expire => shelf.expire().await,
        Step::Supply { product, quantity } => {
            let mut transaction = shelf.database.begin_write().await.unwrap();
            let (id, context) = (super::product(PRODUCTS[*product]), RequestContext::begin());
            supply(&mut transaction, &id, *quantity, shelf.clock.now(), &context).await.unwrap();
            shelf.database.commit(transaction, "test").await.unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn random_calls_keep_the_books(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let shelf = Shelf::open(&shop_platform::testing::database(), &PRODUCTS.map(|id| (id, 8))).await;
            let orders: Vec<Uuid> = (0..6).map(|_| Uuid::now_v7()).collect();
            for step in &steps {
                take(&shelf, &orders, step).await;
                shelf.audit().await;
            }
            // When every order has been released, everything is back on the shelf.
            for order in orders {
                shelf.release(order).await.unwrap();
            }
            for stock in stock::books(shelf.database.pool()).await.unwrap() {
                assert_eq!(stock.figures.available, stock.figures.supplied);
            }
            shelf.database.close().await;
        });
    }
}
