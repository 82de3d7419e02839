//! What the payments service counts beyond its requests.

use prometheus::{IntCounterVec, Opts, Registry};

use crate::payment::State;

#[derive(Debug, Clone)]
pub(crate) struct PaymentMetrics {
    reached: IntCounterVec,
}

impl PaymentMetrics {
    pub(crate) fn try_new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reached = IntCounterVec::new(
            Opts::new("shop_payments_reached_total", "Payments, by the states that they came to"),
            &["state"],
        )?;
        registry.register(Box::new(reached.clone()))?;
        Ok(Self { reached })
    }

    pub(crate) fn reached(&self, state: State) {
        self.reached.with_label_values(&[state.name()]).inc();
    }
}
