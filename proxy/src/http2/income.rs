//! What time alone gives to a budget. Reads no clock.

use tokio::time::Instant;

/// The amount for each second.
pub(super) struct Income {
    per_second: u32,
    /// When it was counted last.
    pub(super) counted: Instant,
}

impl Income {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, counted: now }
    }

    /// What has come since the last call. Less than a whole unit stays to be counted.
    pub(super) fn until(&mut self, now: Instant) -> u32 {
        let gone = now.saturating_duration_since(self.counted);
        let earned = gone.as_millis().saturating_mul(self.per_second.into()) / 1000;
        if earned > 0 {
            self.counted = now;
        }
        u32::try_from(earned).unwrap_or(u32::MAX)
    }
}
