//! What a customer does next, drawn from a seed: pure, and told nothing of how it is done.

use std::time::Duration;

use fastrand::Rng;

/// Pieces of how many products fit in a cart.
const LARGEST_CART: usize = 5;
/// An account may have fifty; a customer has fewer.
const MOST_CARDS: usize = 8;

/// One step of a customer's visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    /// Turns a page of the catalogue.
    Browse,
    Search,
    /// Looks at one product, and at how many there are.
    Look,
    PutInCart,
    TakeFromCart,
    Order,
    /// Changes its mind about an order of a while ago.
    Cancel,
    Complain,
    ReadNotifications,
    LookAtOrders,
    AddCard,
    LogInAgain,
}

/// What decides whether an act makes sense.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Situation {
    /// Products it has seen.
    pub(crate) products: usize,
    /// Lines in its cart.
    pub(crate) cart: usize,
    /// Orders that it has placed and not cancelled.
    pub(crate) orders: usize,
    pub(crate) cards: usize,
}

/// How often each is done, where it makes sense.
const SHARES: [(Act, u32); 12] = [
    (Act::Browse, 12),
    (Act::Search, 10),
    (Act::Look, 14),
    (Act::PutInCart, 24),
    (Act::TakeFromCart, 2),
    (Act::Order, 22),
    (Act::Cancel, 3),
    (Act::Complain, 3),
    (Act::ReadNotifications, 5),
    (Act::LookAtOrders, 3),
    (Act::AddCard, 3),
    (Act::LogInAgain, 1),
];

impl Act {
    pub(crate) fn draw(random: &mut Rng, situation: Situation) -> Self {
        let shares = SHARES.map(|(act, share)| (act, if act.fits(situation) { share } else { 0 }));
        weighted(random, &shares).unwrap_or(Self::Browse)
    }

    fn fits(self, situation: Situation) -> bool {
        match self {
            Self::Browse
            | Self::Search
            | Self::ReadNotifications
            | Self::LookAtOrders
            | Self::LogInAgain => true,
            Self::Look => situation.products > 0,
            Self::PutInCart => situation.products > 0 && situation.cart < LARGEST_CART,
            Self::TakeFromCart => situation.cart > 0,
            Self::Order => situation.cart > 0 && situation.cards > 0,
            Self::Cancel | Self::Complain => situation.orders > 0,
            Self::AddCard => situation.cards < MOST_CARDS,
        }
    }
}

/// How the request for an order reaches the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Delivery {
    Once,
    /// A button pressed twice: the same request on two connections.
    TwiceAtOnce,
    /// The client loses patience, closes its connection, and sends the same again.
    AfterGivingUp(Duration),
}

/// What the customer does about it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Then {
    /// Waits until it is confirmed or cancelled.
    Waits,
    /// Goes on, and may look later.
    Leaves,
    CancelsAtOnce,
    /// Waits, and cancels what was confirmed.
    CancelsAfterwards,
}

/// One purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purchase {
    pub(crate) delivery: Delivery,
    pub(crate) then: Then,
}

impl Purchase {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let giving_up = Delivery::AfterGivingUp(Duration::from_millis(random.u64(1..=60)));
        let deliveries = [(Delivery::Once, 80), (Delivery::TwiceAtOnce, 10), (giving_up, 10)];
        let thens = [
            (Then::Waits, 66),
            (Then::Leaves, 18),
            (Then::CancelsAtOnce, 9),
            (Then::CancelsAfterwards, 7),
        ];
        Self {
            delivery: weighted(random, &deliveries).unwrap_or(Delivery::Once),
            then: weighted(random, &thens).unwrap_or(Then::Waits),
        }
    }
}

/// How long to think: up to twice the average.
pub(crate) fn thought(random: &mut Rng, average: Duration) -> Duration {
    average.mul_f64(random.f64() * 2.0)
}

/// One of the choices, by their shares; `None` if none has any.
pub(crate) fn weighted<T: Copy>(random: &mut Rng, choices: &[(T, u32)]) -> Option<T> {
    let total: u32 = choices.iter().map(|(_, share)| share).sum();
    if total == 0 {
        return None;
    }
    let mut left = random.u32(0..total);
    for (choice, share) in choices {
        match left.checked_sub(*share) {
            None => return Some(*choice),
            Some(rest) => left = rest,
        }
    }
    None
}

