//! Drawing endpoints at random in proportion to their weights, and what those are just now.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::member::Member;
use crate::upstream::slow_start;

/// Draws that may hit an endpoint tried already before the others are counted through.
const LUCKY_DRAWS: usize = 3;

pub(super) struct Weights {
    window: Option<Duration>,
    /// Running sums of the whole weights, place by place.
    sums: Vec<u64>,
    uniform: bool,
    mean: f64,
    /// Until then some endpoint is given less than its weight.
    warm_at: Option<Instant>,
}

impl Weights {
    pub(super) fn new(window: Option<Duration>) -> Self {
        Self { window, sums: Vec::new(), uniform: true, mean: 1.0, warm_at: None }
    }

    pub(super) fn adopt(&mut self, members: &[Rc<Member>]) {
        let weights = members.iter().map(|member| u64::from(member.endpoint.weight));
        self.sums.clear();
        self.sums.extend(weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        }));
        let first = members.first().map(|member| member.endpoint.weight);
        self.uniform = members.iter().all(|member| Some(member.endpoint.weight) == first);
        let weights = members.iter().map(|member| f64::from(member.endpoint.weight));
        self.mean = weights.sum::<f64>() / members.len().max(1) as f64;
        let youngest = members.iter().filter_map(|member| member.endpoint.added_at).max();
        self.warm_at = self.window.and_then(|window| youngest?.checked_add(window));
    }

    /// Forgets slow start once it is over.
    pub(super) fn advance(&mut self, now: Instant) {
        if self.warm_at.is_some_and(|warm_at| now >= warm_at) {
            self.warm_at = None;
        }
    }

    /// The endpoint's weight as slow start leaves it; above zero.
    pub(super) fn effective(&self, member: &Member, now: Instant) -> f64 {
        let whole = f64::from(member.endpoint.weight.max(1));
        if self.warm_at.is_none() {
            return whole;
        }
        whole * slow_start::factor(member.endpoint.added_at, self.window, now)
    }

    /// The mean of the whole weights: makes loads comparable whatever their scale.
    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// Everybody has the same weight now.
    pub(super) fn level(&self) -> bool {
        self.uniform && self.warm_at.is_none()
    }

    /// One endpoint, not among `tried` while there is another.
    pub(super) fn draw(
        &self,
        members: &[Rc<Member>],
        tried: &[u64],
        random: &mut fastrand::Rng,
        now: Instant,
    ) -> Option<usize> {
        if members.is_empty() {
            return None;
        }
        let fresh = |place: &usize| !tried.contains(&members[*place].endpoint.id);
        for _ in 0..LUCKY_DRAWS {
            let place = self.draw_any(members, random, now);
            if fresh(&place) {
                return Some(place);
            }
        }
        let weight = |place: usize| self.effective(&members[place], now);
        let total: f64 = (0..members.len()).filter(fresh).map(weight).sum();
        let mut rest = random.f64() * total;
        let mut last = None;
        for place in (0..members.len()).filter(fresh) {
            last = Some(place);
            rest -= weight(place);
            if rest < 0.0 {
                break;
            }
        }
        last.or_else(|| Some(self.draw_any(members, random, now)))
    }

    /// Two endpoints to compare, the second only if it is not among `tried`. Where weights
    /// differ the two may be the same: then an endpoint is looked at, and so picked, no more than
    /// twice as often as its weight says, which is what holds slow start up.
    pub(super) fn draw_two(
        &self,
        members: &[Rc<Member>],
        tried: &[u64],
        random: &mut fastrand::Rng,
        now: Instant,
    ) -> Option<(usize, usize)> {
        let one = self.draw(members, tried, random, now)?;
        let other = if self.level() && members.len() > 1 {
            let other = random.usize(..members.len() - 1);
            other + usize::from(other >= one)
        } else {
            self.draw_any(members, random, now)
        };
        let fresh = !tried.contains(&members[other].endpoint.id);
        Some((one, if fresh { other } else { one }))
    }

    /// The caller has seen to it that there are members.
    fn draw_any(&self, members: &[Rc<Member>], random: &mut fastrand::Rng, now: Instant) -> usize {
        if self.level() {
            return random.usize(..members.len());
        }
        if self.warm_at.is_none() {
            let total = self.sums.last().copied().unwrap_or(1);
            let point = random.u64(..total.max(1));
            return self.sums.partition_point(|sum| *sum <= point).min(members.len() - 1);
        }
        let total: f64 = members.iter().map(|member| self.effective(member, now)).sum();
        let mut rest = random.f64() * total;
        for (place, member) in members.iter().enumerate() {
            rest -= self.effective(member, now);
            if rest < 0.0 {
                return place;
            }
        }
        members.len() - 1
    }
}
