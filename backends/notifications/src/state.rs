//! What every handler gets: the messages, the seats and the rules of one service.
//!
//! It knows no route.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use shop_platform::auth::Verifier;
use shop_platform::{Clock, Database};

use crate::feed::seats::Seats;
use crate::feed::session::Heartbeat;
use crate::messages::Messages;
use crate::metrics::NotificationMetrics;

/// What the handlers share.
pub(crate) struct Notifications {
    pub(crate) database: Database,
    pub(crate) messages: Messages,
    pub(crate) seats: Arc<Seats>,
    pub(crate) verifier: Verifier,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) metrics: NotificationMetrics,
    pub(crate) clock: Arc<dyn Clock>,
}

#[derive(Clone)]
pub(crate) struct App(pub(crate) Arc<Notifications>);

impl Deref for App {
    type Target = Notifications;

    fn deref(&self) -> &Notifications {
        &self.0
    }
}

impl FromRef<App> for Verifier {
    fn from_ref(app: &App) -> Self {
        app.verifier.clone()
    }
}
