//! From shards to `/metrics`: sums the workers' counts at each scrape.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, MetricType};
use prometheus::{Registry, TextEncoder};

use super::failure::{Failure, Group};
use super::family::Family;
use super::histogram::Distribution;
use super::metrics::{Metrics, ReloadResult, locked};
use super::series::{
    ConnectFailure, EndpointMetrics, ListenerMetrics, RouteMetrics, UpstreamMetrics,
};
use super::status;
use crate::error::Reason;

/// The body of an answer to `GET /metrics`, of content type [`prometheus::TEXT_FORMAT`].
pub fn exposition(registry: &Registry) -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(&registry.gather())
}

pub(super) fn register(
    metrics: &Arc<Metrics>,
    registry: &Registry,
) -> Result<(), prometheus::Error> {
    let descriptions = Family::ALL.iter().map(|family| {
        let labels = family.labels().iter().map(|label| (*label).to_owned()).collect();
        Desc::new(family.name().to_owned(), family.help().to_owned(), labels, Default::default())
    });
    let descriptions = descriptions.collect::<Result<_, _>>()?;
    registry.register(Box::new(WorkerCollector { metrics: Arc::clone(metrics), descriptions }))
}

struct WorkerCollector {
    metrics: Arc<Metrics>,
    descriptions: Vec<Desc>,
}

impl Collector for WorkerCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut samples = Samples::default();
        samples.process(&self.metrics);
        samples.route(&self.metrics.unrouted);
        self.metrics.routes.live().iter().for_each(|route| samples.route(route));
        self.metrics.listeners.live().iter().for_each(|listener| samples.listener(listener));
        self.metrics.upstreams.live().iter().for_each(|upstream| samples.upstream(upstream));
        self.metrics.endpoints.live().iter().for_each(|endpoint| samples.endpoint(endpoint));
        samples.into_families()
    }
}

/// Samples of each family, in the order of [`Family::ALL`].
struct Samples(Vec<Vec<proto::Metric>>);

impl Default for Samples {
    fn default() -> Self {
        Self(Family::ALL.iter().map(|_| Vec::new()).collect())
    }
}

impl Samples {
    fn route(&mut self, route: &RouteMetrics) {
        let shards = &route.shards;
        if !shards.is_used() {
            return;
        }
        let name = &*route.name;
        for code in 0..status::COUNT {
            let count = shards.sum(|shard| &shard.codes[code]);
            self.event(Family::Requests, &[name, status::label(code)], count);
        }
        for reason in Reason::ALL {
            let count = shards.sum(|shard| &shard.reasons[reason.index()]);
            self.event(Family::Reasons, &[name, reason.label()], count);
        }
        let mut durations = Distribution::default();
        shards.used().for_each(|shard| durations.include(&shard.durations));
        self.distribution(Family::Durations, &[name], &durations);
        let received = shards.sum(|shard| &shard.request_body_bytes);
        self.counter(Family::RequestBytes, &[name], received);
        let sent = shards.sum(|shard| &shard.response_body_bytes);
        self.counter(Family::ResponseBytes, &[name], sent);
        let open = shards.level(|shard| &shard.websockets);
        self.gauge(Family::WebSockets, &[name], open);
    }

    fn listener(&mut self, listener: &ListenerMetrics) {
        let shards = &listener.shards;
        if !shards.is_used() {
            return;
        }
        let name = &*listener.name;
        let labels = &[name];
        self.counter(Family::ListenerAccepted, labels, shards.sum(|shard| &shard.accepted));
        self.gauge(Family::ListenerActive, labels, shards.level(|shard| &shard.active));
        for failure in Failure::ALL {
            let count = shards.sum(|shard| &shard.failures[*failure as usize]);
            let family = match failure.group() {
                Group::Handshake => Family::ListenerHandshakeFailures,
                Group::ProxyHeader => Family::ListenerProxyHeaderFailures,
                Group::Refused => Family::ListenerRefused,
                Group::BrokenOff => Family::ListenerBrokenOff,
                Group::Accept => Family::ListenerAcceptFailures,
            };
            self.event(family, &[name, failure.label()], count);
        }
        self.counter(Family::ListenerRequests, labels, shards.sum(|shard| &shard.requests));
    }

    fn upstream(&mut self, upstream: &UpstreamMetrics) {
        let shards = &upstream.shards;
        if !shards.is_used() {
            return;
        }
        let name = &*upstream.name;
        self.counter(Family::UpstreamOpened, &[name], shards.sum(|shard| &shard.opened));
        self.counter(Family::UpstreamClosed, &[name], shards.sum(|shard| &shard.closed));
        self.gauge(Family::UpstreamActive, &[name], shards.level(|shard| &shard.active));
        self.gauge(Family::UpstreamIdle, &[name], shards.level(|shard| &shard.idle));
        for failure in ConnectFailure::ALL {
            let count = shards.sum(|shard| &shard.connect_failures[*failure as usize]);
            self.event(Family::UpstreamConnectFailures, &[name, failure.label()], count);
        }
        self.gauge(Family::UpstreamPending, &[name], shards.level(|shard| &shard.pending));
        self.counter(Family::UpstreamRetries, &[name], shards.sum(|shard| &shard.retries));
    }

