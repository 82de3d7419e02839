//! The live form of a configuration.
//!
//! A snapshot is built completely, off the data path, and published by one store. State whose key is
//! unchanged (clusters with their endpoints, metrics, ticket keys) is carried over. A built snapshot
//! is immutable. Endpoints and certificates change independently: each is in its own cell, with its
//! own generation.

mod live;
pub mod stream;

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_config::model::{self, Config, ListenAddress, ListenerKind};

use crate::decide::Site;
use crate::http1::request::RequestRules;
use crate::observe::access_log::LogFormat;
use crate::observe::metrics::Metrics;
use crate::observe::series::{ListenerMetrics, RouteMetrics};
use crate::policy::{Policy, compile_listener};
use crate::route::{Action, Normalised, Route, Table, compile};
use crate::sockets::ListenerId;
use crate::tls::ServerTls;
use crate::upstream::live::LiveUpstream;
use crate::world::WorldError;
pub use live::LiveListener;
use stream::{SniTable, StreamListener, StreamRoute};

/// One generation of the whole configuration.
pub struct Snapshot {
    /// Counts from one with each published generation.
    pub generation: u64,
    pub config: Arc<Config>,
    pub listeners: Vec<Arc<HttpListener>>,
    /// Listeners whose connections become tunnels, and their routes.
    pub streams: Vec<Arc<StreamListener>>,
    pub stream_routes: Vec<Arc<StreamRoute>>,
    pub routes: Vec<Arc<Route>>,
    /// By route index.
    pub route_metrics: Vec<Arc<RouteMetrics>>,
    /// For requests that took no route.
    pub unrouted: Arc<RouteMetrics>,
    /// By upstream index.
    pub upstreams: Vec<Arc<LiveUpstream>>,
    pub log_format: LogFormat,
}

/// The live form of an http listener.
pub struct HttpListener {
    pub id: ListenerId,
    /// Its index in the configuration.
    pub index: model::ListenerId,
    pub name: Arc<str>,
    /// As configured; the kernel may have chosen the port.
    pub address: ListenAddress,
    pub port: Option<u16>,
    pub settings: model::HttpListener,
    pub rules: RequestRules,
    pub table: Table,
    /// For requests that no route takes.
    pub policies: Box<[Policy]>,
    /// By which policies of its routes tell upstreams who the client is.
    pub identity_headers: Box<[Box<str>]>,
    pub tls: Option<Arc<ServerTls>>,
    pub metrics: Arc<ListenerMetrics>,
}

impl HttpListener {
    /// The listener's part of the facts of a decision.
    pub fn site<'t, 's>(&'t self, elsewhere: &'s dyn Fn(&Normalised<'_>) -> bool) -> Site<'t, 's> {
        Site {
            listener: self.index,
            table: &self.table,
            policies: &self.policies,
            identity_headers: &self.identity_headers,
            tls: self.tls.as_deref(),
            upgrades: self.settings.upgrades,
            body_limit: *self.settings.request_limits.body,
            elsewhere,
        }
    }
}

/// Gives each listener its identity, and the port that the kernel chose.
pub trait Addresses {
    /// `None` for a listener that is not bound.
    fn identify(&self, listener: &model::Listener) -> Option<(ListenerId, Option<u16>)>;
}

impl Snapshot {
    /// The state before the first generation: no listener, no route.
    pub fn nothing(config: Arc<Config>, metrics: &Arc<Metrics>) -> Self {
        Self {
            generation: 0,
            listeners: Vec::new(),
            streams: Vec::new(),
            stream_routes: Vec::new(),
            routes: Vec::new(),
            route_metrics: Vec::new(),
            unrouted: metrics.unrouted(),
            upstreams: Vec::new(),
            log_format: LogFormat::new(&config.access_log),
            config,
        }
    }

