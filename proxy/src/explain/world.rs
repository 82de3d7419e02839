//! The live state that an explanation needs, built from a configuration that is not served.

use portcullis_config::model::{Config, ListenerId, ListenerKind};

use crate::decide::{LISTENERS_ASKED, Site};
use crate::policy::{Policy, compile_listener};
use crate::route::{Normalised, RouteError, Table, compile};
use crate::tls::ServerTls;
use crate::world::WorldError;

/// The live forms of a configuration's http listeners, as far as decisions need them.
pub struct World {
    tables: Vec<Table>,
    /// Of requests that no route takes.
    policies: Vec<Box<[Policy]>>,
    tls: Vec<Option<ServerTls>>,
    /// Certificates that cannot be used here: nothing is judged by them.
    faults: Vec<WorldError>,
}

impl World {
    /// # Errors
    /// One error for each route that cannot be made live.
    pub fn build(config: &Config) -> Result<Self, Vec<RouteError>> {
        crate::tls::install_provider();
        let routes = compile(config, &[])?;
        let ids = (0..config.listeners.len()).map(ListenerId);
        let tables = ids.map(|id| Table::for_listener(&routes, id)).collect();
        let mut faults = Vec::new();
        let policies = config.listeners.iter().map(|listener| {
            compile_listener(&listener.policies, &[]).unwrap_or_else(|fault| {
                let message = fault.to_string();
                let location = listener.location.clone();
                faults.push(WorldError { location, message, help: None });
                Box::default()
            })
        });
        let policies = policies.collect();
        let tls = config.listeners.iter().map(|listener| match &listener.kind {
            ListenerKind::Http(http) => ServerTls::build(http.tls.as_ref()?, &mut faults),
            ListenerKind::Stream(_) | ListenerKind::Status => None,
        });
        let tls = tls.collect();
        Ok(Self { tables, policies, tls, faults })
    }

    pub fn faults(&self) -> &[WorldError] {
        &self.faults
    }

    pub(super) fn table(&self, id: ListenerId) -> Option<&Table> {
        self.tables.get(id.0)
    }

    pub(super) fn tls(&self, id: ListenerId) -> Option<&ServerTls> {
        self.tls.get(id.0)?.as_ref()
    }

    /// Whether another listener has a route for a request.
    pub(super) fn elsewhere(&self, own: ListenerId, seen: &Normalised<'_>) -> bool {
        let others = self.tables.iter().enumerate().filter(|(index, _)| *index != own.0);
        others.take(LISTENERS_ASKED).any(|(_, table)| table.find(seen).is_some())
    }

    /// What a listener says to a decision.
    pub(super) fn site<'t, 's>(
        &'t self,
        id: ListenerId,
        http: &portcullis_config::model::HttpListener,
        elsewhere: &'s dyn Fn(&Normalised<'_>) -> bool,
    ) -> Option<Site<'t, 's>> {
        Some(Site {
            listener: id,
            table: self.table(id)?,
            policies: self.policies.get(id.0)?,
            // They are not looked at by any verdict.
            identity_headers: &[],
            tls: self.tls(id),
            upgrades: http.upgrades,
            body_limit: *http.request_limits.body,
            elsewhere,
        })
    }
}
