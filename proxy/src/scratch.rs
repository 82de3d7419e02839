//! What a request needs while it lives, lent from request to request so that it is allocated once.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::decide;
use crate::message::{RequestParts, ResponseParts};

/// Kept ready by one worker; beyond them a burst allocates its own.
const KEPT: usize = 256;
/// A write buffer that grew beyond this goes back to the allocator.
const KEPT_OUT: usize = 128 * 1024;

#[derive(Default)]
pub struct Parts {
    pub request: RequestParts,
    pub response: ResponseParts,
    pub decide: decide::Scratch,
    /// A request's head that stands in no read buffer.
    pub head: Vec<u8>,
    /// The head of an upstream's response that came by HTTP/2.
    pub response_head: Vec<u8>,
    /// The head on its way to the upstream, or a response of our own.
    pub out: Vec<u8>,
    /// The head on its way to the client.
    pub response_out: Vec<u8>,
    /// Header lines that the proxy adds.
    pub lines: Vec<u8>,
}

/// One worker's spare [`Parts`].
#[derive(Clone, Default)]
#[allow(clippy::vec_box, reason = "lending moves a pointer, not the parts")]
pub struct ScratchPool {
    free: Rc<RefCell<Vec<Box<Parts>>>>,
}

impl ScratchPool {
    pub fn take(&self) -> Scratch {
        let parts = self.free.borrow_mut().pop().unwrap_or_default();
        Scratch { parts: Some(parts), pool: self.clone() }
    }
}

/// Lent [`Parts`], given back on drop.
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
        let mut free = self.pool.free.borrow_mut();
        if let Some(mut parts) = self.parts.take()
            && free.len() < KEPT
        {
            let Parts { head, response_head, out, response_out, lines, .. } = &mut *parts;
            for buffer in [head, response_head, out, response_out, lines] {
                buffer.clear();
                if buffer.capacity() > KEPT_OUT {
                    *buffer = Vec::new();
                }
            }
            free.push(parts);
        }
    }
}
