//! What became of a wish for an upgrade.

use std::time::Duration;

use portcullis_config::location::Sourced;
use portcullis_config::model::{Upgrades, WebSocket};

use super::EffectiveSetting;
use crate::cause::Rule;
use crate::decide::{Rejection, Step};
use crate::message::RequestHead;

/// What becomes of the wish for an upgrade; `None` where there was none, or it came not so far.
pub(super) fn verdict(
    head: &RequestHead<'_>,
    allowed: Upgrades,
    step: &Step<'_>,
    is_wanted: bool,
) -> Option<String> {
    if !head.parts.upgrade {
        return None;
    }
    match step {
        Step::Plan(_) if is_wanted => Some("websocket, if the upstream switches".to_owned()),
        Step::Plan(_) if !allowed.websocket => Some("dropped: the listener allows none".to_owned()),
        Step::Plan(_) => Some("dropped: only `websocket` is passed on".to_owned()),
        Step::Reject(Rejection { cause, .. }) => {
            let refused = matches!(
                cause.rule,
                Some(
                    Rule::WebSocketMethod
                        | Rule::WebSocketKey
                        | Rule::WebSocketVersionField
                        | Rule::WebSocketDisabled
                )
            );
            refused.then(|| format!("refused: {}", cause.reason.label()))
        }
        Step::Respond(_) | Step::Ask(_) => None,
    }
}

pub(super) fn settings(websocket: &WebSocket) -> Vec<EffectiveSetting> {
    fn found<T>(
        name: &'static str,
        it: &Sourced<T>,
        value: impl Fn(&T) -> String,
    ) -> EffectiveSetting {
        EffectiveSetting { name, value: value(&it.value), origin: it.origin.to_string() }
    }
    let duration = |it: &Duration| format!("{it:?}");
    let mut settings = vec![found("websocket.idleTimeout", &websocket.idle_timeout, duration)];
    settings.extend(websocket.max_age.as_ref().map(|age| found("websocket.maxAge", age, duration)));
    let drain = &websocket.drain;
    settings.push(found("websocket.drain.closeCode", &drain.close_code, |it| it.get().to_string()));
    settings.push(found("websocket.drain.jitter", &drain.jitter, duration));
    settings
}
