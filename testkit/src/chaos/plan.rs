//! Which fault comes when: a sequence that the seed alone decides.

use super::random::Random;
use super::wish::Upstream;

/// What goes wrong in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Origins reset the connection when they have read a request.
    UpstreamReset,
    /// Origins accept and read, and never answer.
    BlackHole,
    /// Origins end in the middle of a body.
    Truncated,
    /// Origins are away, listeners and all, and come back.
    UpstreamAway,
    /// The name server says nothing any more.
    NameServerLost,
    ReloadStorm,
    CertificatesRenewed,
    /// The process may open nothing more for a while.
    DescriptorCap,
    /// Heads that never end, and responses that nobody reads.
    SlowClients,
    /// HTTP/2 streams that are opened and reset at once.
    RapidReset,
    Garbage,
    LogRotation,
    IdleFlood,
}

impl Fault {
    pub const ALL: [Self; 13] = [
        Self::UpstreamReset,
        Self::BlackHole,
        Self::Truncated,
        Self::UpstreamAway,
        Self::NameServerLost,
        Self::ReloadStorm,
        Self::CertificatesRenewed,
        Self::DescriptorCap,
        Self::SlowClients,
        Self::RapidReset,
        Self::Garbage,
        Self::LogRotation,
        Self::IdleFlood,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::UpstreamReset => "upstream resets",
            Self::BlackHole => "upstream black hole",
            Self::Truncated => "truncated bodies",
            Self::UpstreamAway => "upstream away",
            Self::NameServerLost => "name server lost",
            Self::ReloadStorm => "reload storm",
            Self::CertificatesRenewed => "certificates renewed",
            Self::DescriptorCap => "descriptor cap",
            Self::SlowClients => "slow clients",
            Self::RapidReset => "rapid reset",
            Self::Garbage => "garbage",
            Self::LogRotation => "log rotation",
            Self::IdleFlood => "idle flood",
        }
    }

    /// The fault is one of origins.
    pub(super) fn is_upstream(self) -> bool {
        matches!(self, Self::UpstreamReset | Self::BlackHole | Self::Truncated | Self::UpstreamAway)
    }

    /// The reasons that the proxy may give while it lasts. Where there are none, no request of
    /// the load may notice anything.
    pub(super) fn excused_reasons(self) -> &'static [&'static str] {
        match self {
            Self::UpstreamReset => &["upstream-reset", "upstream-truncated"],
            Self::BlackHole => &["upstream-timeout"],
            Self::Truncated => &["upstream-truncated", "upstream-reset"],
            Self::UpstreamAway => {
                // A handshake that is reset did not convince either.
                &[
                    "upstream-reset",
                    "upstream-connect-failed",
                    "upstream-tls-failed",
                    "upstream-truncated",
                ]
            }
            Self::DescriptorCap => &["upstream-connect-failed"],
            _ => &[],
        }
    }

    /// Whether a response may break off while it lasts, as long as the client sees that.
    pub(super) fn excuses_cuts(self) -> bool {
        matches!(self, Self::UpstreamReset | Self::Truncated | Self::UpstreamAway)
    }
}

/// One fault with what the seed chose for it.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) number: usize,
    pub(super) fault: Fault,
    /// Which upstream a fault of origins meets.
    pub(super) target: Upstream,
    /// Whether all of its origins are met, or the first one alone.
    pub(super) all: bool,
    /// For what the fault itself draws.
    pub(super) random: Random,
}

impl Slot {
    /// A fault outside of the sequence.
    pub(super) fn rehearsed(seed: u64, fault: Fault) -> Self {
        let random = Random::of(seed, fault.name());
        Self { number: 0, fault, target: Upstream::One, all: true, random }
    }

    pub(super) fn title(&self) -> String {
        if self.fault.is_upstream() {
            let which = if self.all { "all" } else { "one" };
            format!("{} ({}, {which})", self.fault.name(), self.target.name())
        } else {
            self.fault.name().to_owned()
        }
    }
}

/// Every fault comes once before any comes again, in an order that is new each time.
pub(super) fn slots(seed: u64, faults: &[Fault], count: usize) -> Vec<Slot> {
    let mut random = Random::of(seed, "plan");
    let mut deck = Vec::new();
    let mut slots = Vec::new();
    for number in 1..=count {
        if deck.is_empty() {
            deck = faults.to_vec();
            random.shuffle(&mut deck);
        }
        let Some(fault) = deck.pop() else { break };
        let target = random.pick(&Upstream::ALL).unwrap_or(Upstream::One);
        let all = random.below(2) == 0;
        let own = Random::new(random.next());
        slots.push(Slot { number, fault, target, all, random: own });
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence_and_it_leaves_nothing_out() {
        let titles = |seed| -> Vec<_> {
            slots(seed, &Fault::ALL, 26).iter().map(|slot| (slot.fault, slot.title())).collect()
        };
        assert_eq!(titles(3), titles(3));
        assert_ne!(titles(3), titles(4));
        let sorted = |half: &[(Fault, String)]| {
            let mut faults: Vec<_> = half.iter().map(|(fault, _)| *fault).collect();
            faults.sort();
            faults
        };
        let mut all = Fault::ALL;
        all.sort();
        let drawn = titles(3);
        assert_eq!(sorted(&drawn[..13]), all);
        assert_eq!(sorted(&drawn[13..]), all);
    }
}
