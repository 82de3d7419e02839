//! Whether what is left after all the trouble is right: pure, but for the gathering.
//!
//! Each part looks at one kind of promise and tells, in a sentence each, what does not hold.

use std::sync::Arc;

use crate::evidence::Evidence;
use crate::promises::Told;
use crate::world::World;

mod events;
mod money;
mod orders;
mod stock;

/// An audit of a world at rest.
#[derive(Debug, Clone, Copy)]
pub struct Audit;

impl Audit {
    /// What does not balance, was lost, or happened twice.
    pub async fn run(world: &Arc<World>) -> Vec<String> {
        Self::judge(&world.promises.told(), &Evidence::gather(world).await)
    }

    pub fn judge(told: &Told, evidence: &Evidence) -> Vec<String> {
        let mut findings = told.broken.clone();
        findings.extend(evidence.dead.iter().map(|service| format!("{service} ended by itself")));
        findings.extend(orders::check(told, evidence));
        findings.extend(stock::check(told, evidence));
        findings.extend(money::check(evidence));
        findings.extend(events::check(told, evidence));
        findings
    }

    /// Panics with whatever is wrong.
    pub async fn must_pass(world: &Arc<World>) {
        let findings = Self::run(world).await;
        let words = if findings.is_empty() { String::new() } else { world.last_words() };
        assert!(findings.is_empty(), "{}\n\n{words}", findings.join("\n"));
    }
}

#[cfg(test)]
mod tests;
