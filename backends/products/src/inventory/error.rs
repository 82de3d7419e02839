//! Why stock is not reserved, sold or given back.

use uuid::Uuid;

use crate::product_id::ProductId;

#[derive(Debug, thiserror::Error)]
pub(crate) enum InventoryError {
    #[error("there is no product {0:?}")]
    UnknownProduct(String),
    #[error("there is not enough of {0}")]
    OutOfStock(ProductId),
    #[error("the reservation was made with other lines")]
    OtherLines,
    #[error("the reservation was released")]
    Released,
    #[error("the reservation has expired")]
    Expired,
    #[error("nothing was ever held by this reservation")]
    NotHeld,
    #[error("the lines have no common currency")]
    MixedCurrencies,
    #[error("the total is larger than any amount")]
    TooExpensive,
    #[error("the reservation is being changed by another call")]
    Contended,
    #[error("the reservation {0} vanished")]
    Lost(Uuid),
    #[error("the reservation {id} has what the books of {product} lack")]
    Books { id: Uuid, product: ProductId },
    #[error("the stored text {0:?} is none that was ever written")]
    Stored(String),
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}
