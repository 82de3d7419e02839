//! Filters for tests, and a stack run over pieces by hand.

use std::cell::RefCell;
use std::rc::Rc;

use http::{HeaderMap, HeaderValue};
use proptest::sample::Index;

use super::{Fed, Filter, Stack};
use crate::cause::Cause;

/// Adds to each byte, and lets go of whole groups alone until it is asked for the rest.
pub(in crate::relay) struct Holding {
    pub(in crate::relay) group: usize,
    pub(in crate::relay) add: u8,
    held: Vec<u8>,
}

impl Holding {
    pub(in crate::relay) fn new(group: usize, add: u8) -> Self {
        Self { group, add, held: Vec::new() }
    }
}

impl Filter for Holding {
    fn feed(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<Fed, Cause> {
        self.held.extend(data.iter().map(|byte| byte.wrapping_add(self.add)));
        let whole = self.held.len() - self.held.len() % self.group;
        out.extend(self.held.drain(..whole));
        Ok(Fed::Written)
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Cause> {
        out.append(&mut self.held);
        Ok(())
    }

    /// Says in a trailer what it added.
    fn finish(&mut self, trailers: &mut Option<HeaderMap>, out: &mut Vec<u8>) -> Result<(), Cause> {
        out.append(&mut self.held);
        let added = HeaderValue::from(u16::from(self.add));
        trailers.get_or_insert_default().append("added", added);
        Ok(())
    }

    fn keeps_length(&self) -> bool {
        true
    }
}

/// Writes down what passes.
#[derive(Clone, Default)]
pub(in crate::relay) struct Tee {
    pub(in crate::relay) seen: Rc<RefCell<Vec<u8>>>,
}

impl Filter for Tee {
    fn feed(&mut self, data: &[u8], _: &mut Vec<u8>) -> Result<Fed, Cause> {
        self.seen.borrow_mut().extend_from_slice(data);
        Ok(Fed::Unchanged)
    }

    fn finish(&mut self, _: &mut Option<HeaderMap>, _: &mut Vec<u8>) -> Result<(), Cause> {
        Ok(())
    }

    fn keeps_length(&self) -> bool {
        true
    }
}

/// Shows the pieces to the stack one after the other; what goes on, and what follows it.
pub(in crate::relay) fn run(
    mut stack: Stack,
    pieces: &[&[u8]],
    mut trailers: Option<HeaderMap>,
) -> Result<(Vec<u8>, Option<HeaderMap>), Cause> {
    let mut out = Vec::new();
    for piece in pieces {
        match stack.feed(piece)? {
            Fed::Unchanged => out.extend_from_slice(piece),
            Fed::Written => out.extend_from_slice(stack.out()),
        }
    }
    stack.finish(&mut trailers)?;
    out.extend_from_slice(stack.out());
    Ok((out, trailers))
}

/// `data` cut behind each of these places.
pub(in crate::relay) fn cut<'a>(data: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
    places.extend([0, data.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &data[pair[0]..pair[1]]).collect()
}
