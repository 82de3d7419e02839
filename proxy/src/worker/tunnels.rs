//! The open WebSocket tunnels of one worker, by route, so that they end when their route is removed.
//!
//! A route of the same name is the same in every generation. Only routes with tunnels have a
//! place here, so a reload costs what is open and not what is configured.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use ahash::RandomState;

use crate::drain::{Connections, Registration};

#[derive(Default)]
pub(super) struct Tunnels {
    routes: RefCell<HashMap<Box<str>, Rc<Connections>, RandomState>>,
}

impl Tunnels {
    /// A tunnel through a route of the newest generation.
    pub(super) fn enter(&self, route: &str) -> Registration {
        let mut routes = self.routes.borrow_mut();
        if let Some(connections) = routes.get(route) {
            return connections.register();
        }
        let connections = Rc::<Connections>::default();
        let registration = connections.register();
        routes.insert(route.into(), connections);
        registration
    }

    /// A tunnel through a route that went while it was being opened.
    pub(super) fn enter_gone() -> Registration {
        let connections = Rc::<Connections>::default();
        connections.drain(Duration::ZERO);
        connections.register()
    }

    /// There is a new generation, with routes of these names.
    pub(super) fn settle<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut routes = self.routes.borrow_mut();
        routes.retain(|_, connections| connections.count() > 0);
        if routes.is_empty() {
            return;
        }
        let names: HashSet<&str, RandomState> = names.collect();
        routes.retain(|name, connections| {
            let stays = names.contains(&**name);
            if !stays {
                connections.drain(Duration::ZERO);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_outlives_reloads_until_its_route_is_gone() {
        let tunnels = Tunnels::default();
        let (one, two) = (tunnels.enter("chat"), tunnels.enter("feed"));
        tunnels.settle(["feed", "chat", "new"].into_iter());
        assert!(!one.is_draining() && !two.is_draining());
        tunnels.settle(["feed"].into_iter());
        assert!(one.is_draining() && !two.is_draining());
        // The name means another route when it comes back.
        tunnels.settle(["feed", "chat"].into_iter());
        assert!(one.is_draining() && !tunnels.enter("chat").is_draining());
        assert!(Tunnels::enter_gone().is_draining());
    }

    #[test]
    fn routes_without_tunnels_are_forgotten() {
        let tunnels = Tunnels::default();
        drop(tunnels.enter("chat"));
        tunnels.settle(["chat"].into_iter());
        assert!(tunnels.routes.borrow().is_empty());
    }
}
