//! Findings from what was seen.

use super::*;
use crate::load::open::Failure;
use crate::reload::storm::Weather;
use crate::suite::RELOAD;

fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// A request each millisecond for a second, of which every second hundred is reloading.
fn seen(latency_of_reloads: u64, resident: Vec<u64>) -> Seen {
    let period = |begin| Period { begin: milliseconds(begin), end: milliseconds(begin + 99) };
    let (reloads, calm) =
        (0..5).map(|index| (period(index * 200), period(index * 200 + 100))).unzip();
    let requests: Vec<Ended> = (0..1_000)
        .map(|due| {
            let latency = if due / 100 % 2 == 0 { latency_of_reloads } else { 10 };
            Ended { due: milliseconds(due), outcome: Ok(milliseconds(latency)) }
        })
        .collect();
    let load = requests.iter().map(|request| request.outcome).collect();
    Seen { load, requests, weather: Weather { calm, reloads, resident } }
}

#[test]
fn requests_belong_to_the_time_in_which_they_were_due() {
    let seen = seen(15, vec![1 << 20; 20]);
    let findings = Findings::of(&seen);
    assert_eq!((findings.calm.answered(), findings.reloading.answered()), (500, 500));
    let outcome = findings.outcome(&RELOAD, &seen, false);
    assert_eq!(verdicts(&outcome), [Verdict::Met; 3]);
    let slower = outcome.verdicts[1].found.median;
    assert!((slower - 1.5).abs() < 0.01, "{slower}");
    let text = outcome.notes.join("\n");
    assert!(text.contains("after 10 reloads 1.0 MiB, at the end 1.0 MiB"), "{text}");
    assert_eq!(outcome.warnings, ["only 5 of 1000 reloads fitted into 6 minutes"]);
}

#[test]
fn each_promise_can_be_broken() {
    let mut bad = seen(25, (10..30).collect());
    bad.load = [Ok(milliseconds(1)), Err(Failure::Broken)].into_iter().collect();
    let findings = Findings::of(&bad);
    assert_eq!(verdicts(&findings.outcome(&RELOAD, &bad, false)), [Verdict::NotMet; 3]);
    assert_eq!(verdicts(&findings.outcome(&RELOAD, &bad, true)), [Verdict::TooFewRounds; 3]);
}

fn verdicts(outcome: &Outcome) -> Vec<Verdict> {
    outcome.verdicts.iter().map(|judged| judged.verdict).collect()
}

#[test]
fn memory_is_compared_from_the_fiftieth_reload_on() {
    for (reloads, expected) in [(1_000, Some(50)), (100, Some(50)), (10, Some(5)), (4, None)] {
        let after = Memory::of(&vec![1; reloads]).map(|memory| memory.after);
        assert_eq!(after, expected, "{reloads}");
    }
}
