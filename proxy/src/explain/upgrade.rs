//! What becomes of a wish for an upgrade, by the code that judges it.

use std::time::Duration;

use portcullis_config::location::Sourced;
use portcullis_config::model::{Action, Upgrades, WebSocket};

use super::{Outcome, SettingTold};
use crate::message::RequestHead;
use crate::websocket::handshake;

/// What becomes of the wish for an upgrade: the verdict, and the outcome where it changes that.
pub(super) fn tell(
    head: &RequestHead<'_>,
    allowed: Upgrades,
    action: &Action,
    outcome: &mut Outcome,
) -> String {
    match handshake::wanted(head, allowed, || 0) {
        Ok(None) if !allowed.websocket => "dropped: the listener allows none".to_owned(),
        Ok(None) => "dropped: only `websocket` is passed on".to_owned(),
        Ok(Some(_)) => {
            if let (Outcome::Forward { settings, .. }, Action::Forward(forward)) = (outcome, action)
            {
                settings.extend(websocket_settings(&forward.websocket));
            }
            "websocket, if the upstream switches".to_owned()
        }
        Err(rule) => {
            *outcome = Outcome::rejected(rule.in_request());
            format!("refused: {}", rule.reason().label())
        }
    }
}

fn websocket_settings(websocket: &WebSocket) -> Vec<SettingTold> {
    fn told<T>(name: &'static str, it: &Sourced<T>, value: impl Fn(&T) -> String) -> SettingTold {
        SettingTold { name, value: value(&it.value), origin: it.origin.to_string() }
    }
    let duration = |it: &Duration| format!("{it:?}");
    let mut settings = vec![told("websocket.idleTimeout", &websocket.idle_timeout, duration)];
    settings.extend(websocket.max_age.as_ref().map(|age| told("websocket.maxAge", age, duration)));
    let drain = &websocket.drain;
    settings.push(told("websocket.drain.closeCode", &drain.close_code, |it| it.get().to_string()));
    settings.push(told("websocket.drain.jitter", &drain.jitter, duration));
    settings
}
