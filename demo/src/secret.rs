//! The back office's secret: another one in each run, and no longer good than it lasts.

use std::fmt::Write;

use anyhow::{Context, ensure};
use rustix::rand::{GetRandomFlags, getrandom};

/// By which programs are told. Flags would be seen by everyone on the machine.
pub(crate) const VARIABLE: &str = "SHOP_USERS_BACKOFFICE_SECRET";
/// Twice as many hexadecimal digits: the least that the service takes is 32.
const BYTES: usize = 24;

pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn random() -> anyhow::Result<Self> {
        let mut bytes = [0; BYTES];
        let length = getrandom(&mut bytes, GetRandomFlags::empty())
            .context("the kernel gives no random bytes")?;
        ensure!(length == BYTES, "the kernel gave {length} of {BYTES} random bytes");
        let mut text = String::with_capacity(2 * BYTES);
        for byte in bytes {
            write!(text, "{byte:02x}")?;
        }
        Ok(Self(text))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        let (one, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().len(), 48);
        assert!(one.reveal().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
