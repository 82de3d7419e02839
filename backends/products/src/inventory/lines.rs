//! What is asked for: products and how many of each.

use std::collections::BTreeMap;

use crate::product_id::ProductId;

const MAX_LINES: usize = 100;
const MAX_QUANTITY: u32 = 1_000_000;

/// One line as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) product: ProductId,
    pub(crate) quantity: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    #[error("1 to 100 lines are needed")]
    Count,
    #[error("a quantity is between 1 and 1000000")]
    Quantity,
    #[error("there is no product {0:?}")]
    Product(String),
}

impl Line {
    /// The lines of a request; a product may stand in several.
    pub(crate) fn parse_all(
        lines: impl ExactSizeIterator<Item = (String, u32)>,
    ) -> Result<Vec<Self>, LineError> {
        if !(1..=MAX_LINES).contains(&lines.len()) {
            return Err(LineError::Count);
        }
        lines.map(|(product, quantity)| Self::try_new(product, quantity)).collect()
    }

    fn try_new(product: String, quantity: u32) -> Result<Self, LineError> {
        if !(1..=MAX_QUANTITY).contains(&quantity) {
            return Err(LineError::Quantity);
        }
        match ProductId::try_new(&product) {
            Some(product) => Ok(Self { product, quantity: quantity.into() }),
            None => Err(LineError::Product(product)),
        }
    }
}

/// Each product once, in the order in which its rows are locked everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lines(BTreeMap<ProductId, i64>);

impl Lines {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ProductId, i64)> {
        self.0.iter().map(|(product, quantity)| (product, *quantity))
    }
}

/// Lines of one product are added up: a hundred of the largest are far from overflowing.
impl FromIterator<Line> for Lines {
    fn from_iter<I: IntoIterator<Item = Line>>(lines: I) -> Self {
        let mut merged = BTreeMap::new();
        for Line { product, quantity } in lines {
            *merged.entry(product).or_default() += quantity;
        }
        Self(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[(&str, u32)]) -> Result<Vec<Line>, LineError> {
        Line::parse_all(lines.iter().map(|(product, quantity)| ((*product).to_owned(), *quantity)))
    }

    #[test]
    fn lines_that_cannot_be_meant_are_refused() {
        assert_eq!(parse(&[]), Err(LineError::Count));
        assert_eq!(parse(&[("a", 1); 101]), Err(LineError::Count));
        assert_eq!(parse(&[("a", 1), ("b", 0)]), Err(LineError::Quantity));
        assert_eq!(parse(&[("a", 1_000_001)]), Err(LineError::Quantity));
        assert_eq!(parse(&[("A", 1)]), Err(LineError::Product("A".to_owned())));
    }

    #[test]
    fn lines_of_one_product_become_one() {
        let lines: Lines = parse(&[("b", 1), ("a", 2), ("b", 3)]).unwrap().into_iter().collect();
        let found: Vec<_> = lines.iter().map(|(id, quantity)| (id.as_str(), quantity)).collect();
        assert_eq!(found, [("a", 2), ("b", 4)]);
    }
}
