//! What would happen to a request, and why.
mod head;
pub(crate) use head::HypotheticalHead;
