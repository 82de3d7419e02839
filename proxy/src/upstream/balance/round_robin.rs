//! round-robin: in turn, and with weights as evenly spread as turns can be.
//!
//! Source: nginx's smooth weighted round-robin (2012): everybody gains its weight each time, the
//! one with the most is picked and pays the sum of all. Where all weights are equal that is a
//! plain cursor, which is what is used then.

use std::rc::Rc;

use tokio::time::Instant;

use super::draw::Weights;
use super::member::Member;

#[derive(Default)]
pub(super) struct RoundRobin {
    cursor: usize,
    /// Identity and credit of each member, place by place. Credits sum to about nothing.
    credits: Vec<(u64, f64)>,
}

impl RoundRobin {
    /// Starts at a random turn, for the members that are new; the others keep theirs.
    pub(super) fn adopt(&mut self, members: &[Rc<Member>], random: &mut fastrand::Rng) {
        let known: std::collections::HashMap<u64, f64> = self.credits.drain(..).collect();
        let total: f64 = members.iter().map(|member| f64::from(member.endpoint.weight)).sum();
        self.credits.extend(members.iter().map(|member| {
            let id = member.endpoint.id;
            let start = || (random.f64() - 0.5) * total;
            (id, known.get(&id).copied().unwrap_or_else(start))
        }));
        let drift = self.credits.iter().map(|(_, credit)| credit).sum::<f64>()
            / self.credits.len().max(1) as f64;
        self.credits.iter_mut().for_each(|(_, credit)| *credit -= drift);
        self.cursor = random.usize(..members.len().max(1));
    }

    /// The next endpoint, not among `tried` while there is another.
    pub(super) fn pick(
        &mut self,
        members: &[Rc<Member>],
        weights: &Weights,
        tried: &[u64],
        now: Instant,
    ) -> Option<usize> {
        let fresh = |member: &Member| !tried.contains(&member.endpoint.id);
        if members.is_empty() {
            return None;
        }
        let all_tried = !tried.is_empty() && !members.iter().any(|member| fresh(member));
        let allowed = |member: &Member| all_tried || tried.is_empty() || fresh(member);
        if weights.level() {
            return self.in_turn(members, allowed);
        }
        let mut total = 0.0;
        let mut best: Option<(usize, f64)> = None;
        for (place, (member, (_, credit))) in members.iter().zip(&mut self.credits).enumerate() {
            if !allowed(member) {
                continue;
            }
            let weight = weights.effective(member, now);
            total += weight;
            *credit += weight;
            if best.is_none_or(|(_, most)| *credit > most) {
                best = Some((place, *credit));
            }
        }
        let (place, _) = best?;
        self.credits[place].1 -= total;
        Some(place)
    }

    fn in_turn(
        &mut self,
        members: &[Rc<Member>],
        allowed: impl Fn(&Member) -> bool,
    ) -> Option<usize> {
        let count = members.len();
        let start = if self.cursor < count { self.cursor } else { 0 };
        let place = (start..count).chain(0..start).find(|place| allowed(&members[*place]))?;
        self.cursor = place + 1;
        Some(place)
    }
}
