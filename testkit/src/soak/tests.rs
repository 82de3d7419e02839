use super::*;
use crate::load::{Failure, Outcome};
use crate::origin::Origin;

const LIGHT: Intensity =
    Intensity { rate: 400.0, connections: 4, duration: Duration::from_millis(250) };

#[test]
fn drift_compares_the_second_fifth_with_the_last() {
    let mut samples = vec![1; 2];
    samples.extend([10; 6]);
    samples.extend([20; 2]);
    assert_eq!(reload::drift(&samples), Some((10.0, 20.0)));
    assert_eq!(reload::drift(&[1, 2, 3]), None);
}

/// Without a proxy between every death costs requests in other ways: the scenario must say so.
#[tokio::test]
async fn a_death_that_nobody_hides_breaks_the_promise() {
    let (doomed, other) = (Origin::start("a").await.unwrap(), Origin::start("b").await.unwrap());
    let address = doomed.address();
    let kill = KillEndpoint { intensity: LIGHT, address, path: "/" };
    let verdict = kill_endpoint(&kill, doomed, &other).await.unwrap();
    assert!(!verdict.passed(), "{verdict}");
    assert!(verdict.report.count(&Outcome::ConnectError) > 0, "{verdict}");
    assert!(verdict.to_string().contains("FAILED"));
}

/// A report with this many of each outcome, all failures at one moment.
fn report(outcomes: &[(Outcome, u64)], at: Duration) -> Report {
    let mut report = Report::new(0);
    for (outcome, count) in outcomes {
        for index in 0..*count {
            report.add(outcome.clone(), Duration::from_millis(1), Duration::from_millis(1));
            if outcome.is_failure() {
                report.keep(Failure {
                    index,
                    outcome: outcome.clone(),
                    detail: String::new(),
                    due: at,
                    sent: at,
                    ended: at,
                    worker: 0,
                    reused: 0,
                });
            }
        }
    }
    report
}

#[test]
fn a_drain_may_refuse_and_cross_but_never_drop() {
    let signalled = Duration::from_secs(1);
    let check = |outcomes: &[(Outcome, u64)], at: u64, passes: bool| {
        let report = report(outcomes, Duration::from_secs(at));
        let mut verdict = Verdict::new("drain", report);
        drain::judge(&mut verdict, signalled);
        assert_eq!(verdict.passed(), passes, "{verdict}");
    };
    let ok = (Outcome::Ok(200), 5);
    check(&[ok.clone(), (Outcome::ConnectError, 3), (Outcome::CrossedClose, 1)], 2, true);
    check(&[ok.clone(), (Outcome::ConnectError, 1)], 0, false);
    check(&[ok.clone(), (Outcome::Unanswered, 1)], 2, false);
    check(&[ok.clone(), (Outcome::Truncated, 1)], 2, false);
    check(&[ok, (Outcome::UnexpectedStatus(503), 1)], 2, false);
    check(&[(Outcome::ConnectError, 5)], 2, false);
}
