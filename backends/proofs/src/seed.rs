//! One number from which a proof draws all its chances, so that a failure can be repeated.

const VARIABLE: &str = "SHOP_PROOF_SEED";

/// As `SHOP_PROOF_SEED` says, or drawn; printed either way.
pub fn seed() -> u64 {
    let seed = match std::env::var(VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{VARIABLE}={text} is no number")),
        Err(_) => fastrand::u64(..1_000_000),
    };
    println!("seed {seed}: {VARIABLE}={seed} draws the same again");
    seed
}
