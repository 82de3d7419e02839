//! What is ordered, and what it costs: values that are checked once, where they come in.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shop_platform::problem::FieldError;
use utoipa::ToSchema;

pub(crate) const MAX_LINES: usize = 50;
pub(crate) const MAX_QUANTITY: u32 = 100;
const MAX_ID: usize = 100;

/// An amount of money, exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Money {
    /// Cents, where the currency has cents.
    pub(crate) minor_units: i64,
    /// ISO 4217.
    pub(crate) currency: String,
}

/// So many pieces of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) product_id: String,
    #[schema(minimum = 1, maximum = 100)]
    pub(crate) quantity: u32,
}

/// The lines of an order to be: 1 to 50, each of a product of its own, 1 to 100 pieces of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    pub(crate) fn try_new(lines: Vec<Line>) -> Result<Self, FieldError> {
        let wrong = |message| Err(FieldError { field: "lines", message });
        if !(1..=MAX_LINES).contains(&lines.len()) {
            return wrong("must have 1 to 50 lines");
        }
        if lines.iter().any(|line| !(1..=MAX_QUANTITY).contains(&line.quantity)) {
            return wrong("each quantity must be between 1 and 100");
        }
        if lines.iter().any(|line| !is_word(&line.product_id)) {
            return wrong("each product_id must have 1 to 100 bytes and no control characters");
        }
        let mut products = BTreeSet::new();
        if !lines.iter().all(|line| products.insert(line.product_id.as_str())) {
            return wrong("each product may stand in one line only");
        }
        Ok(Self(lines))
    }

    pub(crate) fn as_slice(&self) -> &[Line] {
        &self.0
    }
}

/// How the customer wants to pay, as the payments service gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PaymentMethod(String);

impl PaymentMethod {
    pub(crate) fn try_new(text: String) -> Result<Self, FieldError> {
        let message = "must have 1 to 100 bytes and no control characters";
        if is_word(&text) {
            Ok(Self(text))
        } else {
            Err(FieldError { field: "payment_method", message })
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_word(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A line with its price on the day of the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PricedLine {
    pub(crate) product_id: String,
    pub(crate) quantity: u32,
    pub(crate) unit_price: Money,
}

/// What the lines of an order cost: every line that was asked for, in its place, in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quote {
    lines: Vec<PricedLine>,
    total: Money,
}

impl Quote {
    /// `None` for an answer that is not to this question, or whose sum is wrong: a customer must
    /// not be charged by it.
    pub(crate) fn try_new(asked: &Lines, lines: Vec<PricedLine>, total: Money) -> Option<Self> {
        let answers = lines.len() == asked.0.len()
            && lines.iter().zip(&asked.0).all(|(line, asked)| {
                line.product_id == asked.product_id
                    && line.quantity == asked.quantity
                    && line.unit_price.minor_units >= 0
                    && line.unit_price.currency == total.currency
            });
        let sum = lines.iter().try_fold(0_i64, |sum, line| {
            sum.checked_add(line.unit_price.minor_units.checked_mul(line.quantity.into())?)
        })?;
        (answers && sum == total.minor_units).then_some(Self { lines, total })
    }

    pub(crate) fn into_parts(self) -> (Vec<PricedLine>, Money) {
        (self.lines, self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(product_id: &str, quantity: u32) -> Line {
        Line { product_id: product_id.to_owned(), quantity }
    }

    fn euros(minor_units: i64) -> Money {
        Money { minor_units, currency: "EUR".to_owned() }
    }

    fn priced(product_id: &str, quantity: u32, price: i64) -> PricedLine {
        PricedLine { product_id: product_id.to_owned(), quantity, unit_price: euros(price) }
    }

    #[test]
    fn lines_are_few_small_and_of_different_products() {
        let check = |lines: Vec<Line>, expected: bool| {
            assert_eq!(Lines::try_new(lines.clone()).is_ok(), expected, "{lines:?}");
        };
        let many = |count| (0..count).map(|at| line(&format!("p{at}"), 1)).collect::<Vec<_>>();
        check(vec![], false);
        check(many(1), true);
        check(many(50), true);
        check(many(51), false);
        check(vec![line("a", 0)], false);
        check(vec![line("a", 100), line("b", 1)], true);
        check(vec![line("a", 101)], false);
        check(vec![line("a", 1), line("b", 1), line("a", 2)], false);
        check(vec![line("", 1)], false);
        check(vec![line(&"a".repeat(100), 1)], true);
        check(vec![line(&"a".repeat(101), 1)], false);
        check(vec![line("a\0b", 1)], false);
        check(vec![line("a\u{85}", 1)], false);
    }

    #[test]
    fn payment_methods_are_words() {
        let check = |text: &str, expected: bool| {
            assert_eq!(PaymentMethod::try_new(text.to_owned()).is_ok(), expected, "{text:?}");
        };
        check("pm_1", true);
        check("", false);
        check("a\nb", false);
        check(&"a".repeat(101), false);
    }

    #[test]
    fn a_quote_answers_the_question_with_the_right_sum() {
        let asked = Lines::try_new(vec![line("a", 2), line("b", 3)]).unwrap();
        let check = |lines: &[PricedLine], total: Money, expected: bool| {
            let quote = Quote::try_new(&asked, lines.to_vec(), total.clone());
            assert_eq!(quote.is_some(), expected, "{lines:?} {total:?}");
        };
        let right = [priced("a", 2, 100), priced("b", 3, 10)];
        check(&right, euros(230), true);
        check(&right, euros(231), false);
        check(&right, Money { minor_units: 230, currency: "USD".to_owned() }, false);
        check(&right[..1], euros(200), false);
        check(&[priced("b", 3, 10), priced("a", 2, 100)], euros(230), false);
        check(&[priced("a", 1, 100), priced("b", 3, 10)], euros(130), false);
        check(&[priced("a", 2, -100), priced("b", 3, 100)], euros(100), false);
        check(&[priced("a", 2, i64::MAX), priced("b", 3, 10)], euros(28), false);
        check(&[priced("a", 2, 0), priced("b", 3, 0)], euros(0), true);
    }
}
