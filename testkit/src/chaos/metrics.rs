//! What the proxy says of itself, read as any scraper reads it.

/// Things that are open or under way: nothing of them may be left when nobody asks any more.
const BUSY: [&str; 6] = [
    "portcullis_websocket_connections{",
    "portcullis_listener_connections{",
    "portcullis_upstream_active_connections{",
    "portcullis_upstream_idle_connections{",
    "portcullis_upstream_pending_requests{",
    "portcullis_endpoint_requests_in_flight{",
];

/// One scrape: each series with its value.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics(Vec<(String, f64)>);

impl Metrics {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(series.collect())
    }

    /// Gauges that are not zero and have to be, except for the connection of the scrape itself.
    pub(super) fn busy(&self) -> Vec<String> {
        let busy = self.0.iter().filter(|(name, value)| {
            BUSY.iter().any(|gauge| name.starts_with(gauge))
                && !name.contains("listener=\"status\"")
                && *value != 0.0
        });
        busy.map(|(name, value)| format!("{name} {value}")).collect()
    }

    /// The sum over all series of a family whose labels contain this text.
    pub(super) fn sum(&self, family: &str, labels: &str) -> u64 {
        let of_family = self.0.iter().filter(|(name, _)| {
            name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
                && name.contains(labels)
        });
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counters are whole, positive and far below 2^53"
        )]
        of_family.map(|(_, value)| *value as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_finds_what_is_busy() {
        let metrics = Metrics::parse(
            "# HELP a b\nportcullis_requests_total{route=\"a\",code=\"200\"} 3\n\
             portcullis_requests_total{route=\"b\",code=\"200\"} 4\n\
             portcullis_requests_total_other 9\n\
             portcullis_listener_connections{listener=\"status\"} 1\n\
             portcullis_listener_connections{listener=\"plain\"} 2\n\
             portcullis_upstream_idle_connections{upstream=\"a\"} 0\n",
        );
        assert_eq!(metrics.sum("portcullis_requests_total", ""), 7);
        assert_eq!(metrics.sum("portcullis_requests_total", "route=\"b\""), 4);
        assert_eq!(metrics.busy(), ["portcullis_listener_connections{listener=\"plain\"} 2"]);
    }
}
