//! Where a redirect points (Gateway API, `HTTPRequestRedirectFilter`).
//!
//! The location is absolute and made of checked parts only: a host that obeys the host rules, a
//! port, a normalised path, and the query with every byte escaped that has no place in a URL.

use std::io::Write as _;

use portcullis_config::model::{self, RedirectPath, Scheme};

use super::PolicyFault;
use super::rewrite::PrefixSwap;
use crate::cause::Rule;
use crate::target::host::{self, Authority};
use crate::target::path::push_escape;
use crate::target::{TargetFault, normal_path};

/// A redirect, prepared.
#[derive(Debug)]
pub struct Redirect {
    pub status: u16,
    scheme: Option<Scheme>,
    host: Option<Box<[u8]>>,
    port: Option<u16>,
    path: Option<NewPath>,
}

#[derive(Debug)]
enum NewPath {
    Full(Box<[u8]>),
    Prefix(PrefixSwap),
}

/// What a request contributes to its location.
#[derive(Debug, Clone, Copy)]
pub struct RedirectParts<'a> {
    pub tls: bool,
    /// The listener's port; `None` on a Unix socket.
    pub local_port: Option<u16>,
    pub authority: Authority<'a>,
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
}

impl Redirect {
    /// # Errors
    /// A host or path that could not stand in a URL, or a prefix without a match by prefix, which
    /// is `matched`.
    pub fn compile(
        redirect: &model::Redirect,
        matched: Option<&[u8]>,
    ) -> Result<Self, PolicyFault> {
        let host = redirect.host.as_deref().map(normal_host).transpose()?;
        let path = match &redirect.path {
            None => None,
            Some(RedirectPath::Full(path)) => Some(NewPath::Full(normal_path(path, true)?)),
            Some(RedirectPath::Prefix(with)) => {
                Some(NewPath::Prefix(PrefixSwap::compile(with, matched, true)?))
            }
        };
        Ok(Self {
            status: redirect.status.code(),
            scheme: redirect.scheme,
            host,
            port: redirect.port.map(Into::into),
            path,
        })
    }

    /// Writes the value of `location`.
    ///
    /// # Errors
    /// [`Rule::HostMissing`] when neither the route nor the client names a host.
    pub fn locate(&self, source: &RedirectParts<'_>, out: &mut Vec<u8>) -> Result<(), Rule> {
        let host = self.host.as_deref().unwrap_or(source.authority.host);
        if host.is_empty() {
            return Err(Rule::HostMissing);
        }
        let own = if source.tls { Scheme::Https } else { Scheme::Http };
        let scheme = self.scheme.unwrap_or(own);
        out.clear();
        out.extend_from_slice(match scheme {
            Scheme::Http => b"http://",
            Scheme::Https => b"https://",
        });
        out.extend_from_slice(host);
        if let Some(port) = self.port_of(source)
            && port != well_known(scheme)
        {
            // Writing to memory does not fail.
            let _ = write!(out, ":{port}");
        }
        // `OPTIONS *` has no path to keep.
        let path = if source.path == b"*" { b"/" } else { source.path };
        match &self.path {
            None => out.extend_from_slice(path),
            Some(NewPath::Full(full)) => out.extend_from_slice(full),
            Some(NewPath::Prefix(swap)) => swap.apply(path, out),
        }
        if let Some(query) = source.query {
            out.push(b'?');
            query.iter().for_each(|byte| push_url_byte(out, *byte));
        }
        Ok(())
    }

    /// The route's port; else the port that belongs to the scheme it names; else the port the
    /// request came to.
    fn port_of(&self, source: &RedirectParts<'_>) -> Option<u16> {
        match (self.port, self.scheme) {
            (Some(port), _) => Some(port),
            (None, Some(scheme)) => Some(well_known(scheme)),
            (None, None) => source.local_port.or(source.authority.port),
        }
    }
}

fn well_known(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}

/// A host alone: the port has its own place.
fn normal_host(text: &str) -> Result<Box<[u8]>, TargetFault> {
    match host::normalise(text.as_bytes(), &mut Vec::new()) {
        Ok(Authority { host, port: None }) if !host.is_empty() && !text.ends_with(':') => {
            Ok(host.into())
        }
        _ => Err(TargetFault::Host(text.to_owned())),
    }
}

fn push_url_byte(out: &mut Vec<u8>, byte: u8) {
    if byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte) {
        out.push(byte);
    } else {
        push_escape(out, byte);
    }
}
