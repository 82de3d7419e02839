//! Read buffers, which a connection holds only while it has bytes to process.
//!
//! An idle connection holds none. The pool keeps as many free ones as were needed recently.
//! Knows no protocol.

use std::rc::Rc;

use crate::free_list::FreeList;

/// Bytes of one buffer: a head at its limit and room for some of the body behind it.
pub const BUFFER_BYTES: usize = 64 * 1024;
/// Free buffers that one worker keeps at most: 16 MiB, and only while they are used.
const KEPT: usize = 256;

/// One worker's free buffers.
#[derive(Clone)]
pub struct BufferPool {
    free_list: Rc<FreeList<Box<[u8]>>>,
}

impl Default for BufferPool {
    fn default() -> Self {
        Self { free_list: Rc::new(FreeList::new(KEPT)) }
    }
}

impl BufferPool {
    pub fn take(&self) -> Buffer {
        let new = || vec![0; BUFFER_BYTES].into_boxed_slice();
        let bytes = self.free_list.take().unwrap_or_else(new);
        Buffer { bytes, start: 0, end: 0, pool: self.clone() }
    }

    /// How many are free.
    pub fn kept(&self) -> usize {
        self.free_list.len()
    }

    /// Frees some of what was not needed since the last call. Call it a few times a second.
    pub fn trim(&self) {
        self.free_list.trim();
    }

    /// Frees all free buffers.
    pub fn clear(&self) {
        self.free_list.clear();
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
        HeadBuffer {
            start: length,
            end: buffer.end,
            head: length,
            kept: None,
            spilled: None,
            gone: false,
            buffer,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.free_list.put(std::mem::take(&mut self.bytes));
    }
}

/// With less room than this behind it, a body that is kept has to make room.
const LEAST_ROOM: usize = 1024;

/// A buffer whose front holds a head that must stay readable, and whose rest streams the body.
pub struct HeadBuffer {
    buffer: Buffer,
    head: usize,
    start: usize,
    end: usize,
    kept: Option<KeptBody>,
    /// What was kept first and had to make room. It is read before what stands in the buffer.
    spilled: Option<Box<Spilled>>,
    /// Some of the body was consumed and is not here any more.
    gone: bool,
}

/// What of the consumed body can be had again.
#[derive(Clone, Copy)]
struct KeptBody {
    /// Where in the buffer it begins; what has been spilled stands before it.
    from: usize,
    /// Bytes that are kept at most.
    most: usize,
}

#[derive(Default)]
struct Spilled {
    bytes: Vec<u8>,
    /// How much of them was read again.
    read: usize,
}

impl HeadBuffer {
    pub fn head(&self) -> &[u8] {
        &self.buffer.bytes[..self.head]
    }

    /// Body bytes read and not yet consumed: those that are here, or the first of them.
    pub fn body(&self) -> &[u8] {
        match &self.spilled {
            Some(spilled) if spilled.read < spilled.bytes.len() => &spilled.bytes[spilled.read..],
            _ => &self.buffer.bytes[self.start..self.end],
        }
    }

    pub fn consume(&mut self, count: usize) {
        if let Some(spilled) = &mut self.spilled
            && spilled.read < spilled.bytes.len()
        {
            spilled.read += count;
            return self.drop_spilled();
        }
        debug_assert!(self.start + count <= self.end);
        self.start += count;
        self.gone |= count > 0 && self.kept.is_none();
        self.reset_if_empty();
    }

    fn reset_if_empty(&mut self) {
        if self.start == self.end && self.kept.is_none() {
            self.start = self.head;
            self.end = self.head;
        }
    }

    /// What was spilled is of no use once it is neither read again nor kept.
    fn drop_spilled(&mut self) {
        let read = self.spilled.as_ref().is_some_and(|it| it.read == it.bytes.len());
        if read && self.kept.is_none() {
            self.spilled = None;
        }
    }

    pub fn spare(&mut self) -> &mut [u8] {
        &mut self.buffer.bytes[self.end..]
    }

    /// `count` bytes of the spare room have been filled.
    pub fn commit(&mut self, count: usize) {
        debug_assert!(self.end + count <= self.buffer.bytes.len());
        self.end += count;
    }

    /// Makes spare room where consumed body bytes stood. Those that are kept stay for as long as
    /// there is room behind them, and then elsewhere.
    pub fn compact(&mut self) {
        if let Some(kept) = self.kept {
            if self.is_too_much(kept) {
                self.forget();
            } else if self.buffer.bytes.len() - self.end >= LEAST_ROOM {
                return;
            } else {
                self.spill(kept);
            }
        }
        if self.start > self.head {
            self.buffer.bytes.copy_within(self.start..self.end, self.head);
            self.end = self.head + (self.end - self.start);
            self.start = self.head;
        }
    }

    fn is_too_much(&self, kept: KeptBody) -> bool {
        let spilled = self.spilled.as_ref().map_or(0, |spilled| spilled.bytes.len());
        spilled + (self.start - kept.from) > kept.most
    }

