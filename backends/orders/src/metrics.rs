//! What the orders service counts beyond its requests.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

use crate::order::{Order, State};
use crate::saga::{Direction, Outcome, Step};
use crate::sagas::Unfinished;

#[derive(Debug, Clone)]
pub(crate) struct OrderMetrics {
    orders: IntCounterVec,
    steps: IntCounterVec,
    pub(crate) lost_leases: IntCounter,
    unfinished: IntGaugeVec,
    duration: Histogram,
}

impl OrderMetrics {
    pub(crate) fn try_new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let orders = IntCounterVec::new(
            Opts::new(
                "shop_orders_total",
                "Orders: placed, confirmed, or cancelled, then by the reason",
            ),
            &["outcome"],
        )?;
        let steps = IntCounterVec::new(
            Opts::new("shop_orders_saga_steps_total", "Steps of sagas, by how they went"),
            &["step", "outcome"],
        )?;
        let lost_leases = IntCounter::new(
            "shop_orders_saga_leases_lost_total",
            "Steps whose outcome came after another process had taken the saga over",
        )?;
        let unfinished = IntGaugeVec::new(
            Opts::new("shop_orders_sagas_unfinished", "Sagas that are not at their end"),
            &["direction"],
        )?;
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "shop_orders_saga_duration_seconds",
                "Time from the beginning of a saga to its end",
            )
            .buckets(vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]),
        )?;
        registry.register(Box::new(orders.clone()))?;
        registry.register(Box::new(steps.clone()))?;
        registry.register(Box::new(lost_leases.clone()))?;
        registry.register(Box::new(unfinished.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        let metrics = Self { orders, steps, lost_leases, unfinished, duration };
        metrics.set_unfinished(Unfinished { forward: 0, undo: 0 });
        Ok(metrics)
    }

    pub(crate) fn placed(&self) {
        self.orders.with_label_values(&["placed"]).inc();
    }

    /// An order has come to an end, after a saga of `duration`.
    pub(crate) fn ended(&self, order: &Order, duration: Duration) {
        let outcome = match (order.state(), order.reason()) {
            (State::Confirmed, _) => "confirmed",
            (_, Some(reason)) => reason.as_str(),
            (_, None) => "unknown",
        };
        self.orders.with_label_values(&[outcome]).inc();
        self.duration.observe(duration.as_secs_f64());
    }

    pub(crate) fn step(&self, step: Step, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Done(_) => "done",
            Outcome::Refused(_) => "refused",
            Outcome::InDoubt => "in_doubt",
            Outcome::NotTried => "not_tried",
        };
        self.steps.with_label_values(&[step.as_str(), outcome]).inc();
    }

    pub(crate) fn set_unfinished(&self, unfinished: Unfinished) {
        let Unfinished { forward, undo } = unfinished;
        self.unfinished.with_label_values(&[Direction::Forward.as_str()]).set(forward);
        self.unfinished.with_label_values(&[Direction::Undo.as_str()]).set(undo);
    }
}
