//! What the proofs buy.

/// A product of the catalogue that the proofs supply; nothing else has stock.
pub const PLENTY: &str = "cast-iron-skillet-26-cm";
/// One that is out of stock, unless a proof supplies it.
pub const SCARCE: &str = "paring-knife-9-cm";
