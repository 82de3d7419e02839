//! Listeners and routes of tunnels in their live form, and the lookup of a route by server name.
//!
//! A route of the same name is the same in every generation. Its tunnels outlive reloads until the
//! route is removed. Knows no connection.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use portcullis_config::model::{self, Config, ListenerId};
use portcullis_config::policy::RoutePolicies;
use portcullis_config::values::HostPattern;

use crate::cause::Rule;
use crate::observe::metrics::Metrics;
use crate::observe::series::{ListenerMetrics, RouteMetrics};
use crate::policy::address_rules;
use crate::policy::sticky::upstream_key;
use crate::route::backends::Backends;
use crate::sockets;
use crate::target::host;
use crate::tls::ServerTls;

/// The live form of a `tcp` or `tls-passthrough` listener.
pub struct StreamListener {
    pub id: sockets::ListenerId,
    /// Its index in the configuration.
    pub index: ListenerId,
    pub name: Arc<str>,
    pub settings: model::StreamListener,
    pub table: SniTable,
    pub tls: Option<Arc<ServerTls>>,
    pub metrics: Arc<ListenerMetrics>,
}

/// A route in its live form.
pub struct StreamRoute {
    /// Its index among the routes of its generation.
    pub index: usize,
    pub name: Arc<str>,
    pub listeners: Vec<ListenerId>,
    pub sni: Vec<HostPattern>,
    pub backends: Backends,
    pub policies: RoutePolicies,
    pub idle: Duration,
    /// Further connect attempts.
    pub retries: u8,
    pub metrics: Arc<RouteMetrics>,
}

impl StreamRoute {
    /// The rule that refuses this client, if one does.
    pub fn refusal(&self, listener: ListenerId, client: Option<SocketAddr>) -> Option<Rule> {
        let rules = self.policies.at(listener).address_rules.get()?;
        address_rules::refusal(rules, client.map(|address| address.ip()))
    }
}

/// All routes of a configuration, in the order of the file.
pub fn compile(config: &Config, metrics: &Metrics) -> Vec<Arc<StreamRoute>> {
    let name = |id: model::UpstreamId| {
        config.upstreams.get(id.0).map_or(0, |upstream| upstream_key(&upstream.name))
    };
    let routes = config.stream_routes.iter().enumerate().filter_map(|(index, route)| {
        Some(Arc::new(StreamRoute {
            index,
            name: route.name.as_str().into(),
            listeners: route.listeners.clone(),
            sni: route.sni.clone(),
            // The configuration guarantees that some backend has a weight.
            backends: Backends::try_new(&route.backends, name)?,
            policies: route.policies.clone(),
            idle: *route.idle,
            retries: *route.retry.retries,
            metrics: metrics.route(&route.name),
        }))
    });
    routes.collect()
}

/// The routes of one listener by server name: the exact name, then the longest wildcard, then routes
/// for any name. The order of the file breaks ties.
#[derive(Default)]
pub struct SniTable {
    exact: HashMap<Box<[u8]>, Arc<StreamRoute>, RandomState>,
    /// By suffix, without its `*.`.
    wildcards: HashMap<Box<[u8]>, Arc<StreamRoute>, RandomState>,
    any: Option<Arc<StreamRoute>>,
}

impl SniTable {
    pub fn for_listener(routes: &[Arc<StreamRoute>], listener: ListenerId) -> Self {
        let mut table = Self::default();
        for route in routes.iter().filter(|route| route.listeners.contains(&listener)) {
            if route.sni.is_empty() {
                table.any.get_or_insert_with(|| Arc::clone(route));
            }
            for name in &route.sni {
                let (map, key) = match name {
                    HostPattern::Exact(name) => (&mut table.exact, name),
                    HostPattern::Suffix(suffix) => (&mut table.wildcards, suffix),
                };
                map.entry(key.as_bytes().into()).or_insert_with(|| Arc::clone(route));
            }
        }
        table
    }

    /// `name` is in lower case.
    pub fn find(&self, name: Option<&str>) -> Option<&Arc<StreamRoute>> {
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name).as_bytes());
        let exact = name.and_then(|name| self.exact.get(name));
        let wildcard =
            || name.and_then(|name| host::parents(name).find_map(|it| self.wildcards.get(it)));
        exact.or_else(wildcard).or(self.any.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    fn table(routes: &str) -> SniTable {
        let text = format!(
            "version: v1\n\
             listeners: [{{name: passed, address: \"127.0.0.1:0\", kind: tls-passthrough}}]\n\
             upstreams: [{{name: u, endpoints: [{{address: \"127.0.0.1:1\"}}]}}]\n\
             routes:\n{routes}"
        );
        let config = portcullis_config::parse_str("a.yaml", &text).unwrap().config;
        let metrics = Metrics::new(1, &Registry::new()).unwrap();
        SniTable::for_listener(&compile(&config, &metrics), ListenerId(0))
    }

    fn route(name: &str, sni: &str) -> String {
        let matcher =
            if sni.is_empty() { String::new() } else { format!("match: {{sni: [{sni}]}}, ") };
        format!("  - {{name: {name}, listeners: [passed], {matcher}backends: [{{upstream: u}}]}}\n")
    }

    #[test]
    fn exact_names_go_before_wildcards_and_longer_before_shorter() {
        let routes = [
            route("any", ""),
            route("short", "\"*.example.com\""),
            route("long", "\"*.b.example.com\""),
            route("exact", "a.example.com, x.b.example.com"),
            route("late", "a.example.com, \"*.example.com\""),
        ];
        let table = table(&routes.concat());
        for (name, expected) in [
            (Some("a.example.com"), "exact"),
            (Some("a.example.com."), "exact"),
            (Some("x.b.example.com"), "exact"),
            (Some("y.b.example.com"), "long"),
            (Some("z.y.b.example.com"), "long"),
            (Some("b.example.com"), "short"),
            (Some("c.a.example.com"), "short"),
            (Some("example.com"), "any"),
            (Some("badexample.com"), "any"),
            (Some("com"), "any"),
            (Some(""), "any"),
            (None, "any"),
        ] {
            assert_eq!(table.find(name).map(|route| &*route.name), Some(expected), "{name:?}");
        }
    }

    #[test]
    fn without_a_route_for_any_name_unknown_ones_have_none() {
        let table = table(&route("one", "a.test, \"*.b.test\""));
        assert!(table.find(Some("a.test")).is_some() && table.find(Some("x.b.test")).is_some());
        for name in [Some("b.test"), Some("x.a.test"), Some("c.test"), None] {
            assert!(table.find(name).is_none(), "{name:?}");
        }
    }
}
