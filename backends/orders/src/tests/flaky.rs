//! Services that answer as chance has it: in the end the books agree, whatever happened.

use proptest::prelude::*;

use super::world::{DECLINED, Trouble};
use super::*;

const STOCK: i64 = 8;

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        6 => Just(Trouble::Nothing),
        2 => Just(Trouble::Unavailable),
        3 => Just(Trouble::AnswerLost),
        3 => (0_usize..12).prop_map(Trouble::Late),
        1 => Just(Trouble::Expired),
        1 => Just(Trouble::CrashBefore),
        1 => Just(Trouble::CrashAfter),
        1 => Just(Trouble::Held),
    ]
}

#[derive(Debug, Clone)]
struct Wish {
    quantity: u32,
    is_declined: bool,
}

fn wish() -> impl Strategy<Value = Wish> {
    (1_u32..6, prop::bool::weighted(0.2))
        .prop_map(|(quantity, is_declined)| Wish { quantity, is_declined })
}

async fn run(script: Vec<Trouble>, wishes: Vec<Wish>, outage: usize, cancelled: usize) {
    let shop = Shop::new(STOCK).await;
    let mut orders = Vec::new();
    for Wish { quantity, is_declined } in wishes {
        let method = if is_declined { DECLINED } else { "pm_1" };
        orders.push(shop.place(quantity, method).await);
    }
    // Long enough, some of the time, for the deadline to pass.
    let away = std::iter::repeat_n(Trouble::Unavailable, outage);
    shop.world.script(script.into_iter().chain(away));
    // Whenever a call is held, the same customer cancels the same order.
    shop.settle(orders.get(cancelled).copied()).await;
    shop.audit(&orders, STOCK).await;
    // And all of them once more: whatever was confirmed is given back, entirely.
    for id in &orders {
        assert_eq!(shop.cancel(*id).await.status, 202);
    }
    shop.settle(None).await;
    shop.audit(&orders, STOCK).await;
    assert_eq!(shop.world.books().available, STOCK);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn the_books_agree_in_the_end(
        script in prop::collection::vec(trouble(), 0..40),
        wishes in prop::collection::vec(wish(), 1..4),
        outage in prop_oneof![3 => Just(0_usize), 1 => 10_usize..120],
        cancelled in 0_usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(script, wishes, outage, cancelled));
    }
}
