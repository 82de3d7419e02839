//! The buffers of a request, reused from request to request so that they are allocated once.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::decide;
use crate::free_list::FreeList;
use crate::message::{RequestParts, ResponseParts};

/// Kept ready by one worker; beyond them a burst allocates its own.
const KEPT: usize = 256;
/// A write buffer that grew beyond this goes back to the allocator.
const KEPT_OUT: usize = 128 * 1024;

#[derive(Default)]
pub struct Parts {
    pub request: RequestParts,
    pub response: ResponseParts,
    pub decide: decide::DecisionScratch,
    /// A request's head that stands in no read buffer.
    pub head: Vec<u8>,
    /// The head of an upstream's response that came by HTTP/2.
    pub response_head: Vec<u8>,
    /// The head on its way to the upstream, or a response of our own.
    pub out: Vec<u8>,
    /// The head on its way to the client.
    pub response_out: Vec<u8>,
}

/// One worker's free [`Parts`], as many as were needed recently.
#[derive(Clone)]
pub struct ScratchPool {
    free: Rc<FreeList<Box<Parts>>>,
}

impl Default for ScratchPool {
    fn default() -> Self {
        Self { free: Rc::new(FreeList::new(KEPT)) }
    }
}

impl ScratchPool {
    pub fn take(&self) -> Scratch {
        let parts = self.free.take().unwrap_or_default();
        Scratch { parts: Some(parts), pool: self.clone() }
    }

    /// How many are free.
    pub fn kept(&self) -> usize {
        self.free.len()
    }

    /// Frees some of what was not needed since the last call. Call it a few times a second.
    pub fn trim(&self) {
        self.free.trim();
    }
}

/// Checked-out [`Parts`], returned on drop.
pub struct Scratch {
    parts: Option<Box<Parts>>,
    pool: ScratchPool,
}

impl Deref for Scratch {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        match &self.parts {
            Some(parts) => parts,
            None => unreachable!("taken only on drop"),
        }
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Parts {
        match &mut self.parts {
            Some(parts) => parts,
            None => unreachable!("taken only on drop"),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        let Parts { head, response_head, out, response_out, decide, .. } = &mut *parts;
        decide.clear();
        for buffer in [head, response_head, out, response_out] {
            buffer.clear();
            if buffer.capacity() > KEPT_OUT {
                *buffer = Vec::new();
            }
        }
        self.pool.free.put(parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_burst_needed_is_given_back_behind_it() {
        let pool = ScratchPool::default();
        let many: Vec<_> = (0..KEPT * 2).map(|_| pool.take()).collect();
        drop(many);
        assert_eq!(pool.free.len(), KEPT);
        for _ in 0..12 {
            pool.trim();
        }
        assert_eq!(pool.free.len(), 0);
    }
}
