//! Retired generations, kept until the last request that began under them has ended.
//!
//! The thread that drops the last reference frees the generation. With ten thousand routes that takes
//! milliseconds, in which a worker would serve no request. So this list keeps one more reference, and
//! a background thread frees the generations that nothing else uses.

use std::sync::Arc;

use crate::snapshot::Snapshot;

/// There are as many as requests, streams and tunnels keep alive.
#[derive(Default)]
pub struct Retired(Vec<Arc<Snapshot>>);

impl Retired {
    pub fn add(&mut self, generation: Arc<Snapshot>) {
        self.0.push(generation);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Frees unused generations on another thread, and does not wait for it.
    pub fn let_go(&mut self) {
        let unused = self.unused();
        if !unused.is_empty() {
            tokio::task::spawn_blocking(move || drop(unused));
        }
    }

    /// Once this list has the only reference, no other can be created.
    fn unused(&mut self) -> Vec<Arc<Snapshot>> {
        self.0.extract_if(.., |generation| Arc::strong_count(generation) == 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::observe::metrics::Metrics;

    fn generation() -> Arc<Snapshot> {
        let metrics = Metrics::new(1, &Registry::new()).unwrap();
        let text = "version: v1\nlisteners:\n  - {name: a, address: \"127.0.0.1:0\"}\n\
                    routes:\n  - {name: all, reply: {status: 200}}\n";
        let config = portcullis_config::parse_str("test.yaml", text).unwrap().config;
        Arc::new(Snapshot::nothing(Arc::new(config), &metrics))
    }

    #[tokio::test]
    async fn a_generation_is_let_go_of_after_its_last_user_and_not_by_it() {
        let (used, unused) = (generation(), generation());
        let (watch_used, watch_unused) = (Arc::downgrade(&used), Arc::downgrade(&unused));
        let mut retired = Retired::default();
        retired.add(Arc::clone(&used));
        retired.add(unused);
        let dropped = retired.unused();
        assert!(Arc::ptr_eq(&retired.0[0], &used) && retired.0.len() == 1);
        assert_eq!(dropped.len(), 1);
        drop(dropped);
        assert!(watch_unused.upgrade().is_none());

        drop(used);
        assert!(watch_used.upgrade().is_some(), "the last user has to free it");
        assert_eq!(retired.unused().len(), 1);
        assert!(retired.is_empty() && watch_used.upgrade().is_none());
    }
}
