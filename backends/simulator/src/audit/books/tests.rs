//! Books before and after a run: those that balance pass, each kind of imbalance is named.

use uuid::Uuid;

use super::*;
use crate::documents::{Line, Money, Totals, Unfinished};

fn product(id: &str, supplied: i64, sold: i64) -> ProductStock {
    let (available, reserved) = (supplied - sold, 0);
    ProductStock { product_id: id.to_owned(), supplied, available, reserved, sold }
}

fn sum(state: OrderState, orders: i64, minor_units: i64) -> StateSum {
    StateSum { state, orders, total: euros(minor_units) }
}

fn euros(minor_units: i64) -> Money {
    Money { minor_units, currency: "EUR".to_owned() }
}

fn taken(captured: i64, refunded: i64) -> CurrencyBooks {
    let totals = Totals { held: 0, captured, refunded, net: captured - refunded };
    CurrencyBooks { currency: "EUR".to_owned(), payments: totals, processor: totals }
}

fn before() -> Books {
    Books {
        stock: StockBooks { products: vec![product("lamp", 100, 5), product("desk", 10, 0)] },
        orders: OrderBooks {
            orders: vec![sum(OrderState::Confirmed, 5, 5000)],
            unfinished_sagas: Unfinished::default(),
        },
        payments: PaymentBooks { currencies: vec![taken(6000, 1000)] },
    }
}

/// Two lamps were sold for 20 EUR, and ten desks came in.
fn after() -> (Books, Deeds) {
    let books = Books {
        stock: StockBooks { products: vec![product("lamp", 100, 7), product("desk", 20, 0)] },
        orders: OrderBooks {
            orders: vec![sum(OrderState::Confirmed, 6, 7000), sum(OrderState::Cancelled, 3, 900)],
            unfinished_sagas: Unfinished::default(),
        },
        payments: PaymentBooks { currencies: vec![taken(8500, 1500)] },
    };
    let line = Line { product_id: "lamp".to_owned(), quantity: 2, unit_price: euros(1000) };
    let order = |state| Order {
        id: Uuid::nil(),
        state,
        reason: None,
        refunded: false,
        lines: vec![line.clone()],
        total: euros(2000),
        complaints: 0,
        version: 1,
    };
    let mut deeds = Deeds::default();
    deeds.supply("desk", 4);
    deeds.supply("desk", 6);
    deeds.add(&order(OrderState::Confirmed));
    deeds.add(&order(OrderState::Cancelled));
    (books, deeds)
}

#[test]
fn books_that_balance() {
    let (after, deeds) = after();
    assert_eq!(check(&before(), &after, &deeds, false), []);
    assert_eq!(check(&before(), &after, &deeds, true), []);
    assert_eq!(check(&Books::default(), &Books::default(), &Deeds::default(), false), []);
}

/// Each slip is noticed, as exactly this; with others in the shop only what holds at all times is.
#[test]
fn whatever_is_out_of_balance_is_named() {
    let check = |spoil: &dyn Fn(&mut Books, &mut Deeds), alone: &[Imbalance], always: bool| {
        let (mut after, mut deeds) = after();
        spoil(&mut after, &mut deeds);
        assert_eq!(check(&before(), &after, &deeds, false), alone);
        let expected = if always { &alone[..1] } else { &[] };
        assert_eq!(check(&before(), &after, &deeds, true), expected);
    };
    let (lamp, desk, eur) = ("lamp".to_owned(), "desk".to_owned(), "EUR".to_owned());
    check(
        &|after, _| after.stock.products[0].available -= 1,
        &[Imbalance::Stock {
            product: lamp.clone(),
            supplied: 100,
            available: 92,
            reserved: 0,
            sold: 7,
        }],
        true,
    );
    check(
        &|after, _| {
            after.stock.products[0].available = -1;
            after.stock.products[0].reserved = 94;
        },
        &[
            Imbalance::Stock {
                product: lamp.clone(),
                supplied: 100,
                available: -1,
                reserved: 94,
                sold: 7,
            },
            Imbalance::Reserved { product: lamp.clone(), reserved: 94 },
        ],
        true,
    );
    check(
        &|_, deeds| deeds.sold.extend([("lamp".to_owned(), 3)]),
        &[Imbalance::Sold { product: lamp, found: 2, expected: 3 }],
        false,
    );
    check(
        &|_, deeds| deeds.supply("desk", 1),
        &[Imbalance::Supplied { product: desk, found: 10, expected: 11 }],
        false,
    );
    check(&|after, _| after.orders.unfinished_sagas.undo = 2, &[Imbalance::UnderWay(2)], false);
    check(
        &|after, _| after.orders.orders.push(sum(OrderState::Pending, 1, 5)),
        &[Imbalance::UnderWay(1)],
        false,
    );
    check(
        &|after, _| after.payments.currencies[0].processor.captured += 1,
        &[Imbalance::Processor(eur.clone())],
        false,
    );
    check(
        &|after, _| {
            after.payments.currencies[0].payments.held = 5;
            after.payments.currencies[0].processor.held = 5;
        },
        &[Imbalance::Held { currency: eur.clone(), held: 5 }],
        false,
    );
    check(
        &|after, _| {
            after.payments.currencies[0].payments.captured += 1;
            after.payments.currencies[0].processor.captured += 1;
        },
        &[Imbalance::Net { currency: eur.clone(), captured: 8501, refunded: 1500, net: 7000 }],
        true,
    );
    check(
        &|after, _| after.orders.orders[0].total.minor_units += 1,
        &[Imbalance::Money { currency: eur.clone(), net: 7000, confirmed: 7001 }],
        false,
    );
    check(
        &|_, deeds| deeds.paid.extend([("EUR".to_owned(), 1)]),
        &[Imbalance::Paid { currency: eur, found: 2000, expected: 1 }],
        false,
    );
}

#[test]
fn money_in_a_currency_that_only_one_side_knows_is_noticed() {
    let (mut after, deeds) = after();
    let total = Money { minor_units: 7, currency: "USD".to_owned() };
    after.orders.orders.push(StateSum { state: OrderState::Confirmed, orders: 1, total });
    let usd = Imbalance::Money { currency: "USD".to_owned(), net: 0, confirmed: 7 };
    assert_eq!(check(&before(), &after, &deeds, false), [usd]);
}
