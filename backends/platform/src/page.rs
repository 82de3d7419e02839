//! Lists in pages: how many items a page has, and whether there is another one.

use crate::problem::FieldError;

/// How many items are asked for, 1 to 100; 20 unless told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    const DEFAULT: u32 = 20;
    const MAX: u32 = 100;

    /// The query's parameter `limit`.
    pub fn try_new(given: Option<u32>) -> Result<Self, FieldError> {
        let limit = given.unwrap_or(Self::DEFAULT);
        if (1..=Self::MAX).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(FieldError { field: "limit", message: "must be between 1 and 100" })
        }
    }

    pub fn get(self) -> u32 {
        self.0
    }

    /// How many items to read: one more tells whether there is another page.
    pub fn with_next(self) -> u32 {
        self.0 + 1
    }

    /// The page in what was read, and its last item if there is another page after it.
    pub fn cut<T>(self, items: &mut Vec<T>) -> Option<&T> {
        let limit = self.0 as usize;
        let is_more = items.len() > limit;
        items.truncate(limit);
        items.last().filter(|_| is_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_between_1_and_100() {
        let check = |given, expected| {
            assert_eq!(Limit::try_new(given).ok().map(Limit::get), expected, "{given:?}");
        };
        check(None, Some(20));
        check(Some(1), Some(1));
        check(Some(100), Some(100));
        check(Some(0), None);
        check(Some(101), None);
        check(Some(u32::MAX), None);
    }

    #[test]
    fn one_item_more_tells_of_another_page_and_is_not_on_this_one() {
        let check = |found: u32, on_page: u32, next: Option<u32>| {
            let limit = Limit::try_new(Some(3)).unwrap();
            assert_eq!(limit.with_next(), 4);
            let mut items: Vec<u32> = (1..=found).collect();
            assert_eq!(limit.cut(&mut items).copied(), next, "{found}");
            assert_eq!(items.len(), on_page as usize, "{found}");
        };
        check(0, 0, None);
        check(1, 1, None);
        check(3, 3, None);
        check(4, 3, Some(3));
    }
}
