//! What one level, or all levels together, say of one policy.
//!
//! It knows no policy.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Policy;
use super::switch::Switched;
use crate::diagnostics::Report;
use crate::location::{Located, Location, Origin, Sourced};

/// An inner level overrides an outer one as a whole.
#[derive(Debug, Clone, Default)]
pub enum Setting<T> {
    /// No level says anything.
    #[default]
    Absent,
    /// A level turned it off, so that an outer level does not hold. Shared too, which keeps small
    /// what every route has.
    Disabled(Arc<Origin>),
    /// The same value is shared wherever it holds.
    Active(Arc<Sourced<T>>),
}

impl<T> Setting<T> {
    /// What is to be carried out.
    pub fn get(&self) -> Option<&Arc<Sourced<T>>> {
        match self {
            Self::Active(policy) => Some(policy),
            Self::Absent | Self::Disabled(_) => None,
        }
    }
}

impl<T: Clone> Setting<T> {
    pub(super) fn over(&self, outer: &Self) -> Self {
        match self {
            Self::Absent => outer.clone(),
            said => said.clone(),
        }
    }
}

/// Its value with the level that set it.
pub(super) fn show<P: Policy>(setting: &Setting<P>) -> Value {
    match setting {
        Setting::Absent => Value::Null,
        Setting::Disabled(origin) => json!({"value": "disabled", "origin": origin.to_string()}),
        Setting::Active(policy) => {
            json!({"value": policy.value.show(), "origin": policy.origin.to_string()})
        }
    }
}

/// `None` when the report says what is wrong.
pub(super) fn lower<P: Policy>(
    written: &Option<Located<Switched<P::Keys>>>,
    level: fn(Location) -> Origin,
    report: &mut Report,
) -> Option<Setting<P>> {
    let Some(written) = written else { return Some(Setting::Absent) };
    let origin = level(written.location.clone());
    match &written.value {
        Switched::Disabled => Some(Setting::Disabled(Arc::new(origin))),
        Switched::On(keys) => {
            let value = P::lower(keys, &written.location, report)?;
            Some(Setting::Active(Arc::new(Sourced { value, origin })))
        }
    }
}
