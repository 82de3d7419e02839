//! What holds for the requests of one route.
//!
//! A route may be bound to several listeners, and what it inherits may differ between them.

use serde_json::{Value, json};

use super::Policies;
use crate::model::{Config, ListenerId};

/// Policies of a route, by the listener that a request came by.
#[derive(Debug, Clone, Default)]
pub struct RoutePolicies {
    by_listener: Vec<(ListenerId, Policies)>,
}

impl RoutePolicies {
    pub fn new(by_listener: impl IntoIterator<Item = (ListenerId, Policies)>) -> Self {
        Self { by_listener: by_listener.into_iter().collect() }
    }

    /// What holds for requests that come by this listener: route over listener over `defaults`.
    /// Nothing where the listener does not carry the route.
    pub fn at(&self, listener: ListenerId) -> &Policies {
        const NONE: &Policies = &Policies::NONE;
        let found = self.by_listener.iter().find(|(id, _)| *id == listener);
        found.map_or(NONE, |(_, policies)| policies)
    }

    pub fn iter(&self) -> impl Iterator<Item = (ListenerId, &Policies)> {
        self.by_listener.iter().map(|(id, policies)| (*id, policies))
    }

    /// What the route says itself, over what each of its listeners says.
    pub(crate) fn resolve(
        own: &Policies,
        bound: &[ListenerId],
        listeners: &[Option<Policies>],
    ) -> Self {
        let inherited = |id: ListenerId| listeners.get(id.0).and_then(Option::as_ref);
        let at = |id: ListenerId| own.over(inherited(id).unwrap_or(&Policies::NONE));
        Self::new(bound.iter().map(|id| (*id, at(*id))))
    }

    /// By key: one value where all listeners have the same, else a list with their names.
    pub(crate) fn show(&self, config: &Config) -> Vec<(&'static str, Value)> {
        let mut shown: Vec<(&'static str, Vec<Shared<'_>>)> = Vec::new();
        for (id, policies) in self.iter() {
            let name = config.listeners.get(id.0).map_or("", |one| one.name.as_str());
            for (index, (key, value)) in policies.show().into_iter().enumerate() {
                if shown.len() == index {
                    shown.push((key, Vec::new()));
                }
                let values = &mut shown[index].1;
                match values.iter_mut().find(|(known, _)| *known == value) {
                    Some((_, names)) => names.push(name),
                    None => values.push((value, vec![name])),
                }
            }
        }
        shown.into_iter().map(|(key, values)| (key, one_or_by_listener(values))).collect()
    }
}

/// A value with the names of the listeners that have it.
type Shared<'a> = (Value, Vec<&'a str>);

fn one_or_by_listener(mut values: Vec<Shared<'_>>) -> Value {
    if values.len() == 1 {
        return values.pop().map_or(Value::Null, |(value, _)| value);
    }
    let values = values.into_iter().filter(|(value, _)| !value.is_null());
    let values = values.map(|(mut value, names)| {
        value["listeners"] = json!(names);
        value
    });
    values.collect()
}
