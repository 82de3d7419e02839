//! What a case is: a name, and work that is set up once and repeated.
//!
//! It knows no piece of the engine.

/// One measured piece: each call does it once more, with buffers as the call before left them.
pub type Work = Box<dyn FnMut()>;

/// A piece of the engine under its name in tables and in the baseline.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub(crate) prepare: fn() -> Work,
}

/// Calls before anything is measured: buffers get their size, lazy things are looked up, and every
/// endpoint has answered often enough to be known.
const WARM: usize = 64;

impl Case {
    /// Everything that is not to be measured: the work, set up and warm.
    pub fn warm(&self) -> Work {
        let mut work = (self.prepare)();
        (0..WARM).for_each(|_| work());
        work
    }
}
