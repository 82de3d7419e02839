//! Which questions for events the server may still answer, and with how many events. It knows no
//! client and no message.
//!
//! The server answers several open questions in turn and does not say which one an event is for.
//! So the sum is right and its parts are not, which is why the end of a question is told by its
//! number.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Events that one question asks for. They are leased to this member from when they are sent.
pub(super) const BATCH: usize = 16;
/// Events that all open questions together may ask for: one that is in doubt, and its successor.
const MOST: usize = 2 * BATCH;
/// How long the server keeps a question.
pub(super) const EXPIRES: Duration = Duration::from_secs(5);
/// How long its end may take to arrive. It is over then, whether the server said so or not.
const END_ARRIVES: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Questions {
    /// The oldest first.
    open: VecDeque<Question>,
    asked: u64,
}

#[derive(Debug)]
struct Question {
    number: u64,
    /// Events that may still come.
    left: usize,
    over: Instant,
    /// Asked on a connection that was lost: the server may have it or not.
    doubtful: bool,
}

impl Questions {
    /// How many events to ask for now: none while an answer is on its way or too many may come.
    pub(super) fn to_ask(&self) -> Option<usize> {
        let is_asked = self.open.iter().any(|question| !question.doubtful);
        let left: usize = self.open.iter().map(|question| question.left).sum();
        let room = MOST.saturating_sub(left).min(BATCH);
        (!is_asked && room > 0).then_some(room)
    }

    /// The number of the next question.
    pub(super) fn next(&self) -> u64 {
        self.asked
    }

    pub(super) fn asked(&mut self, count: usize, now: Instant) {
        let over = now + EXPIRES + END_ARRIVES;
        let number = self.asked;
        self.asked += 1;
        self.open.push_back(Question { number, left: count, over, doubtful: false });
    }

    /// An event has come.
    pub(super) fn answered(&mut self) {
        if let Some(question) = self.open.front_mut() {
            question.left = question.left.saturating_sub(1);
            if question.left == 0 {
                self.open.pop_front();
            }
        }
    }

    /// The server answers question `number` no more.
    pub(super) fn ended(&mut self, number: u64) {
        self.open.retain(|question| question.number != number);
    }

    /// There is another connection.
    pub(super) fn doubt(&mut self) {
        self.open.iter_mut().for_each(|question| question.doubtful = true);
    }

    pub(super) fn forget_what_is_over(&mut self, now: Instant) {
        self.open.retain(|question| question.over > now);
    }

    /// When the next question is over, if the server says nothing.
    pub(super) fn next_over(&self) -> Option<Instant> {
        self.open.iter().map(|question| question.over).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_is_open_at_a_time() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        for round in 0..3 {
            assert_eq!((questions.next(), questions.to_ask()), (round, Some(BATCH)));
            questions.asked(BATCH, now);
            for _ in 0..BATCH {
                assert_eq!(questions.to_ask(), None);
                questions.answered();
            }
        }
        questions.asked(BATCH, now);
        questions.answered();
        questions.ended(2);
        assert_eq!(questions.to_ask(), None, "that was another's end");
        questions.ended(3);
        assert_eq!(questions.to_ask(), Some(BATCH));
        // An answer to no question changes nothing.
        questions.answered();
        assert_eq!((questions.to_ask(), questions.next_over()), (Some(BATCH), None));
    }

    #[test]
    fn a_question_without_an_end_is_over_by_itself() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        questions.asked(BATCH, now);
        let over = questions.next_over().unwrap();
        assert!(over > now + EXPIRES, "the server is first");
        questions.forget_what_is_over(now + EXPIRES);
        assert_eq!(questions.to_ask(), None);
        questions.forget_what_is_over(over);
        assert_eq!(questions.to_ask(), Some(BATCH));
    }

    #[test]
    fn connections_that_are_lost_one_after_another_ask_for_no_more_than_allowed() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let mut asked = 0;
        for _ in 0..10 {
            if let Some(count) = questions.to_ask() {
                questions.asked(count, now);
                asked += count;
            }
            questions.doubt();
        }
        assert_eq!(asked, MOST);
        // As many may be asked for again as have come.
        (0..3).for_each(|_| questions.answered());
        assert_eq!(questions.to_ask(), Some(3));
    }
}
