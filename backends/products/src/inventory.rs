//! Stock for orders: held for a while, then sold or given back.
//!
//! A reservation has the id of its order, and each call may be repeated. What a call changes (the
//! reservation, the books, the event that tells of it) is one commit. Rows are locked in one order
//! everywhere: the reservation, then its products as [`Lines`] sorts them.

use std::sync::Arc;
use std::time::Duration;

use shop_platform::{Clock, Database, RequestContext, Transaction, UnixTime};
use uuid::Uuid;

mod consumer;
mod error;
mod event;
mod expiry;
mod lines;
mod quote;
mod reservation;
pub(crate) mod stock;
mod supply;

pub(crate) use consumer::OrderEvents;
pub(crate) use error::InventoryError;
pub(crate) use lines::{Line, LineError, Lines};
pub(crate) use quote::PricedLine;
pub(crate) use supply::supply;

use event::Kind;
use reservation::State;
use stock::Move;

/// The stock, and who may have what of it.
#[derive(Clone)]
pub(crate) struct Inventory {
    database: Database,
    clock: Arc<dyn Clock>,
    hold: Duration,
}

impl Inventory {
    /// `hold`: for how long stock is held if nobody says.
    pub(crate) fn new(database: Database, clock: Arc<dyn Clock>, hold: Duration) -> Self {
        Self { database, clock, hold }
    }

    /// Holds all lines or none; tells until when.
    pub(crate) async fn reserve(
        &self,
        id: Uuid,
        lines: &Lines,
        hold: Option<Duration>,
        context: &RequestContext,
    ) -> Result<UnixTime, InventoryError> {
        let now = self.clock.now();
        let expires_at = now.plus(hold.unwrap_or(self.hold));
        let mut transaction = self.database.begin_write().await?;
        // Whoever else has this id in hand is waited for here.
        if !reservation::insert(&mut transaction, id, State::Held, expires_at, now).await? {
            let known = reservation::find(&mut transaction, id).await?;
            return known.ok_or(InventoryError::Lost(id))?.repeated(lines);
        }
        reservation::insert_lines(&mut transaction, id, lines).await?;
        for (product, quantity) in lines.iter() {
            if !stock::shift(&mut transaction, product, quantity, Move::Hold).await? {
                // What the lines before it held goes back with the transaction.
                let known = stock::product_exists(&mut transaction, product).await?;
                transaction.rollback().await?;
                let product = product.clone();
                return Err(if known {
                    InventoryError::OutOfStock(product)
                } else {
                    InventoryError::UnknownProduct(product.to_string())
                });
            }
        }
        event::add(&mut transaction, Kind::Reserved, id, lines, now, context).await?;
        self.database.commit(transaction, "stock.reserve").await?;
        Ok(expires_at)
    }

    /// Sells what is held. What is held still although its time has passed can be sold.
    pub(crate) async fn commit(
        &self,
        id: Uuid,
        context: &RequestContext,
    ) -> Result<(), InventoryError> {
        let mut transaction = self.database.begin_write().await?;
        self.commit_within(&mut transaction, id, context).await?;
        Ok(self.database.commit(transaction, "stock.commit").await?)
    }

    /// Gives back what is held or was sold. An unknown id is remembered, so that it cannot be
    /// reserved later.
    pub(crate) async fn release(
        &self,
        id: Uuid,
        context: &RequestContext,
    ) -> Result<(), InventoryError> {
        let mut transaction = self.database.begin_write().await?;
        self.release_within(&mut transaction, id, context).await?;
        Ok(self.database.commit(transaction, "stock.release").await?)
    }

    async fn commit_within(
        &self,
        transaction: &mut Transaction,
        id: Uuid,
        context: &RequestContext,
    ) -> Result<(), InventoryError> {
        let now = self.clock.now();
        if reservation::advance(transaction, id, State::Held, State::Committed, now).await? {
            return settle(transaction, Kind::Committed, id, now, context).await;
        }
        match reservation::find(transaction, id).await?.map(|known| known.state) {
            Some(State::Committed) => Ok(()),
            // It changed between the two statements, and can be asked for again.
            Some(State::Held) => Err(InventoryError::Contended),
            Some(State::Expired) => Err(InventoryError::Expired),
            Some(State::Released | State::Returned | State::Tombstone) => {
                Err(InventoryError::Released)
            }
            None => Err(InventoryError::NotHeld),
        }
    }

    async fn release_within(
        &self,
        transaction: &mut Transaction,
        id: Uuid,
        context: &RequestContext,
    ) -> Result<(), InventoryError> {
        let now = self.clock.now();
        // The tombstone first: a reservation that is just being made is waited for here, and one
        // that comes later finds it.
        if reservation::insert(transaction, id, State::Tombstone, now, now).await? {
            return Ok(());
        }
        // In the order of life: what is committed in between is caught by the second.
        if reservation::advance(transaction, id, State::Held, State::Released, now).await? {
            return settle(transaction, Kind::Released, id, now, context).await;
        }
        if reservation::advance(transaction, id, State::Committed, State::Returned, now).await? {
            return settle(transaction, Kind::Returned, id, now, context).await;
        }
        Ok(())
    }
}

/// Moves what a reservation holds, after its state has changed, and tells of it.
async fn settle(
    transaction: &mut Transaction,
    kind: Kind,
    id: Uuid,
    now: UnixTime,
    context: &RequestContext,
) -> Result<(), InventoryError> {
    let lines = reservation::lines(transaction, id).await?;
    let movement = match kind {
        Kind::Reserved => Move::Hold,
        Kind::Committed => Move::Sell,
        Kind::Released | Kind::Expired => Move::GiveBack,
        Kind::Returned => Move::TakeBack,
    };
    for (product, quantity) in lines.iter() {
        if !stock::shift(transaction, product, quantity, movement).await? {
            return Err(InventoryError::Books { id, product: product.clone() });
        }
    }
    Ok(event::add(transaction, kind, id, &lines, now, context).await?)
}

#[cfg(test)]
mod tests;