    /// Builds the next generation, or reports every problem. `previous` is not changed, so a failed
    /// build leaves no trace.
    pub fn build(
        config: Arc<Config>,
        previous: Option<&Self>,
        metrics: &Arc<Metrics>,
        addresses: &impl Addresses,
    ) -> Result<Self, Vec<WorldError>> {
        let mut faults = Vec::new();
        let before = previous.map_or(&[][..], |previous| &previous.routes);
        let routes = match compile(&config, before) {
            Ok(routes) => routes,
            Err(errors) => {
                faults.extend(errors.iter().map(|error| WorldError {
                    location: error.location.clone(),
                    message: error.fault.to_string(),
                    help: None,
                }));
                Vec::new()
            }
        };
        let upstreams = config
            .upstreams
            .iter()
            .map(|upstream| {
                let before = previous.and_then(|previous| {
                    previous.upstreams.iter().find(|it| it.cluster.name == upstream.name)
                });
                let before = before.map(|before| &**before);
                Arc::new(LiveUpstream::build(upstream, before, metrics, &mut faults))
            })
            .collect();
        let listeners = config
            .listeners
            .iter()
            .enumerate()
            .filter_map(|(index, listener)| {
                let ListenerKind::Http(settings) = &listener.kind else { return None };
                let (id, port) = addresses.identify(listener)?;
                let before = previous.and_then(|previous| previous.tls_of(id));
                let tls = server_tls(settings.tls.as_ref(), before, &mut faults);
                let before = previous.and_then(|previous| previous.listener(id));
                let policies = listener_policies(listener, before, &mut faults);
                Some(Arc::new(HttpListener {
                    id,
                    index: model::ListenerId(index),
                    name: listener.name.as_str().into(),
                    address: listener.address.clone(),
                    port,
                    rules: request_rules(settings),
                    settings: (**settings).clone(),
                    table: Table::for_listener(&routes, model::ListenerId(index)),
                    identity_headers: identity_headers(&routes, index, &policies),
                    policies,
                    tls,
                    metrics: metrics.listener(&listener.name),
                }))
            })
            .collect();
        let stream_routes = stream::compile(&config, metrics);
        let streams = config.listeners.iter().enumerate().filter_map(|(index, listener)| {
            let ListenerKind::Stream(settings) = &listener.kind else { return None };
            let (id, _) = addresses.identify(listener)?;
            let before = previous.and_then(|previous| previous.tls_of(id));
            Some(Arc::new(StreamListener {
                id,
                index: model::ListenerId(index),
                name: listener.name.as_str().into(),
                table: SniTable::for_listener(&stream_routes, model::ListenerId(index)),
                tls: server_tls(settings.tls.as_ref(), before, &mut faults),
                settings: (**settings).clone(),
                metrics: metrics.listener(&listener.name),
            }))
        });
        let streams = streams.collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            streams,
            stream_routes,
            generation: previous.map_or(1, |previous| previous.generation + 1),
            listeners,
            route_metrics: routes.iter().map(|route| metrics.route(&route.name)).collect(),
            routes,
            unrouted: metrics.unrouted(),
            upstreams,
            log_format: LogFormat::new(&config.access_log),
            config,
        })
    }
}

impl Snapshot {
    /// The TLS of every listener that has its own, by the listener's name.
    pub fn server_tls(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<ServerTls>)> {
        let http = self.listeners.iter().map(|one| (&one.name, &one.tls));
        let streams = self.streams.iter().map(|one| (&one.name, &one.tls));
        http.chain(streams).filter_map(|(name, tls)| Some((name, tls.as_ref()?)))
    }

    /// The names of the routes that forward; tunnels live as long as their route is among them.
    pub fn forwarding(&self) -> impl Iterator<Item = &str> {
        let forwards = |route: &&Arc<Route>| matches!(route.action, Action::Forward(_));
        self.routes.iter().filter(forwards).map(|route| route.name.as_str())
    }

    fn listener(&self, id: ListenerId) -> Option<&HttpListener> {
        self.listeners.iter().find(|one| one.id == id).map(|one| &**one)
    }

    fn tls_of(&self, id: ListenerId) -> Option<&ServerTls> {
        let http = self.listeners.iter().map(|one| (one.id, &one.tls));
        let streams = self.streams.iter().map(|one| (one.id, &one.tls));
        http.chain(streams).find(|(found, _)| *found == id).and_then(|(_, tls)| tls.as_deref())
    }
}

/// How requests of a listener are read.
pub fn request_rules(settings: &model::HttpListener) -> RequestRules {
    let limits = &settings.request_limits;
    RequestRules {
        head_bytes: *limits.header_bytes as usize,
        uri_bytes: *limits.uri as usize,
        headers: usize::from(*limits.headers),
        underscores: settings.header_underscores,
    }
}

/// Of all policies that hold at a listener, each once.
fn identity_headers(routes: &[Arc<Route>], index: usize, own: &[Policy]) -> Box<[Box<str>]> {
    let listener = model::ListenerId(index);
    let policies = routes.iter().flat_map(|route| route.policies.at(listener)).chain(own);
    let names = policies.filter_map(Policy::identity_header).map(Box::from);
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Of requests that no route takes.
fn listener_policies(
    listener: &model::Listener,
    before: Option<&HttpListener>,
    faults: &mut Vec<WorldError>,
) -> Box<[Policy]> {
    let before = before.map_or(&[][..], |before| &before.policies);
    compile_listener(&listener.policies, before).unwrap_or_else(|fault| {
        faults.push(WorldError {
            location: listener.location.clone(),
            message: format!("listener `{}`: {fault}", listener.name),
            help: None,
        });
        Box::default()
    })
}

fn server_tls(
    config: Option<&model::ListenerTls>,
    before: Option<&ServerTls>,
    faults: &mut Vec<WorldError>,
) -> Option<Arc<ServerTls>> {
    ServerTls::build_after(before, config?, faults).map(Arc::new)
}