    fn spill(&mut self, kept: KeptBody) {
        let spilled = self.spilled.get_or_insert_default();
        spilled.bytes.extend_from_slice(&self.buffer.bytes[kept.from..self.start]);
        spilled.read = spilled.bytes.len();
        self.kept = Some(KeptBody { from: self.head, ..kept });
    }

    /// From here on the body is kept, up to `most` bytes.
    pub fn keep(&mut self, most: usize) {
        self.kept = Some(KeptBody { from: self.start, most });
        self.gone = false;
    }

    /// What was consumed of the body is not wanted again.
    pub fn forget(&mut self) {
        if let Some(kept) = self.kept.take() {
            self.gone = self.start > kept.from || self.spilled.is_some();
            self.drop_spilled();
            self.reset_if_empty();
        }
    }

    /// Comes back to where the body was kept from. False when not all of it is here.
    pub fn rewind(&mut self) -> bool {
        let Some(kept) = self.kept else { return !self.gone };
        if self.is_too_much(kept) {
            return false;
        }
        self.start = kept.from;
        if let Some(spilled) = &mut self.spilled {
            spilled.read = 0;
        }
        true
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
    fn a_dropped_buffer_is_reused() {
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
        assert_eq!(pool.free_list.len(), KEPT);
        for _ in 0..12 {
            pool.trim();
        }
        assert_eq!(pool.free_list.len(), 0);
    }

    #[test]
    fn a_pinned_head_survives_its_body() {
        let pool = BufferPool::default();
        let mut buffer = filled(&pool, b"xxHEADbody").pin_after(2).pin_head(4);
        assert_eq!((buffer.head(), buffer.body()), (&b"HEAD"[..], &b"body"[..]));
        buffer.consume(2);
        buffer.compact();
        buffer.spare()[..2].copy_from_slice(b"++");
        buffer.commit(2);
        assert_eq!((buffer.head(), buffer.body()), (&b"HEAD"[..], &b"dy++"[..]));
        assert_eq!(buffer.release().filled(), b"dy++");
    }

    fn read(buffer: &mut HeadBuffer, bytes: &[u8]) {
        buffer.compact();
        buffer.spare()[..bytes.len()].copy_from_slice(bytes);
        buffer.commit(bytes.len());
    }

    fn taken(buffer: &mut HeadBuffer) -> Vec<u8> {
        let mut taken = Vec::new();
        while !buffer.body().is_empty() {
            taken.extend_from_slice(buffer.body());
            buffer.consume(buffer.body().len());
        }
        taken
    }

    #[test]
    fn a_body_is_kept_up_to_its_bound() {
        const MUCH: usize = BUFFER_BYTES - LEAST_ROOM;
        for (most, kept) in [(usize::MAX, true), (MUCH, true), (MUCH - 2, false), (9, false)] {
            let mut buffer = filled(&BufferPool::default(), b"HEADone").pin_head(4);
            buffer.keep(most);
            assert_eq!(taken(&mut buffer), b"one");
            read(&mut buffer, b"two");
            assert_eq!((buffer.head(), buffer.body()), (&b"HEAD"[..], &b"two"[..]));
            buffer.consume(3);
            assert!(buffer.rewind());
            assert_eq!(taken(&mut buffer), b"onetwo");
            // It fills the buffer, and what comes next needs its room.
            let much = vec![b'x'; MUCH - 9];
            read(&mut buffer, &much);
            taken(&mut buffer);
            read(&mut buffer, b"more");
            assert_eq!(buffer.head(), b"HEAD");
            buffer.consume(2);
            assert_eq!(buffer.rewind(), kept, "{most}");
            let again = taken(&mut buffer);
            let all = [&b"onetwo"[..], &much, b"more"].concat();
            assert!(again == if kept { &all } else { &b"re"[..] });
        }
    }

    /// An answer may come while the body is still being sent again.
    #[test]
    fn what_is_being_read_again_is_not_forgotten() {
        let mut buffer = filled(&BufferPool::default(), b"HEAD").pin_head(4);
        buffer.keep(usize::MAX);
        let much = vec![b'x'; BUFFER_BYTES - LEAST_ROOM];
        read(&mut buffer, &much);
        taken(&mut buffer);
        read(&mut buffer, b"more");
        assert!(buffer.rewind());
        buffer.consume(10);
        buffer.forget();
        assert!(!buffer.rewind());
        assert!(taken(&mut buffer) == [&much[10..], b"more"].concat());
        assert_eq!(buffer.start, buffer.head, "all the room is there again");
    }

    #[test]
    fn of_what_is_not_kept_only_the_whole_can_be_had_again() {
        let mut buffer = filled(&BufferPool::default(), b"HEADbody").pin_head(4);
        assert!(buffer.rewind());
        buffer.consume(1);
        assert!(!buffer.rewind());
    }

    impl Buffer {
        fn pin_after(mut self, count: usize) -> Self {
            self.consume(count);
            self
        }
    }
}
