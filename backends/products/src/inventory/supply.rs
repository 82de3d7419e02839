//! What comes in.

use shop_platform::{RequestContext, Transaction, UnixTime};

use super::event;
use super::stock::{self, ProductStock};
use crate::product_id::ProductId;

/// Adds to a product's stock, with the event that tells of it; `None` if there is no such product.
pub(crate) async fn supply(
    transaction: &mut Transaction,
    product: &ProductId,
    quantity: i64,
    now: UnixTime,
    context: &RequestContext,
) -> Result<Option<ProductStock>, sqlx::Error> {
    if !stock::product_exists(transaction, product).await? {
        return Ok(None);
    }
    let account = stock::supply(transaction, product, quantity).await?;
    event::add_supplied(transaction, product, quantity, now, context).await?;
    Ok(Some(account))
}
