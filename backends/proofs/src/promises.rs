//! What clients were told, and may hold the shop to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Answers that were given so far. Shared by all clients of a world.
#[derive(Debug, Default)]
pub struct Promises(Mutex<Told>);

/// A copy of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    pub accounts: BTreeSet<String>,
    /// Orders by the key that their customer gave them.
    pub orders: BTreeMap<String, String>,
    /// Pieces of a product, by the key that the supply was sent with.
    pub supplies: BTreeMap<String, (String, i64)>,
    /// What no client should ever have been told.
    pub broken: Vec<String>,
}

impl Promises {
    pub fn told(&self) -> Told {
        self.lock().clone()
    }

    pub fn broke(&self, what: impl Into<String>) {
        self.lock().broken.push(what.into());
    }

    pub(crate) fn registered(&self, account: &str) {
        self.lock().accounts.insert(account.to_owned());
    }

    /// The same key is the same order, however often it was sent.
    pub(crate) fn placed(&self, key: &str, order: &str) {
        let mut told = self.lock();
        let before = told.orders.insert(key.to_owned(), order.to_owned());
        if let Some(before) = before.filter(|before| before != order) {
            told.broken.push(format!("the key {key} was answered by {before} and by {order}"));
        }
    }

    pub(crate) fn supplied(&self, key: &str, product: &str, quantity: i64) {
        self.lock().supplies.insert(key.to_owned(), (product.to_owned(), quantity));
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_names_two_orders_is_a_broken_promise() {
        let promises = Promises::default();
        promises.placed("a", "1");
        promises.placed("a", "1");
        promises.placed("b", "2");
        assert_eq!(promises.told().broken, Vec::<String>::new());
        promises.placed("a", "3");
        assert_eq!(promises.told().broken, ["the key a was answered by 1 and by 3"]);
    }
}
