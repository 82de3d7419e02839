//! Durations, sizes and shares as people write them.

use std::time::Duration;

use crate::values::{Share, ValueError};

/// The longest duration that means anything here.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

const DURATIONS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// `250ms`, `5s`, `2m`, `1h`, `1d`; more than nothing.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let wanted = "a whole number with its unit, for example `250ms`, `5s`, `2m` or `1h`";
    let (digits, unit) = split(text);
    if let (Some(0), "") = (number(digits), unit) {
        return Err(ValueError("a duration is more than nothing".to_owned()));
    }
    if let (Some(number), "") = (number(digits), unit) {
        return Err(ValueError(format!("`{text}` has no unit: write `{number}s` or `{number}ms`")));
    }
    let unit = DURATIONS.iter().find(|(name, _)| *name == unit);
    let (Some(number), Some((_, milliseconds))) = (number(digits), unit) else {
        let wanted = of_parts(text).unwrap_or_else(|| wanted.to_owned());
        return Err(ValueError(format!("`{text}` is not a duration: write {wanted}")));
    };
    let duration = number.checked_mul(*milliseconds).map(Duration::from_millis);
    match duration {
        Some(Duration::ZERO) => Err(ValueError("a duration is more than nothing".to_owned())),
        Some(duration) if duration <= LONGEST => Ok(duration),
        _ => Err(ValueError(format!("`{text}` is longer than 30 days"))),
    }
}

/// `1m30s` or `1.5s` as one whole number with its unit.
fn of_parts(text: &str) -> Option<String> {
    let (mut rest, mut sum) = (text, 0_u64);
    while !rest.is_empty() {
        let (digits, after) = split(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split(after),
            None => ("", after),
        };
        let unit = after.find(|one: char| one.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit)?;
        let (_, factor) = DURATIONS.iter().find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(number(digits)?.checked_mul(*factor)?)?;
        if !fraction.is_empty() {
            let parts =
                number(fraction.trim_start_matches('0')).unwrap_or(0).checked_mul(*factor)?;
            let whole = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
            sum = sum.checked_add((parts % whole == 0).then_some(parts / whole)?)?;
        }
        rest = after;
    }
    let sum = Duration::from_millis(sum);
    (sum > Duration::ZERO && sum <= LONGEST).then(|| format!("`{}`", format_duration(sum)))
}

/// `512B`, `64KiB`, `10MiB`, `1GiB`; a plain number counts bytes.
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    let (digits, unit) = split(text);
    let unit = if unit.is_empty() { "B" } else { unit };
    let factor = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let (Some(number), Some(factor)) = (number(digits), factor) else {
        let cure = match unit {
            "K" | "k" | "KB" | "kB" | "kb" | "Ki" => format!("`{digits}KiB`"),
            "M" | "m" | "MB" | "mb" | "Mi" => format!("`{digits}MiB`"),
            "G" | "g" | "GB" | "gb" | "Gi" => format!("`{digits}GiB`"),
            _ => "a whole number with its unit, for example `64KiB` or `10MiB`".to_owned(),
        };
        return Err(ValueError(format!("`{text}` is not a size: write {cure}")));
    };
    number
        .checked_mul(factor)
        .filter(|size| i64::try_from(*size).is_ok())
        .ok_or_else(|| ValueError(format!("`{text}` is too large")))
}

/// `5%`, `0.25%`; up to four digits after the point.
pub fn parse_share(text: &str) -> Result<Share, ValueError> {
    let wrong = || ValueError(format!("`{text}` is not a share: write for example `5%` or `0.5%`"));
    let digits = text.strip_suffix('%').ok_or_else(wrong)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let whole = number(whole).ok_or_else(wrong)?;
    if fraction.len() > 4 {
        return Err(wrong());
    }
    let parts = number(fraction).ok_or_else(wrong)?;
    let scale = 10_u64.pow(4 - u32::try_from(fraction.len()).unwrap_or(4));
    let millionths = whole.checked_mul(10_000).and_then(|whole| whole.checked_add(parts * scale));
    Share::from_millionths(millionths.and_then(|all| u32::try_from(all).ok()).unwrap_or(u32::MAX))
}

/// The shortest text that [`parse_duration`] reads as the same.
pub fn format_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let fits = |unit: &&(&str, u64)| milliseconds.is_multiple_of(u128::from(unit.1));
    let (name, factor) = DURATIONS.iter().rev().find(fits).unwrap_or(&DURATIONS[0]);
    format!("{}{name}", milliseconds / u128::from(*factor))
}

/// The shortest text that [`parse_size`] reads as the same.
pub fn format_size(size: u64) -> String {
    let fits = |unit: &&(&str, u64)| size.is_multiple_of(unit.1);
    let (name, factor) = SIZES.iter().rev().find(fits).unwrap_or(&SIZES[0]);
    format!("{}{name}", size / factor)
}

/// The shortest text that [`parse_share`] reads as the same.
pub fn format_share(share: Share) -> String {
    let (whole, fraction) = (share.millionths() / 10_000, share.millionths() % 10_000);
    if fraction == 0 {
        return format!("{whole}%");
    }
    format!("{whole}.{}%", format!("{fraction:04}").trim_end_matches('0'))
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Digits only: no sign, no underscore, no leading zero that others read as octal.
fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("30d", 2_592_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
            assert_eq!(format_duration(Duration::from_millis(milliseconds)), text);
        }
        for text in ["", "5", "s", "0s", "-1s", "1.5s", "1m30s", "31d", "5 s", "99999999999999999h"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for (text, cure) in [
            ("1m30s", "write `90s`"),
            ("1h30m", "write `90m`"),
            ("1.5s", "write `1500ms`"),
            ("0.25m", "write `15s`"),
            ("1.0001s", "a whole number"),
            ("1m30", "a whole number"),
            ("0m0s", "a whole number"),
            ("0", "more than nothing"),
        ] {
            let error = parse_duration(text).unwrap_err().0;
            assert!(error.contains(cure), "{text}: {error}");
        }
    }

    #[test]
    fn sizes() {
        for (text, size) in [("512B", 512), ("60KiB", 61_440), ("10MiB", 10_485_760)] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
            assert_eq!(format_size(size), text);
        }
        assert_eq!(parse_size("4096"), Ok(4096));
        assert!(parse_size("64K").unwrap_err().0.contains("`64KiB`"));
        for text in ["", "KiB", "1.5MiB", "64KB", "-1", "9999999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares() {
        for (text, millionths) in [("100%", 1_000_000), ("5%", 50_000), ("0.25%", 2_500), ("0%", 0)]
        {
            assert_eq!(parse_share(text).map(Share::millionths), Ok(millionths), "{text}");
            assert_eq!(format_share(Share::from_millionths(millionths).unwrap()), text);
        }
        for text in ["", "5", "%", "100.1%", "101%", "1.23456%", "-1%", "1.%", ".5%"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_is_read_back(milliseconds in 1_u64..2_592_000_000, size: u32, parts in 0_u32..=1_000_000) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
            prop_assert_eq!(parse_size(&format_size(size.into())), Ok(size.into()));
            let share = Share::from_millionths(parts).unwrap();
            prop_assert_eq!(parse_share(&format_share(share)), Ok(share));
        }
    }
}
