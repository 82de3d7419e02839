//! A route of tunnels on one worker: it ends its tunnels when the route is removed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::drain::Connections;
use crate::snapshot::stream::StreamRoute;

/// A route as one worker knows it.
pub struct LocalRoute {
    name: Arc<str>,
    /// Asked to end when the route is removed.
    pub tunnels: Rc<Connections>,
}

impl LocalRoute {
    /// Of the routes of a generation: those known by name go on, the others begin.
    pub(super) fn succeed(known: &[Rc<Self>], routes: &[Arc<StreamRoute>]) -> Vec<Rc<Self>> {
        let local = routes.iter().map(|route| {
            let before = known.iter().find(|before| before.name == route.name);
            before.map_or_else(
                || Rc::new(Self { name: Arc::clone(&route.name), tunnels: Rc::default() }),
                Rc::clone,
            )
        });
        local.collect()
    }

    /// Tells the tunnels of routes that `now` has no more.
    pub(super) fn end_missing(before: &[Rc<Self>], now: &[Rc<Self>]) {
        for gone in before.iter().filter(|before| !now.iter().any(|it| Rc::ptr_eq(it, before))) {
            gone.tunnels.drain(Duration::ZERO);
        }
    }
}
