use portcullis_config::model::{self, AccessLogSink};
use prometheus::Registry;

use super::*;
use crate::observe::access_log::{AccessLog, OpenSink};
use crate::offload::Offload;
use crate::snapshot::Addresses;

/// The identity of a listener is the number in its name.
struct ByName;

impl Addresses for ByName {
    fn identify(&self, listener: &model::Listener) -> Option<(ListenerId, Option<u16>)> {
        Some((ListenerId(listener.name.trim_start_matches('l').parse().unwrap()), None))
    }
}

struct Fixture {
    metrics: Arc<Metrics>,
    log: AccessLog,
    published: Arc<ArcSwap<Snapshot>>,
}

impl Fixture {
    fn new() -> Self {
        let metrics = Metrics::new(1, &Registry::new()).unwrap();
        let nowhere = OpenSink::open(&AccessLogSink::Disabled).unwrap();
        let log = AccessLog::start(nowhere, metrics.access_log()).unwrap();
        let first = build(&metrics, &[1]);
        Self { metrics, log, published: Arc::new(ArcSwap::new(first)) }
    }

    fn worker(&self) -> Rc<Worker> {
        let setup = Setup {
            id: WorkerId(0),
            snapshot: Arc::clone(&self.published),
            metrics: Arc::clone(&self.metrics),
            log: self.log.worker(WorkerId(0), 1),
            seed: 1,
            offload: Offload::start(1).unwrap(),
        };
        Worker::new(setup)
    }

    fn publish(&self, listeners: &[u64]) -> Arc<Snapshot> {
        let next = build(&self.metrics, listeners);
        self.published.store(Arc::clone(&next));
        next
    }
}

fn build(metrics: &Arc<Metrics>, listeners: &[u64]) -> Arc<Snapshot> {
    let mut text = "version: v1\nlisteners:\n".to_owned();
    for number in listeners {
        text.push_str(&format!("  - {{name: l{number}, address: \"127.0.0.1:0\", kind: http}}\n"));
    }
    text.push_str("routes:\n  - {name: all, reply: {status: 200}}\n");
    let config = portcullis_config::parse_str("test.yaml", &text).unwrap().config;
    let built = Snapshot::build(Arc::new(config), None, metrics, &ByName);
    Arc::new(built.unwrap_or_else(|faults| panic!("{faults:?}")))
}

/// No client came while its generation was the newest; those that wait in its queue are served now.
#[test]
fn a_listener_of_one_generation_serves_those_who_waited() {
    // The command comes before the next generation, or only after it.
    for commanded_late in [false, true] {
        let fixture = Fixture::new();
        let worker = fixture.worker();
        let second = fixture.publish(&[1, 2]);
        if commanded_late {
            fixture.publish(&[1]);
        }
        let (balancer, _handovers) = ConnectionBalancer::new(1);
        let bound = worker.listen(ListenerId(2), balancer, second);
        fixture.publish(&[1]);
        worker.retire(ListenerId(2));
        let current = worker.current_of(&bound);
        assert!(current.listener(ListenerId(2)).is_some(), "commanded late: {commanded_late}");
        assert!(worker.current().listener(ListenerId(2)).is_none());
    }
}
