//! What the notifications service counts beyond its requests.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use crate::feed::Ending;
use crate::outbox::Settled;

#[derive(Debug, Clone)]
pub(crate) struct NotificationMetrics {
    letters: IntCounterVec,
    feeds: IntGauge,
    feed_ends: IntCounterVec,
}

impl NotificationMetrics {
    pub(crate) fn try_new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let letters = IntCounterVec::new(
            Opts::new(
                "shop_notifications_letters_total",
                "Tries to deliver a letter, by what became of the letter",
            ),
            &["outcome"],
        )?;
        let feeds = IntGauge::new("shop_notifications_feeds", "Live feeds that are open")?;
        let feed_ends = IntCounterVec::new(
            Opts::new("shop_notifications_feed_ends_total", "Live feeds, by why they ended"),
            &["reason"],
        )?;
        registry.register(Box::new(letters.clone()))?;
        registry.register(Box::new(feeds.clone()))?;
        registry.register(Box::new(feed_ends.clone()))?;
        Ok(Self { letters, feeds, feed_ends })
    }

    pub(crate) fn letter(&self, settled: Settled) {
        let outcome = match settled {
            Settled::Sent => "sent",
            Settled::Waiting => "retried",
            Settled::Failed => "failed",
        };
        self.letters.with_label_values(&[outcome]).inc();
    }

    /// The gauge of open feeds, for whoever counts them.
    pub(crate) fn feeds(&self) -> &IntGauge {
        &self.feeds
    }

    pub(crate) fn feed_ended(&self, ending: Ending) {
        self.feed_ends.with_label_values(&[ending.label()]).inc();
    }
}
