//! A request in its normal form: what routing, policies and the upstream all read.

use super::step::PathSource;
use crate::cause::Rule;
use crate::message::RequestHead;
use crate::route::Normalised;
use crate::target::host::{self, Authority};
use crate::target::path::{self, EncodedSlash};

/// A request in its normal form, with what routing does not look at.
pub(crate) struct NormalisedRequest<'a> {
    pub(crate) seen: Normalised<'a>,
    pub(super) authority: Authority<'a>,
    pub(super) path: PathSource,
}

/// Normalises path and host; built in the two buffers where they are not in normal form already.
pub(crate) fn normalise<'a>(
    head: &RequestHead<'a>,
    path_scratch: &'a mut Vec<u8>,
    host_scratch: &'a mut Vec<u8>,
) -> Result<NormalisedRequest<'a>, Rule> {
    let written = head.path();
    // A tunnel has no path: nothing here could route it.
    if head.method() == b"CONNECT" {
        return Err(Rule::Connect);
    }
    let path = path::normalise(written, path_scratch, EncodedSlash::Keep)?;
    let source = if written.is_empty() {
        PathSource::Root
    } else if std::ptr::eq(path, written) {
        PathSource::Head(head.parts.path)
    } else {
        PathSource::Normalised
    };
    let authority = host::normalise(head.authority(), host_scratch)?;
    Ok(join(head, path, authority, source))
}

/// The same request once more, whose path was normalised before and is kept in `path_scratch`.
pub(super) fn again<'a>(
    head: &RequestHead<'a>,
    source: PathSource,
    path_scratch: &'a [u8],
    host_scratch: &'a mut Vec<u8>,
) -> Result<NormalisedRequest<'a>, Rule> {
    let path = match source {
        PathSource::Head(span) => span.of(head.bytes),
        PathSource::Root => b"/",
        PathSource::Normalised | PathSource::Rewritten => path_scratch,
    };
    let authority = host::normalise(head.authority(), host_scratch)?;
    Ok(join(head, path, authority, source))
}

fn join<'a>(
    head: &RequestHead<'a>,
    path: &'a [u8],
    authority: Authority<'a>,
    source: PathSource,
) -> NormalisedRequest<'a> {
    let seen = Normalised {
        host: authority.host,
        path,
        method: head.method(),
        query: head.query(),
        fields: head.fields(),
    };
    NormalisedRequest { seen, authority, path: source }
}
