//! Cards as their owners type them. A number lives for one request: it goes to the processor, and
//! neither to the database nor to a log.

use std::fmt;

use shop_platform::UnixTime;
use shop_platform::problem::FieldError;

const LENGTHS: std::ops::RangeInclusive<usize> = 12..=19;
const YEARS: std::ops::RangeInclusive<u16> = 2000..=2099;

/// A number with a valid check digit (ISO/IEC 7812-1).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CardNumber(String);

impl CardNumber {
    /// 12 to 19 digits; spaces and hyphens between them do not count.
    pub(crate) fn try_new(text: &str) -> Result<Self, FieldError> {
        let digits: String = text.chars().filter(|letter| !matches!(letter, ' ' | '-')).collect();
        let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        if are_digits && LENGTHS.contains(&digits.len()) && passes_luhn(&digits) {
            Ok(Self(digits))
        } else {
            Err(FieldError { field: "card_number", message: "must be the number of a card" })
        }
    }

    /// For the processor, who must know it, and for nobody else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// What its owner tells it from others by.
    pub(crate) fn last4(&self) -> &str {
        // A number has 12 digits at least.
        self.0.get(self.0.len() - 4..).unwrap_or_default()
    }

    pub(crate) fn brand(&self) -> Brand {
        let prefix = |length: usize| self.0.get(..length).and_then(|text| text.parse().ok());
        match (prefix(2).unwrap_or(0_u32), prefix(4).unwrap_or(0_u32)) {
            (40..=49, _) => Brand::Visa,
            (51..=55, _) | (_, 2221..=2720) => Brand::Mastercard,
            (34 | 37, _) => Brand::AmericanExpress,
            (65, _) | (_, 6011) => Brand::Discover,
            _ => Brand::Unknown,
        }
    }
}

/// A number in a log would be a number in every copy of it.
impl fmt::Debug for CardNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CardNumber(...{})", self.last4())
    }
}

/// Whose card it is, by the first digits of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brand {
    Visa,
    Mastercard,
    AmericanExpress,
    Discover,
    Unknown,
}

impl Brand {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Visa => "visa",
            Self::Mastercard => "mastercard",
            Self::AmericanExpress => "american-express",
            Self::Discover => "discover",
            Self::Unknown => "unknown",
        }
    }
}

/// The last month in which a card is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiry {
    year: u16,
    month: u8,
}

impl Expiry {
    /// A month that exists, of this century; it may have passed.
    pub(crate) fn try_new(month: u8, year: u16) -> Result<Self, Vec<FieldError>> {
        let month_error = FieldError { field: "expiry_month", message: "must be between 1 and 12" };
        let year_error =
            FieldError { field: "expiry_year", message: "must be between 2000 and 2099" };
        let wrong = [((1..=12).contains(&month), month_error), (YEARS.contains(&year), year_error)];
        let errors: Vec<_> =
            wrong.into_iter().filter(|(right, _)| !right).map(|(_, error)| error).collect();
        if errors.is_empty() { Ok(Self { year, month }) } else { Err(errors) }
    }

    pub(crate) fn has_passed(self, now: UnixTime) -> bool {
        // Moments print as RFC 3339, which begins with the year and the month.
        format!("{:04}-{:02}~", self.year, self.month) < now.to_string()
    }

    pub(crate) fn month(self) -> u8 {
        self.month
    }

    pub(crate) fn year(self) -> u16 {
        self.year
    }
}

/// ISO/IEC 7812-1, annex B: from the right, every second digit doubled, the sum of all digits
/// divisible by ten.
fn passes_luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(index, byte)| {
            let digit = u32::from(byte - b'0');
            match (index % 2, digit) {
                (0, _) => digit,
                (_, 0..=4) => digit * 2,
                _ => digit * 2 - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_have_a_valid_check_digit() {
        let check = |text: &str, expected: Option<(&str, Brand)>| {
            let found = CardNumber::try_new(text).ok();
            let found = found.as_ref().map(|number| (number.last4(), number.brand()));
            assert_eq!(found, expected, "{text:?}");
        };
        check("4242424242424242", Some(("4242", Brand::Visa)));
        check("4242 4242-4242 4242", Some(("4242", Brand::Visa)));
        check("5555555555554444", Some(("4444", Brand::Mastercard)));
        check("2223003122003222", Some(("3222", Brand::Mastercard)));
        check("378282246310005", Some(("0005", Brand::AmericanExpress)));
        check("6011111111111117", Some(("1117", Brand::Discover)));
        check("3566002020360505", Some(("0505", Brand::Unknown)));
        for wrong in [
            "4242424242424241",
            "2424242424242424",
            "",
            "0",
            "00000000000",
            "42424242424242424242",
            "4242424242424242a",
            "４２４２４２４２４２４２４２４２",
            "-",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_number_is_not_shown() {
        let number = CardNumber::try_new("4242424242424242").unwrap();
        assert_eq!(format!("{number:?}"), "CardNumber(...4242)");
    }

    #[test]
    fn a_card_is_good_to_the_end_of_its_month() {
        // 2026-11-30T23:59:59Z and one second later.
        let (last, after) = (1_796_083_199, 1_796_083_200);
        let expiry = Expiry::try_new(11, 2026).unwrap();
        assert!(!expiry.has_passed(UnixTime::from_seconds(last)));
        assert!(expiry.has_passed(UnixTime::from_seconds(after)));
        assert!(!Expiry::try_new(1, 2027).unwrap().has_passed(UnixTime::from_seconds(after)));
        assert!(Expiry::try_new(12, 2025).unwrap().has_passed(UnixTime::from_seconds(last)));
        let fields = |month, year| -> Vec<&str> {
            Expiry::try_new(month, year).unwrap_err().iter().map(|error| error.field).collect()
        };
        assert_eq!(fields(0, 2026), ["expiry_month"]);
        assert_eq!(fields(13, 26), ["expiry_month", "expiry_year"]);
    }

    proptest! {
        /// What the check digit is for.
        #[test]
        fn one_wrong_digit_is_noticed(at in 0_usize..16, digit in b'0'..=b'9') {
            let mut digits = *b"4242424242424242";
            prop_assume!(digits[at] != digit);
            digits[at] = digit;
            prop_assert!(CardNumber::try_new(std::str::from_utf8(&digits).unwrap()).is_err());
        }
    }
}
