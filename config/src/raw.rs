//! The configuration as written: every key optional, every value with its place.
//!
//! Each object is declared once; reader and JSON Schema both come from that declaration, so they
//! cannot drift apart. What is known here is the form of each value by itself; how values go
//! together, which defaults hold and what names refer to is the business of `lower`.

pub(crate) mod addresses;
mod declare;
mod listener;
mod process;
mod route;
pub(crate) mod scalars;
pub(crate) mod shape;
pub(crate) mod texts;
mod upstream;

use std::path::Path;

use crate::diagnostics::Report;
use crate::location::Located;
use crate::secrets::SecretSource;
use crate::tree::Node;

pub(crate) use addresses::Address;
pub(crate) use listener::{Certificate, ClientAuth, ClientAuthChoice, Listener, ListenerKind, Tls};
pub(crate) use process::{AccessLog, Admin, Defaults, Document, Limits, LogTarget, Shutdown};
pub(crate) use route::{
    Backend, CookieMatch, HeaderEdit, HeaderEdits, HeaderMatch, Match, PathMatch, QueryMatch,
    Redirect, Reply, Rewrite, Route, ValueMatch, WebSocket,
};
pub(crate) use shape::Shape;
pub(crate) use upstream::{
    Balancing, Endpoint, HashOn, LoadBalancer, Upstream, UpstreamTls, UpstreamTlsMode,
};

/// A list as written.
pub(crate) type Items<T> = Option<Located<Vec<Located<T>>>>;

/// Reads one file's tree; `base` is the directory that its paths are relative to.
pub(crate) fn read(
    node: &Node,
    base: &Path,
    secrets: &dyn SecretSource,
    report: &mut Report,
) -> Option<Document> {
    Document::read(node, &mut shape::Reader { report, secrets, base })
}