    fn endpoint(&mut self, endpoint: &EndpointMetrics) {
        let shards = &endpoint.shards;
        if !shards.is_used() {
            return;
        }
        let labels = &[&*endpoint.upstream, &*endpoint.address];
        self.counter(Family::EndpointRequests, labels, shards.sum(|shard| &shard.requests));
        self.counter(Family::EndpointFailures, labels, shards.sum(|shard| &shard.failures));
        self.gauge(Family::EndpointInFlight, labels, shards.level(|shard| &shard.in_flight));
    }

    fn process(&mut self, metrics: &Metrics) {
        let process = &metrics.process;
        self.gauge(Family::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1);
        self.gauge(Family::Workers, &[], i64::try_from(metrics.workers()).unwrap_or(i64::MAX));
        self.gauge(Family::Draining, &[], i64::from(process.draining.load(Relaxed)));
        let memory = &process.memory;
        let bytes = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.gauge(Family::MemoryResident, &[], bytes(memory.resident()));
        if let Some(limit) = memory.limit() {
            self.gauge(Family::MemoryLimit, &[], bytes(limit));
        }
        self.gauge(Family::MemoryLevel, &[], memory.level() as i64);
        let generation = process.generation.load(Relaxed);
        self.gauge(Family::ConfigGeneration, &[], i64::try_from(generation).unwrap_or(i64::MAX));
        for result in ReloadResult::ALL {
            let count = process.reloads[result as usize].load(Relaxed);
            self.counter(Family::ConfigReloads, &[result.label()], count);
        }
        for (file, stale) in &*locked(&process.stale_files) {
            self.gauge(Family::ConfigStale, &[file], *stale);
        }
        for (certificate, expiry) in &*locked(&process.certificates) {
            self.gauge(Family::CertificateExpiry, &[certificate], *expiry);
        }
        let log = &metrics.access_log;
        self.counter(Family::AccessLogLines, &[], log.workers.sum(|shard| &shard.lines));
        let (queue_full, write_failed) = log.dropped();
        self.counter(Family::AccessLogDropped, &["queue-full"], queue_full);
        self.counter(Family::AccessLogDropped, &["write-failed"], write_failed);
    }

    /// A counter of something that may never happen: no series until it does.
    fn event(&mut self, family: Family, values: &[&str], count: u64) {
        if count > 0 {
            self.counter(family, values, count);
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "the text format knows 64-bit floats only")]
    fn counter(&mut self, family: Family, values: &[&str], count: u64) {
        let mut counter = proto::Counter::default();
        counter.set_value(count as f64);
        self.push(family, values, MetricType::COUNTER).set_counter(counter);
    }

    #[allow(clippy::cast_precision_loss, reason = "the text format knows 64-bit floats only")]
    fn gauge(&mut self, family: Family, values: &[&str], level: i64) {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(level as f64);
        self.push(family, values, MetricType::GAUGE).set_gauge(gauge);
    }

    fn distribution(&mut self, family: Family, values: &[&str], durations: &Distribution) {
        let buckets = durations.cumulative().map(|(bound, count)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(durations.count());
        histogram.set_sample_sum(durations.sum_seconds());
        self.push(family, values, MetricType::HISTOGRAM).set_histogram(histogram);
    }

    fn push(&mut self, family: Family, values: &[&str], kind: MetricType) -> &mut proto::Metric {
        debug_assert_eq!(family.labels().len(), values.len(), "{}", family.name());
        debug_assert_eq!(family.kind(), kind, "{}", family.name());
        let labels = family.labels().iter().zip(values).map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        let metrics = &mut self.0[family as usize];
        let at = metrics.len();
        metrics.push(proto::Metric::from_label(labels.collect()));
        &mut metrics[at]
    }

    /// Families without a sample are left out.
    fn into_families(self) -> Vec<proto::MetricFamily> {
        let families = Family::ALL.iter().zip(self.0);
        let used = families.filter(|(_, metrics)| !metrics.is_empty());
        let families = used.map(|(family, metrics)| {
            let mut exposed = proto::MetricFamily::default();
            exposed.set_name(family.name().to_owned());
            exposed.set_help(family.help().to_owned());
            exposed.set_field_type(family.kind());
            exposed.set_metric(metrics);
            exposed
        });
        families.collect()
    }
}