/// Another sequence for each customer of one seed.
pub(crate) fn random_of(seed: u64, customer: u32) -> Rng {
    // The finalizer of SplitMix64, so that neighbours have nothing in common.
    let mut mixed = seed ^ u64::from(customer).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Rng::with_seed(mixed ^ (mixed >> 31))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn drawn(situation: Situation) -> BTreeMap<Act, u32> {
        let mut random = Rng::with_seed(7);
        let mut counts = BTreeMap::new();
        for _ in 0..5000 {
            *counts.entry(Act::draw(&mut random, situation)).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn nobody_does_what_makes_no_sense() {
        let check = |situation: Situation, never: &[Act]| {
            let counts = drawn(situation);
            for (act, _) in SHARES {
                let expected = !never.contains(&act);
                assert_eq!(counts.contains_key(&act), expected, "{act:?} {situation:?}");
            }
        };
        let everything = Situation { products: 9, cart: 2, orders: 1, cards: 1 };
        check(everything, &[]);
        check(
            Situation::default(),
            &[Act::Look, Act::PutInCart, Act::TakeFromCart, Act::Order, Act::Cancel, Act::Complain],
        );
        check(Situation { cart: LARGEST_CART, ..everything }, &[Act::PutInCart]);
        check(Situation { cards: 0, ..everything }, &[Act::Order]);
        check(Situation { cards: MOST_CARDS, ..everything }, &[Act::AddCard]);
        check(Situation { orders: 0, ..everything }, &[Act::Cancel, Act::Complain]);
    }

    #[test]
    fn a_seed_decides_and_customers_differ() {
        let visit = |seed, customer| -> Vec<u64> {
            let mut random = random_of(seed, customer);
            (0..8).map(|_| random.u64(..)).collect()
        };
        assert_eq!(visit(42, 1), visit(42, 1));
        assert_ne!(visit(42, 1), visit(42, 2));
        assert_ne!(visit(42, 1), visit(43, 1));
        assert_ne!(visit(0, 0), visit(0, 1));
    }

    #[test]
    fn purchases_are_of_every_kind() {
        let mut random = Rng::with_seed(3);
        let drawn: Vec<Purchase> = (0..1000).map(|_| Purchase::draw(&mut random)).collect();
        let share = |matches: &dyn Fn(&Purchase) -> bool| {
            drawn.iter().filter(|purchase| matches(purchase)).count()
        };
        assert!(share(&|p| p.delivery == Delivery::Once) > 700);
        assert!(share(&|p| p.delivery == Delivery::TwiceAtOnce) > 50);
        assert!(share(&|p| matches!(p.delivery, Delivery::AfterGivingUp(_))) > 50);
        for then in [Then::Leaves, Then::CancelsAtOnce, Then::CancelsAfterwards] {
            assert!(share(&|p| p.then == then) > 30, "{then:?}");
        }
    }

    #[test]
    fn shares_are_kept_and_nothing_is_drawn_from_nothing() {
        let mut random = Rng::with_seed(5);
        assert_eq!(weighted::<u8>(&mut random, &[]), None);
        assert_eq!(weighted(&mut random, &[(1, 0), (2, 0)]), None);
        let drawn = (0..4000).filter_map(|_| weighted(&mut random, &[(1, 1), (2, 0), (3, 3)]));
        let counts = drawn.fold([0; 4], |mut counts, choice: usize| {
            counts[choice] += 1;
            counts
        });
        assert_eq!(counts[2], 0);
        assert!((800..1200).contains(&counts[1]) && counts[1] + counts[3] == 4000, "{counts:?}");
    }

    #[test]
    fn thinking_takes_about_as_long_as_told() {
        let mut random = Rng::with_seed(9);
        assert_eq!(thought(&mut random, Duration::ZERO), Duration::ZERO);
        let average = Duration::from_millis(100);
        let total: Duration = (0..1000).map(|_| thought(&mut random, average)).sum();
        assert!((80..120).contains(&(total.as_millis() / 1000)), "{total:?}");
    }
}
