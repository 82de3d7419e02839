//! Every step with every outcome: first try or not, wanted or not, in time or not.

use super::*;
use Decision::{Again, Confirm, Continue, FinishCancelling, TurnRound};
use Outcome::{Done, InDoubt, NotTried, Refused};
use Step::{Authorize, Capture, CommitStock, ReleaseStock, Reserve, UndoPayment};

const DEADLINE: u64 = 60;

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

fn position(step: Step) -> Position {
    Position { step, attempts: 1, cancelling: false, deadline_at: at(DEADLINE) }
}

fn fact(step: Step) -> Fact {
    match step {
        Reserve => Fact::StockReserved,
        Authorize => Fact::PaymentAuthorized,
        CommitStock => Fact::StockCommitted,
        Capture => Fact::PaymentCaptured,
        UndoPayment => Fact::PaymentUndone { refunded: true },
        ReleaseStock => Fact::StockReleased,
    }
}

fn turn(reason: Reason, undo: Option<Step>) -> Decision {
    TurnRound { reason, undo }
}

const FORWARD: [Step; 4] = [Reserve, Authorize, CommitStock, Capture];
const UNDO: [Step; 2] = [UndoPayment, ReleaseStock];
/// What is undone first when a saga turns round: at a step whose effect cannot be there, and at
/// one whose effect may be.
const FIRST_UNDO: [(Step, Option<Step>, Option<Step>); 4] = [
    (Reserve, None, Some(ReleaseStock)),
    (Authorize, Some(ReleaseStock), Some(UndoPayment)),
    (CommitStock, Some(UndoPayment), Some(UndoPayment)),
    (Capture, Some(UndoPayment), Some(UndoPayment)),
];

#[track_caller]
fn check(position: Position, outcome: Outcome, now: u64, expected: Decision) {
    assert_eq!(next(&position, outcome, at(now)), expected, "{position:?} {outcome:?} at {now}");
}

#[test]
fn what_is_done_leads_on() {
    for (step, expected) in [
        (Reserve, Continue(Authorize)),
        (Authorize, Continue(CommitStock)),
        (CommitStock, Continue(Capture)),
        (Capture, Confirm),
        (UndoPayment, Continue(ReleaseStock)),
        (ReleaseStock, FinishCancelling),
    ] {
        for attempts in [1, 2, 100] {
            // Also after the deadline: whether the next step has a point is asked before it.
            for now in [0, DEADLINE - 1, DEADLINE, DEADLINE + 1] {
                let position = Position { attempts, ..position(step) };
                check(position, Done(fact(step)), now, expected);
            }
        }
    }
}

#[test]
fn a_refusal_undoes_what_may_have_happened_and_nothing_else() {
    for reason in [Reason::OutOfStock, Reason::CardDeclined, Reason::ReservationExpired] {
        for (step, if_not, if_so) in FIRST_UNDO {
            for now in [0, DEADLINE + 1] {
                let first = position(step);
                check(first, Refused(reason), now, turn(reason, if_not));
                let second = Position { attempts: 2, ..first };
                check(second, Refused(reason), now, turn(reason, if_so));
            }
        }
    }
}

#[test]
fn a_doubt_is_tried_again_until_the_deadline_and_then_undone() {
    for (step, _, if_so) in FIRST_UNDO {
        for attempts in [1, 2, 9] {
            let position = Position { attempts, ..position(step) };
            let pause = backoff(attempts, LONGEST_BACKOFF);
            check(position, InDoubt, 0, Again(pause));
            check(position, InDoubt, DEADLINE - 1, Again(pause.min(Duration::from_secs(1))));
            check(position, InDoubt, DEADLINE, turn(Reason::TimedOut, if_so));
            check(position, InDoubt, DEADLINE + 9, turn(Reason::TimedOut, if_so));
        }
    }
}

#[test]
fn a_customer_who_cancels_turns_every_step_forward_round() {
    for (step, if_not, if_so) in FIRST_UNDO {
        let unwanted = Position { cancelling: true, ..position(step) };
        let again = Position { attempts: 2, ..unwanted };
        let by_customer = |undo| turn(Reason::Customer, undo);
        assert!(unwanted.is_pointless(at(0)));
        check(unwanted, NotTried, 0, by_customer(if_not));
        check(again, NotTried, 0, by_customer(if_so));
        check(unwanted, Done(fact(step)), 0, by_customer(if_so));
        check(again, Done(fact(step)), 0, by_customer(if_so));
        check(unwanted, Refused(Reason::OutOfStock), 0, by_customer(if_not));
        check(again, Refused(Reason::OutOfStock), 0, by_customer(if_so));
        check(unwanted, InDoubt, 0, by_customer(if_so));
        check(again, InDoubt, DEADLINE, by_customer(if_so));
    }
}

#[test]
fn after_the_deadline_nothing_new_is_begun() {
    for (step, if_not, if_so) in FIRST_UNDO {
        let first = position(step);
        assert!(!first.is_pointless(at(DEADLINE - 1)));
        assert!(first.is_pointless(at(DEADLINE)));
        check(first, NotTried, DEADLINE, turn(Reason::TimedOut, if_not));
        let second = Position { attempts: 2, ..first };
        check(second, NotTried, DEADLINE, turn(Reason::TimedOut, if_so));
    }
}

#[test]
fn undoing_goes_on_until_it_is_done() {
    for step in UNDO {
        for cancelling in [false, true] {
            for attempts in [1, 5, 1000] {
                let position = Position { attempts, cancelling, ..position(step) };
                assert!(!position.is_pointless(at(DEADLINE + 1)));
                let again = Again(backoff(attempts, LONGEST_UNDO_BACKOFF));
                for outcome in [InDoubt, NotTried, Refused(Reason::PaymentRefused)] {
                    check(position, outcome, 0, again);
                    check(position, outcome, DEADLINE + 1000, again);
                }
            }
        }
    }
}

#[test]
fn pauses_double_up_to_a_limit() {
    let check = |attempts, longest, millis| {
        assert_eq!(backoff(attempts, longest), Duration::from_millis(millis), "{attempts}");
    };
    check(0, LONGEST_BACKOFF, 100);
    check(1, LONGEST_BACKOFF, 100);
    check(2, LONGEST_BACKOFF, 200);
    check(6, LONGEST_BACKOFF, 3200);
    check(7, LONGEST_BACKOFF, 5000);
    check(u32::MAX, LONGEST_BACKOFF, 5000);
    check(9, LONGEST_UNDO_BACKOFF, 25_600);
    check(u32::MAX, LONGEST_UNDO_BACKOFF, 30_000);
}

#[test]
fn orders_come_back_at_different_times_within_their_pause() {
    let pause = Duration::from_secs(4);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let order_id = Uuid::now_v7();
        for attempts in [0, 1, 7, u32::MAX] {
            let spread = spread(pause, order_id, attempts);
            assert!((pause / 2..=pause).contains(&spread), "{spread:?}");
            seen.insert(spread);
        }
    }
    assert!(seen.len() > 50, "{}", seen.len());
    assert_eq!(spread(Duration::ZERO, Uuid::now_v7(), 1), Duration::ZERO);
}

#[test]
fn steps_have_one_spelling() {
    for step in FORWARD.into_iter().chain(UNDO) {
        assert_eq!(Step::parse(step.as_str()), Some(step));
        assert_eq!(step.failpoint(), format!("saga.{}", step.as_str()));
    }
    assert_eq!(Step::parse("confirm"), None);
}
