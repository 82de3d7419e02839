//! Numbers as the figures need them.

use std::time::Duration;

#[expect(clippy::cast_precision_loss, reason = "counts of a run stay far below 2^52")]
pub(crate) fn as_float(number: u64) -> f64 {
    number as f64
}

pub(crate) fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}
