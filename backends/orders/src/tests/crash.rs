//! The process dies, at every point between two effects, and another one takes over.
//!
//! A saga has an effect by its calls and by its commits. To die before a call is to die after the
//! commit before it; to die after a call is to die before the commit that would have recorded it.

use super::world::{DECLINED, Trouble};
use super::*;

#[derive(Debug, Clone, Copy)]
struct Story {
    method: &'static str,
    quantity: u32,
    /// The trouble of one call, by its number.
    trouble: Option<(usize, Trouble)>,
    /// The customer cancels after the end.
    refund: bool,
    expected: &'static str,
}

const STOCK: i64 = 5;
const GOOD: Story =
    Story { method: "pm_1", quantity: 5, trouble: None, refund: false, expected: "confirmed" };

/// Runs the story with `crash` instead of the call's own trouble; tells how many calls there were.
async fn run(story: Story, crash: Option<(usize, Trouble)>) -> usize {
    let shop = Shop::new(STOCK).await;
    let mut script = vec![Trouble::Nothing; 16];
    for (call, trouble) in story.trouble.into_iter().chain(crash) {
        script[call] = trouble;
    }
    shop.world.script(script);
    let id = shop.place(story.quantity, story.method).await;
    shop.settle(Some(id)).await;
    if story.refund {
        shop.cancel(id).await;
        shop.settle(None).await;
    }
    let (state, reason) = shop.state(id).await;
    let end = reason.unwrap_or(state);
    assert_eq!(end, story.expected, "{story:?} {crash:?}");
    shop.audit(&[id], STOCK).await;
    shop.world.books().calls.len()
}

#[tokio::test]
async fn a_saga_ends_right_wherever_its_process_dies() {
    let stories = [
        GOOD,
        Story { refund: true, expected: "customer", ..GOOD },
        Story { method: DECLINED, expected: "card_declined", ..GOOD },
        Story { quantity: 6, expected: "out_of_stock", ..GOOD },
        Story { trouble: Some((2, Trouble::Expired)), expected: "reservation_expired", ..GOOD },
        // The customer cancels while a call is on its way.
        Story { trouble: Some((1, Trouble::Held)), expected: "customer", ..GOOD },
        Story { trouble: Some((3, Trouble::Held)), expected: "customer", ..GOOD },
    ];
    for story in stories {
        let calls = run(story, None).await;
        assert!(calls > 0);
        for call in 0..calls {
            // A crash repeats its call, so it must not come before the trouble that it would shift.
            if story.trouble.is_some_and(|(number, _)| call <= number) {
                continue;
            }
            for crash in [Trouble::CrashBefore, Trouble::CrashAfter] {
                run(story, Some((call, crash))).await;
            }
        }
    }
}

#[tokio::test]
async fn it_may_die_again_and_again() {
    let shop = Shop::new(STOCK).await;
    let crashes = [Trouble::CrashBefore, Trouble::CrashAfter];
    shop.world.script(crashes.into_iter().cycle().take(8));
    let id = shop.place(5, "pm_1").await;
    shop.settle(None).await;
    assert_eq!(shop.state(id).await.0, "confirmed");
    shop.world.script(crashes.into_iter().cycle().take(8));
    shop.cancel(id).await;
    shop.settle(None).await;
    assert_eq!(shop.state(id).await.0, "cancelled");
    shop.audit(&[id], STOCK).await;
}

#[tokio::test]
async fn another_process_goes_on_where_the_first_died() {
    for (call, crash) in [(0, Trouble::CrashAfter), (2, Trouble::CrashBefore)] {
        let shop = Shop::new(STOCK).await;
        let mut script = vec![Trouble::Nothing; call];
        script.push(crash);
        shop.world.script(script);
        let id = shop.place(5, "pm_1").await;
        tokio::select! {
            biased;
            () = shop.world.crashed.notified() => {}
            _ = shop.driver.run_due() => panic!("nobody died"),
        }
        let heir = shop.another();
        assert_eq!(heir.driver.run_due().await, 0, "the lease of the dead holds");
        shop.clock.advance(LEASE);
        assert_eq!(heir.driver.run_due().await, 1);
        assert_eq!(heir.state(id).await.0, "confirmed");
        heir.audit(&[id], STOCK).await;
    }
}
