//! What the figures of a row say about its targets.
//!
//! Verdicts go by the bound, not by the median: a target is met only if chance alone would hardly
//! have it look so.

use crate::engines::{BEFORE, Engine};
use crate::results::{Figures, Judged, Ratio, Verdict};
use crate::row::{Against, Contestant, Row, Target};
use crate::stats::{median, median_upper_95};

/// Round by round, because the machine drifts between rounds.
pub(crate) fn ratio(of: &Figures, to: &Figures) -> Ratio {
    bounded(of.rounds().iter().zip(to.rounds()).map(|(own, other)| own / other).collect())
}

/// All targets whose contestants took part, and what an earlier build says.
pub(crate) fn judge(row: &Row, all: &[Figures], quick: bool) -> Vec<Judged> {
    let mut judged: Vec<Judged> =
        row.targets.iter().filter_map(|target| one(target, all, quick)).collect();
    judged.extend(beside_the_earlier_build(row, all));
    judged
}

fn one(target: &Target, all: &[Figures], quick: bool) -> Option<Judged> {
    let find = |label: &str| all.iter().find(|figures| figures.label == label);
    let own = find(target.of)?;
    let (against, found) = match target.against {
        Against::Nothing => (None, bounded(own.rounds())),
        Against::Contestant(label) => (Some(label.to_owned()), ratio(own, find(label)?)),
        Against::BestPeer => {
            let peers = all.iter().filter(|figures| is_peer(&figures.engine));
            let (label, found) = peers
                .map(|peer| (peer.label.clone(), ratio(own, peer)))
                .max_by(|(_, one), (_, other)| worst(one).total_cmp(&worst(other)))?;
            (Some(label), found)
        }
    };
    let verdict = match found.upper {
        _ if quick => Verdict::TooFewRounds,
        None => Verdict::TooFewRounds,
        Some(upper) if upper <= target.at_most => Verdict::Met,
        Some(_) => Verdict::NotMet,
    };
    let at_most = Some(target.at_most);
    Some(Judged { of: target.of.to_owned(), against, at_most, found, verdict })
}

/// Each contestant of ours beside the same of the earlier build.
fn beside_the_earlier_build(row: &Row, all: &[Figures]) -> Vec<Judged> {
    let pairs = row.contestants.iter().filter_map(|contestant| {
        let earlier = Contestant { engine: BEFORE, ..*contestant }.label();
        let find = |label: &str| all.iter().find(|figures| figures.label == label);
        Some((find(&contestant.label())?, find(&earlier)?))
    });
    pairs
        .filter(|(own, earlier)| own.label != earlier.label)
        .filter(|(own, _)| own.engine == "portcullis")
        .map(|(own, earlier)| Judged {
            of: own.label.clone(),
            against: Some(earlier.label.clone()),
            at_most: None,
            found: ratio(own, earlier),
            verdict: Verdict::Told,
        })
        .collect()
}

fn is_peer(engine: &str) -> bool {
    Engine::find(engine).is_ok_and(|engine| engine.is_peer)
}

fn worst(ratio: &Ratio) -> f64 {
    ratio.upper.unwrap_or(ratio.median)
}

fn bounded(rounds: Vec<f64>) -> Ratio {
    Ratio { median: median(&rounds), upper: median_upper_95(&rounds) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Counts, Sample};
    use crate::row::{absolute, against, against_the_best};

    fn figures(engine: &str, rounds: &[f64]) -> Figures {
        let sample = |figure: &f64| Sample {
            figure: *figure,
            requests_per_second: 1.0,
            busy: 1.0,
            generator_busy: 0.5,
            errors: 0,
        };
        Figures {
            label: engine.to_owned(),
            engine: engine.to_owned(),
            figure: median(rounds),
            to_first: None,
            user_share: None,
            requests_per_second: None,
            counts: Counts::default(),
            samples: rounds.iter().map(sample).collect(),
        }
    }

    fn check(target: Target, rounds: usize, expected: Option<(Option<&str>, f64, Verdict)>) {
        let all = [
            figures("portcullis", &vec![8.0; rounds]),
            figures("haproxy", &vec![10.0; rounds]),
            figures("nginx", &vec![16.0; rounds]),
            figures("floor", &vec![4.0; rounds]),
        ];
        let found = one(&target, &all, false);
        let found = found
            .as_ref()
            .map(|judged| (judged.against.as_deref(), judged.found.median, judged.verdict));
        assert_eq!(found, expected);
    }

    #[test]
    fn targets_are_judged() {
        check(against("haproxy", 0.8), 5, Some((Some("haproxy"), 0.8, Verdict::Met)));
        check(against("nginx", 0.4), 5, Some((Some("nginx"), 0.5, Verdict::NotMet)));
        check(against("floor", 2.0), 4, Some((Some("floor"), 2.0, Verdict::TooFewRounds)));
        check(against("envoy", 0.4), 5, None);
        check(against_the_best(0.9), 5, Some((Some("haproxy"), 0.8, Verdict::Met)));
        check(absolute(7.0), 5, Some((None, 8.0, Verdict::NotMet)));
    }

    #[test]
    fn the_bound_decides_and_not_the_median() {
        let own = figures("portcullis", &[8.0, 8.0, 8.0, 8.0, 12.0]);
        let other = figures("haproxy", &[10.0; 5]);
        let judged = one(&against("haproxy", 1.0), &[own, other], false).unwrap();
        assert_eq!(judged.found, Ratio { median: 0.8, upper: Some(1.2) });
        assert_eq!(judged.verdict, Verdict::NotMet);
    }
}
