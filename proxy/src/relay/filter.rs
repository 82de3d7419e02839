//! Bodies that are rewritten on their way, or looked at: a stack of filters between reader and
//! writer.
//!
//! A filter is shown a bounded part of a body at a time, and what came of it is held until it has
//! been taken, so that back-pressure reaches through the stack. A body without filters never comes
//! here. Knows no filter by name.

use http::HeaderMap;
use smallvec::SmallVec;

use crate::cause::Cause;
use crate::message::Framing;

mod filtered;
pub mod grpc_web;

pub use filtered::Filtered;

/// What is done to a body on its way.
pub trait Filter {
    /// Sees the next bytes of the body and appends to `out` what goes on instead of them. It may
    /// hold some back, in bounded memory.
    fn feed(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<Fed, Cause>;

    /// The source has nothing at the moment: what was held back for a better result goes on, so
    /// that the reader does not wait for what is here. What cannot go on alone stays.
    fn flush(&mut self, _out: &mut Vec<u8>) -> Result<(), Cause> {
        Ok(())
    }

    /// The body is complete: appends the rest. The trailers are what follows; `None` when there
    /// is no trailer section.
    fn finish(&mut self, trailers: &mut Option<HeaderMap>, out: &mut Vec<u8>) -> Result<(), Cause>;

    /// As many bytes go on as come: a length that was announced stays true.
    fn keeps_length(&self) -> bool {
        false
    }
}

/// What goes on of bytes that a filter has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// The bytes themselves; nothing was appended.
    Unchanged,
    /// What was appended, which may be nothing yet.
    Written,
}

/// Filters in the order in which a body passes them.
#[derive(Default)]
pub struct Stack {
    filters: SmallVec<[Box<dyn Filter>; 2]>,
    /// What goes on of the stack, and what passes between two of its filters.
    out: Vec<u8>,
    between: Vec<u8>,
}

impl Stack {
    pub fn push(&mut self, filter: impl Filter + 'static) {
        self.filters.push(Box::new(filter));
    }

    #[must_use]
    pub fn with(mut self, filter: impl Filter + 'static) -> Self {
        self.push(filter);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// How a body that is framed so is framed behind the filters.
    pub fn framing(&self, framing: Framing) -> Framing {
        let keeps_length = self.filters.iter().all(|filter| filter.keeps_length());
        if framing.is_empty() || keeps_length { framing } else { Framing::Chunked }
    }

    /// What came of the stack with the last step.
    fn out(&self) -> &[u8] {
        &self.out
    }

    /// Shows the bytes to all filters.
    fn feed(&mut self, data: &[u8]) -> Result<Fed, Cause> {
        let Self { filters, out, between } = self;
        out.clear();
        let mut fed = Fed::Unchanged;
        for filter in filters {
            let passed = match fed {
                Fed::Unchanged => data,
                Fed::Written if out.is_empty() => break,
                Fed::Written => &out[..],
            };
            between.clear();
            if filter.feed(passed, between)? == Fed::Written {
                std::mem::swap(out, between);
                fed = Fed::Written;
            }
        }
        Ok(fed)
    }

    /// What each filter lets go of passes those behind it, before these are asked too.
    fn flush(&mut self) -> Result<(), Cause> {
        self.drain(|filter, out| filter.flush(out))
    }

    fn finish(&mut self, trailers: &mut Option<HeaderMap>) -> Result<(), Cause> {
        self.drain(|filter, out| filter.finish(trailers, out))
    }

    fn drain(
        &mut self,
        mut last: impl FnMut(&mut dyn Filter, &mut Vec<u8>) -> Result<(), Cause>,
    ) -> Result<(), Cause> {
        let Self { filters, out, between } = self;
        out.clear();
        for filter in filters {
            between.clear();
            if !out.is_empty() && filter.feed(out, between)? == Fed::Unchanged {
                between.extend_from_slice(out);
            }
            last(&mut **filter, between)?;
            std::mem::swap(out, between);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
