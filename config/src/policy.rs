//! Policies: a file for each of them, and a line in the registry below.
//!
//! A policy's file has its keys, their defaults, the rules between them, the value that comes of
//! them, and how that is shown. Where a policy may be written, how levels inherit, the schema and
//! the effective view follow from the registry. Nothing here knows how a policy is carried out.

pub mod address_rules;
pub mod basic_auth;
pub mod content_types;
pub mod cors;
mod registry;
mod route;
pub mod security_headers;
mod setting;
mod switch;
#[cfg(test)]
mod testing;

use schemars::SchemaGenerator;
use serde_json::Value;

use crate::diagnostics::{Diagnostic, Report};
use crate::location::{FileRef, Located, Location, Origin, Sourced};
use crate::model::Listener;
use crate::raw::shape::{Field, Key, Members, ObjectSchema, Reader, Shape};
use crate::suggest::foreign::Entry;
use switch::Switch;

pub use route::RoutePolicies;
pub use setting::Setting;

registry::policies! {
    /// The pages of which sites may use it from a browser.
    cors: cors::Cors = "cors",
    /// From which addresses it may be used.
    address_rules: address_rules::AddressRules = "addressRules",
    /// Response headers that turn on protections of browsers.
    security_headers: security_headers::SecurityHeaders = "securityHeaders",
    /// Which media types the body of a request may have.
    content_types: content_types::ContentTypes = "contentTypes",
    /// Users and passwords from a file.
    basic_auth: basic_auth::BasicAuth = "basicAuth",
}

/// What this crate knows of a policy.
pub(crate) trait Policy: Sized {
    /// Its keys, as written.
    type Keys: Shape<Value = Self::Keys>;

    /// Whether it means something where bytes are passed on: `tcp` and `tls-passthrough`.
    const STREAMS: bool = false;

    /// Words of other proxies for it and for its keys, and what to write here.
    const FOREIGN: &'static [Entry] = &[];

    /// The least that can be written, as JSON: what it comes to are the defaults.
    #[cfg(test)]
    const LEAST: &'static str;

    /// Applies defaults and the rules between values. `None` when the report says what is wrong.
    fn lower(keys: &Self::Keys, at: &Location, report: &mut Report) -> Option<Self>;

    /// As the admin API shows it, without secrets.
    fn show(&self) -> Value;

    /// The files that it names.
    fn files(&self) -> Vec<&FileRef> {
        Vec::new()
    }

    /// Warns of what is doubtful on this listener. A warning that is repeated is shown once.
    fn check(_policy: &Sourced<Self>, _listener: &Listener, _report: &mut Report) {}
}

/// Refuses a list that takes long to look through for each request.
fn bounded<T>(listed: &Located<Vec<T>>, most: usize, report: &mut Report) -> Option<()> {
    if listed.value.len() <= most {
        return Some(());
    }
    let message = format!("{} entries, and {most} are the most", listed.value.len());
    report.push(Diagnostic::error(listed.location.clone(), message));
    None
}

impl Written {
    /// Those that mean nothing where bytes are passed on, in the form of what is refused there.
    pub(crate) fn for_http(&self) -> impl Iterator<Item = (&'static str, Option<&Location>)> {
        let written = self.places().into_iter();
        written.filter(|(_, streams, _)| !streams).map(|(key, _, at)| (key, Some(at)))
    }
}

#[cfg(test)]
mod tests;
