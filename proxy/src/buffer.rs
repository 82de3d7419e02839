//! Buffers lent by a worker while a socket has something to say.
//!
//! An idle connection holds none. The pool keeps the free ones that the work of late has needed.
//! Knows no protocol.

use std::rc::Rc;

use crate::shelf::Shelf;

/// Bytes of one buffer: a head at its limit and room for some of the body behind it.
pub const BUFFER_BYTES: usize = 64 * 1024;
/// Free buffers that one worker keeps at most: 16 MiB, and only while they are used.
const KEPT: usize = 256;

/// One worker's free buffers.
#[derive(Clone)]
pub struct BufferPool {
    shelf: Rc<Shelf<Box<[u8]>>>,
}

impl Default for BufferPool {
    fn default() -> Self {
        Self { shelf: Rc::new(Shelf::new(KEPT)) }
    }
}

impl BufferPool {
    pub fn take(&self) -> Buffer {
        let new = || vec![0; BUFFER_BYTES].into_boxed_slice();
        let bytes = self.shelf.take().unwrap_or_else(new);
        Buffer { bytes, start: 0, end: 0, pool: self.clone() }
    }

    /// How many lie ready.
    pub fn kept(&self) -> usize {
        self.shelf.len()
    }

    /// Gives back some of what nobody needed since the last call. To be called a few times a
    /// second.
    pub fn trim(&self) {
        self.shelf.trim();
    }

    /// Gives all free buffers back.
    pub fn clear(&self) {
        self.shelf.clear();
    }
}

/// A read buffer: filled at its end, consumed at its start. It goes back to its pool when dropped.
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    pool: BufferPool,
}

