//! What one customer knows that it did.

use uuid::Uuid;

use crate::card::Card;

/// Whether its customer cancelled an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    #[default]
    Keep,
    /// It asked, and does not know whether it was heard.
    MayCancel,
    Cancelled,
}

/// An order that the shop has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) id: Uuid,
    pub(crate) card: Card,
    pub(crate) wish: Wish,
    pub(crate) complaints: u32,
}

impl Placed {
    pub(crate) fn new(id: Uuid, card: Card) -> Self {
        Self { id, card, wish: Wish::Keep, complaints: 0 }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) placed: Vec<Placed>,
    /// Requests for an order of which nobody knows whether they arrived: each is a finding already.
    pub(crate) doubtful: usize,
    /// Orders whose request was sent twice at once.
    pub(crate) twice_at_once: u32,
    /// Orders whose request was sent once more after it was given up.
    pub(crate) after_giving_up: u32,
}

impl Ledger {
    pub(crate) fn find(&self, id: Uuid) -> Option<&Placed> {
        self.placed.iter().find(|placed| placed.id == id)
    }

    /// Those that a customer may still do something about.
    pub(crate) fn kept(&self) -> usize {
        self.placed.iter().filter(|placed| placed.wish == Wish::Keep).count()
    }

    pub(crate) fn wish(&mut self, id: Uuid, wish: Wish) {
        for placed in self.placed.iter_mut().filter(|placed| placed.id == id) {
            // What was heard stays heard.
            placed.wish = placed.wish.max(wish);
        }
    }
}
