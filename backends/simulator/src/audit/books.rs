//! The shop's books: stock, orders and money, against each other and against what these customers
//! did.

use std::collections::{BTreeMap, BTreeSet};

use crate::documents::{
    CurrencyBooks, Order, OrderBooks, OrderState, PaymentBooks, ProductStock, StateSum, StockBooks,
};

/// All books of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) stock: StockBooks,
    pub(crate) orders: OrderBooks,
    pub(crate) payments: PaymentBooks,
}

impl Books {
    /// Whether nothing is under way.
    pub(crate) fn are_quiet(&self) -> bool {
        let unfinished = self.orders.unfinished_sagas;
        unfinished.forward == 0 && unfinished.undo == 0
    }

    fn product(&self, id: &str) -> Option<&ProductStock> {
        self.stock.products.iter().find(|product| product.product_id == id)
    }

    fn net(&self, currency: &str) -> i64 {
        let found = self.payments.currencies.iter().find(|books| books.currency == currency);
        found.map_or(0, |books| books.payments.net)
    }

    /// What confirmed orders cost together.
    fn confirmed(&self, currency: &str) -> i64 {
        let of_currency =
            |sum: &&StateSum| sum.state == OrderState::Confirmed && sum.total.currency == currency;
        self.orders.orders.iter().filter(of_currency).map(|sum| sum.total.minor_units).sum()
    }

    fn currencies(&self) -> impl Iterator<Item = &str> {
        let of_payments = self.payments.currencies.iter().map(|books| books.currency.as_str());
        of_payments.chain(self.orders.orders.iter().map(|sum| sum.total.currency.as_str()))
    }
}

/// What these customers, and whoever filled the shelves for them, did to the books.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Deeds {
    /// Pieces, by product.
    pub(crate) supplied: BTreeMap<String, i64>,
    pub(crate) sold: BTreeMap<String, i64>,
    /// Minor units, by currency.
    pub(crate) paid: BTreeMap<String, i64>,
}

impl Deeds {
    pub(crate) fn supply(&mut self, product: &str, pieces: i64) {
        *self.supplied.entry(product.to_owned()).or_default() += pieces;
    }

    /// Adds what a confirmed order sold; any other leaves nothing behind.
    pub(crate) fn add(&mut self, order: &Order) {
        if order.state != OrderState::Confirmed {
            return;
        }
        for line in &order.lines {
            let sold = self.sold.entry(line.product_id.clone()).or_default();
            *sold += i64::from(line.quantity);
        }
        let paid = self.paid.entry(order.total.currency.clone()).or_default();
        *paid += order.total.minor_units;
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Imbalance {
    #[error(
        "{product}: {supplied} supplied, but {available} available + {reserved} reserved + {sold} sold"
    )]
    Stock { product: String, supplied: i64, available: i64, reserved: i64, sold: i64 },
    #[error("{product}: {reserved} still reserved, and no order is under way")]
    Reserved { product: String, reserved: i64 },
    #[error("{product}: {found} more sold than before, and the customers bought {expected}")]
    Sold { product: String, found: i64, expected: i64 },
    #[error("{product}: {found} more supplied than before, and {expected} came in")]
    Supplied { product: String, found: i64, expected: i64 },
    #[error("{0} orders are under way")]
    UnderWay(i64),
    #[error("{0}: payments and their processor do not agree")]
    Processor(String),
    #[error("{currency}: {captured} captured - {refunded} refunded is not {net}")]
    Net { currency: String, captured: i64, refunded: i64, net: i64 },
    #[error("{currency}: {held} still held, and no order is under way")]
    Held { currency: String, held: i64 },
    #[error("{currency}: {net} taken, and confirmed orders cost {confirmed}")]
    Money { currency: String, net: i64, confirmed: i64 },
    #[error("{currency}: {found} more taken than before, and the customers paid {expected}")]
    Paid { currency: String, found: i64, expected: i64 },
}

/// Everything that does not balance. With others in the shop, only what holds at every moment is
/// judged.
pub(crate) fn check(before: &Books, after: &Books, deeds: &Deeds, shared: bool) -> Vec<Imbalance> {
    let mut found: Vec<Imbalance> = after.stock.products.iter().filter_map(stock).collect();
    found.extend(after.payments.currencies.iter().filter_map(net));
    if shared {
        return found;
    }
    let under_way = after.orders.orders.iter().filter(|sum| !sum.state.is_end());
    let under_way: i64 = under_way.map(|sum| sum.orders).sum();
    if under_way > 0 || !after.are_quiet() {
        let unfinished = after.orders.unfinished_sagas;
        found.push(Imbalance::UnderWay(under_way.max(unfinished.forward + unfinished.undo)));
    }
    for product in &after.stock.products {
        growth(before, product, deeds, &mut found);
    }
    found.extend(after.payments.currencies.iter().flat_map(settled));
    let currencies: BTreeSet<&str> = after.currencies().chain(before.currencies()).collect();
    for name in currencies {
        let (currency, net, confirmed) = (name.to_owned(), after.net(name), after.confirmed(name));
        if net != confirmed {
            found.push(Imbalance::Money { currency: currency.clone(), net, confirmed });
        }
        let expected = deeds.paid.get(name).copied().unwrap_or(0);
        let grown = net - before.net(name);
        if grown != expected {
            found.push(Imbalance::Paid { currency, found: grown, expected });
        }
    }
    found
}

/// Every piece is somewhere, and nowhere fewer than none.
fn stock(product: &ProductStock) -> Option<Imbalance> {
    let ProductStock { supplied, available, reserved, sold, .. } = *product;
    let balances =
        supplied == available + reserved + sold && available.min(reserved).min(sold) >= 0;
    let product = product.product_id.clone();
    (!balances).then_some(Imbalance::Stock { product, supplied, available, reserved, sold })
}

fn growth(before: &Books, product: &ProductStock, deeds: &Deeds, found: &mut Vec<Imbalance>) {
    let id = &product.product_id;
    let name = || id.clone();
    if product.reserved != 0 {
        found.push(Imbalance::Reserved { product: name(), reserved: product.reserved });
    }
    let old = before.product(id);
    let sold = product.sold - old.map_or(0, |old| old.sold);
    let expected = deeds.sold.get(id).copied().unwrap_or(0);
    if sold != expected {
        found.push(Imbalance::Sold { product: name(), found: sold, expected });
    }
    let supplied = product.supplied - old.map_or(0, |old| old.supplied);
    let expected = deeds.supplied.get(id).copied().unwrap_or(0);
    if supplied != expected {
        found.push(Imbalance::Supplied { product: name(), found: supplied, expected });
    }
}

fn net(books: &CurrencyBooks) -> Option<Imbalance> {
    let of = books.payments;
    (of.net != of.captured - of.refunded).then(|| Imbalance::Net {
        currency: books.currency.clone(),
        captured: of.captured,
        refunded: of.refunded,
        net: of.net,
    })
}

/// When nothing is under way, nothing is held and both who keep the books say the same.
fn settled(books: &CurrencyBooks) -> Vec<Imbalance> {
    let currency = || books.currency.clone();
    let agree = books.payments == books.processor;
    let processor = (!agree).then(|| Imbalance::Processor(currency()));
    let held = books.payments.held;
    let held = (held != 0).then(|| Imbalance::Held { currency: currency(), held });
    processor.into_iter().chain(held).collect()
}

#[cfg(test)]
mod tests;
