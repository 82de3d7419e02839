//! The flags, parsed into what they mean.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;

use crate::wire::target::Target;

/// Orders that are placed unless anything is said.
const ORDERS: u32 = 200;
/// What a run by time alone may place: its orders are kept in memory until they are checked.
const MOST_ORDERS: u32 = 1_000_000;
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 32..=128;

/// Customers for the shop, and an audit of its books behind them
#[derive(Debug, Clone, Parser)]
#[command(name = "shop-simulator", version, about, max_term_width = 100)]
pub(crate) struct Options {
    /// The gateway.
    #[arg(long, env = "SHOP_SIMULATOR_URL", default_value = "https://localhost:8443")]
    pub(crate) url: Target,
    /// Take whatever certificate the gateway shows, as `curl -k` does.
    #[arg(long, conflicts_with = "ca")]
    pub(crate) insecure: bool,
    /// The authority that vouches for the gateway, in PEM.
    #[arg(long)]
    pub(crate) ca: Option<PathBuf>,
    /// Customers at once.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) customers: u32,
    /// Orders to place by all of them together; 200 if no duration is given either.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ORDERS)))]
    pub(crate) orders: Option<u32>,
    /// How long they come; whichever of the two is first ends it.
    #[arg(long, value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// What draws their behaviour; printed, so that a run can be had again.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How long a customer thinks between two steps, on average.
    #[arg(long, value_parser = duration, default_value = "0ms")]
    pub(crate) think: Duration,
    /// The secret of the client shop-backoffice, with whose token the books are read and the
    /// shelves filled. Give it by the environment: flags are seen by everyone on the machine.
    #[arg(long, env = "SHOP_USERS_BACKOFFICE_SECRET", hide_env_values = true)]
    pub(crate) backoffice_secret: Secret,
    /// Where to write the summary as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// How long the shop may take, once the last customer has gone, until everything is at its end.
    #[arg(long, value_parser = duration, default_value = "2m")]
    pub(crate) settle: Duration,
    /// Others use the shop too: sums over all customers are not compared with what these did.
    #[arg(long)]
    pub(crate) shared: bool,
    /// Services are killed meanwhile: lost connections, 502 and 504 are sent again, and orders may
    /// run out of time.
    #[arg(long)]
    pub(crate) outages: bool,
}

impl Options {
    /// How many orders are placed at most.
    pub(crate) fn most_orders(&self) -> u32 {
        match (self.orders, self.duration) {
            (Some(orders), _) => orders,
            (None, Some(_)) => MOST_ORDERS,
            (None, None) => ORDERS,
        }
    }
}

/// A secret that prints as nothing.
#[derive(Clone)]
pub(crate) struct Secret(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has 32 to 128 visible ASCII characters")]
pub(crate) struct SecretError;

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if SECRET_LENGTH.contains(&text.len()) && visible {
            Ok(Self(text.to_owned()))
        } else {
            Err(SecretError)
        }
    }
}

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// Reads `250ms`, `10s`, `15m`, `1h`: one number, one unit.
fn duration(text: &str) -> Result<Duration, DurationError> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| DurationError)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(DurationError),
    };
    let limit = Duration::from_secs(7 * 24 * 3600);
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .filter(|duration| *duration <= limit)
        .ok_or(DurationError)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a number and a unit, a week at most: 250ms, 10s, 15m or 12h")]
struct DurationError;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn whichever_is_first_ends_the_run() {
        let check = |flags: &[&str], expected: u32| {
            let always = ["shop-simulator", "--backoffice-secret", SECRET];
            let options = Options::parse_from(always.iter().chain(flags));
            assert_eq!(options.most_orders(), expected, "{flags:?}");
        };
        check(&[], ORDERS);
        check(&["--orders", "7"], 7);
        check(&["--duration", "30s"], MOST_ORDERS);
        check(&["--duration", "30s", "--orders", "7"], 7);
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        let check = |flags: &[&str]| {
            let always = ["shop-simulator", "--backoffice-secret", SECRET];
            let parsed = Options::try_parse_from(always.iter().chain(flags));
            assert!(parsed.is_err(), "{flags:?}");
        };
        check(&["--customers", "0"]);
        check(&["--orders", "0"]);
        check(&["--orders", "1000001"]);
        check(&["--duration", "30"]);
        check(&["--url", "ftp://localhost"]);
        check(&["--insecure", "--ca", "ca.pem"]);
    }

    #[test]
    fn durations_have_exactly_one_unit() {
        let check = |text: &str, millis: Option<u64>| {
            let expected = millis.map(Duration::from_millis).ok_or(DurationError);
            assert_eq!(duration(text), expected, "{text:?}");
        };
        check("0ms", Some(0));
        check("250ms", Some(250));
        check("30s", Some(30_000));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        for text in ["", "s", "10", "10 s", "-1s", "1.5s", "1s5", "10sec", "169h"] {
            check(text, None);
        }
    }

    #[test]
    fn a_secret_is_long_and_does_not_print() {
        let secret: Secret = SECRET.parse().unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(secret.reveal(), SECRET);
        for wrong in ["", "short", &"a".repeat(129), "0123456789abcdef 0123456789abcdef"] {
            assert_eq!(wrong.parse::<Secret>().err(), Some(SecretError), "{wrong:?}");
        }
    }
}