impl Buffer {
    /// What was read and not yet consumed.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where the next bytes may be read to.
    pub fn spare(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// `count` bytes of the spare room have been filled.
    pub fn commit(&mut self, count: usize) {
        debug_assert!(self.end + count <= self.bytes.len());
        self.end += count;
    }

    /// The first `count` bytes are done with.
    pub fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.start += count;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Moves what is left to the front, so that the spare room is as large as it can be.
    pub fn compact(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Makes the head's `length` bytes stay at the front while the rest is used as a body buffer.
    pub fn pin_head(self, length: usize) -> HeadBuffer {
        let mut buffer = self;
        buffer.compact();
        debug_assert!(length <= buffer.end);
        HeadBuffer { start: length, end: buffer.end, head: length, kept: None, buffer }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.shelf.put(std::mem::take(&mut self.bytes));
    }
}

/// With less room than this behind it, a body is not kept any longer.
const LEAST_ROOM: usize = 1024;

/// A buffer whose front holds a head that must stay readable, and whose rest streams the body.
pub struct HeadBuffer {
    buffer: Buffer,
    head: usize,
    start: usize,
    end: usize,
    /// What was consumed from here on can be had again.
    kept: Option<usize>,
}

impl HeadBuffer {
    pub fn head(&self) -> &[u8] {
        &self.buffer.bytes[..self.head]
    }

    /// Body bytes read and not yet consumed.
    pub fn body(&self) -> &[u8] {
        &self.buffer.bytes[self.start..self.end]
    }

    /// The head and the unconsumed body bytes, both readable at once.
    pub fn split(&self) -> (&[u8], &[u8]) {
        (self.head(), self.body())
    }

    pub fn consume(&mut self, count: usize) {
        debug_assert!(self.start + count <= self.end);
        self.start += count;
        self.reset_if_empty();
    }

    fn reset_if_empty(&mut self) {
        if self.start == self.end && self.kept.is_none() {
            self.start = self.head;
            self.end = self.head;
        }
    }

    pub fn spare(&mut self) -> &mut [u8] {
        &mut self.buffer.bytes[self.end..]
    }

    pub fn commit(&mut self, count: usize) {
        debug_assert!(self.end + count <= self.buffer.bytes.len());
        self.end += count;
    }

    /// Makes spare room where consumed body bytes stood. Those that are kept stay for as long as
    /// there is room behind them.
    pub fn compact(&mut self) {
        if self.kept.is_some() {
            if self.buffer.bytes.len() - self.end >= LEAST_ROOM {
                return;
            }
            self.kept = None;
        }
        if self.start > self.head {
            self.buffer.bytes.copy_within(self.start..self.end, self.head);
            self.end = self.head + (self.end - self.start);
            self.start = self.head;
        }
    }

    /// From here on the body is kept, as far as there is room.
    pub fn keep(&mut self) {
        self.kept = Some(self.start);
    }

    pub fn forget(&mut self) {
        self.kept = None;
        self.reset_if_empty();
    }

    /// Comes back to where the body was kept from. False when not all of it is here.
    pub fn rewind(&mut self) -> bool {
        self.start = self.kept.unwrap_or(self.start);
        self.kept.is_some()
    }

    /// Forgets the head and gives the buffer back with what follows it.
    pub fn release(mut self) -> Buffer {
        self.buffer.start = self.start;
        self.buffer.end = self.end;
        let empty = self.start == self.end;
        let mut buffer = self.buffer;
        if empty {
            buffer.start = 0;
            buffer.end = 0;
        }
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pool: &BufferPool, text: &[u8]) -> Buffer {
        let mut buffer = pool.take();
        buffer.spare()[..text.len()].copy_from_slice(text);
        buffer.commit(text.len());
        buffer
    }

    #[test]
    fn a_dropped_buffer_is_lent_again() {
        let pool = BufferPool::default();
        let first = pool.take();
        let address = first.bytes.as_ptr();
        drop(first);
        assert_eq!(pool.take().bytes.as_ptr(), address);
    }

    #[test]
    fn the_pool_keeps_a_bounded_number_and_follows_the_tide() {
        let pool = BufferPool::default();
        let many: Vec<_> = (0..KEPT * 2).map(|_| pool.take()).collect();
        drop(many);
        assert_eq!(pool.shelf.len(), KEPT);
        for _ in 0..12 {
            pool.trim();
        }
        assert_eq!(pool.shelf.len(), 0);
    }

    #[test]
    fn a_pinned_head_survives_its_body() {
        let pool = BufferPool::default();
        let mut buffer = filled(&pool, b"xxHEADbody").pin_after(2).pin_head(4);
        assert_eq!(buffer.split(), (&b"HEAD"[..], &b"body"[..]));
        buffer.consume(2);
        buffer.compact();
        buffer.spare()[..2].copy_from_slice(b"++");
        buffer.commit(2);
        assert_eq!(buffer.split(), (&b"HEAD"[..], &b"dy++"[..]));
        assert_eq!(buffer.release().filled(), b"dy++");
    }

    #[test]
    fn a_body_is_kept_while_there_is_room() {
        let pool = BufferPool::default();
        let mut buffer = filled(&pool, b"HEADone").pin_head(4);
        let read = |buffer: &mut HeadBuffer, bytes: &[u8]| {
            buffer.compact();
            buffer.spare()[..bytes.len()].copy_from_slice(bytes);
            buffer.commit(bytes.len());
        };
        buffer.keep();
        buffer.consume(3);
        read(&mut buffer, b"two");
        assert_eq!(buffer.split(), (&b"HEAD"[..], &b"two"[..]));
        buffer.consume(3);
        assert!(buffer.rewind());
        assert_eq!(buffer.body(), b"onetwo");
        buffer.consume(3);
        let rest = buffer.spare().len() - LEAST_ROOM + 1;
        read(&mut buffer, &vec![b'x'; rest]);
        buffer.consume(3);
        buffer.compact();
        assert!(!buffer.rewind());
        assert_eq!((buffer.head(), buffer.body().len()), (&b"HEAD"[..], rest));
        buffer.keep();
        buffer.consume(rest);
        buffer.forget();
        assert_eq!(buffer.start, buffer.head, "all the room is there again");
    }

    impl Buffer {
        fn pin_after(mut self, count: usize) -> Self {
            self.consume(count);
            self
        }
    }
}
