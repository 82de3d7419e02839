//! Whether everything is as it should be: pure comparisons of what was done with what the shop
//! says. It asks nobody anything.

pub(crate) mod books;
pub(crate) mod end;
pub(crate) mod ledger;
pub(crate) mod notices;
pub(crate) mod visit;
