//! The hashes of passwords that are accepted, each by its form and within a bounded cost.
//!
//! It computes none.

use std::fmt;

use base64::Engine;
use base64::alphabet::BCRYPT;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{NO_PAD, STANDARD, STANDARD_NO_PAD};

use super::fault::Fault;

/// About a second of one core.
const BCRYPT_COST: std::ops::RangeInclusive<u32> = 4..=14;
/// Characters of the salt and the hash of bcrypt together.
const BCRYPT_TAIL: usize = 53;
const ARGON2_KIBIBYTES: u32 = 64 * 1024;
const ARGON2_ITERATIONS: u32 = 10;
const ARGON2_LANES: u32 = 16;
/// Bytes; RFC 9106 recommends 16 of salt and 32 of hash.
const ARGON2_SALT: std::ops::RangeInclusive<usize> = 8..=48;
const ARGON2_HASH: std::ops::RangeInclusive<usize> = 16..=64;

/// The hash of one password, with what it costs to check it.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordHash {
    /// `$2a$`, `$2b$` or `$2y$`, which are computed alike for passwords of up to 72 bytes.
    Bcrypt { cost: u32, text: HashText },
    /// Version 19 (RFC 9106), as a PHC string; the memory in KiB.
    Argon2id { memory: u32, iterations: u32, lanes: u32, text: HashText },
    /// Without a salt: for long random passwords alone.
    Sha256([u8; 32]),
}

/// As it stands in the file.
#[derive(Clone, PartialEq, Eq)]
pub struct HashText(String);

impl HashText {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HashText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("HashText")
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bcrypt { cost, .. } => write!(out, "Bcrypt(cost {cost})"),
            Self::Argon2id { memory, iterations, lanes, .. } => {
                write!(out, "Argon2id({memory} KiB, {iterations} iterations, {lanes} lanes)")
            }
            Self::Sha256(_) => out.write_str("Sha256"),
        }
    }
}

/// By what other hashes begin with, and what they are.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("$apr1$", "MD5"),
    ("$1$", "MD5"),
    ("$2x$", "a bcrypt that some systems computed wrongly"),
    ("$2$", "the first bcrypt"),
    ("$5$", "SHA-256 crypt"),
    ("$6$", "SHA-512 crypt"),
    ("$y$", "yescrypt"),
    ("$gy$", "yescrypt"),
    ("$7$", "scrypt"),
    ("$scrypt$", "scrypt"),
    ("$argon2i$", "argon2i"),
    ("$argon2d$", "argon2d"),
    ("{SHA}", "SHA-1"),
    ("{SSHA}", "SHA-1"),
    ("$", "an unknown function"),
    ("{", "an unknown function"),
];

pub(super) fn parse(text: &str) -> Result<PasswordHash, Fault> {
    if let Some(rest) = ["$2a$", "$2b$", "$2y$"].iter().find_map(|it| text.strip_prefix(it)) {
        return bcrypt(text, rest);
    }
    if let Some(rest) = text.strip_prefix("$argon2id$") {
        return argon2id(text, rest).ok_or(Fault::Argon2)?;
    }
    if let Some(rest) = text.strip_prefix("{SHA256}") {
        let bytes = STANDARD.decode(rest).map_err(|_| Fault::Sha256)?;
        return bytes.try_into().map(PasswordHash::Sha256).map_err(|_| Fault::Sha256);
    }
    let other = UNSUPPORTED.iter().find(|(start, _)| text.starts_with(start));
    Err(other.map_or(Fault::Plain, |(_, name)| Fault::Unsupported(name)))
}

/// Characters of the salt.
const BCRYPT_SALT: usize = 22;
const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(&BCRYPT, NO_PAD);

/// `12$` and 22 characters of salt, 31 of hash.
fn bcrypt(text: &str, rest: &str) -> Result<PasswordHash, Fault> {
    let (cost, tail) = rest.split_once('$').ok_or(Fault::Bcrypt)?;
    // Bits that no byte takes must be zero: else no password would ever fit.
    let decodes = |part: Option<&str>| part.is_some_and(|part| BCRYPT_BASE64.decode(part).is_ok());
    let (salt, hash) = (tail.get(..BCRYPT_SALT), tail.get(BCRYPT_SALT..));
    if tail.len() != BCRYPT_TAIL || !decodes(salt) || !decodes(hash) || cost.len() != 2 {
        return Err(Fault::Bcrypt);
    }
    let cost = cost.bytes().all(|byte| byte.is_ascii_digit()).then(|| cost.parse().ok()).flatten();
    let cost = cost.ok_or(Fault::Bcrypt)?;
    if !BCRYPT_COST.contains(&cost) {
        return Err(Fault::BcryptCost(cost));
    }
    Ok(PasswordHash::Bcrypt { cost, text: HashText(text.to_owned()) })
}

/// `v=19$m=65536,t=2,p=1$` with salt and hash in base64. `None` when it is not in this form.
fn argon2id(text: &str, rest: &str) -> Option<Result<PasswordHash, Fault>> {
    let parts: Vec<&str> = rest.split('$').collect();
    let [version, costs, salt, hash] = parts[..] else {
        // Without its version it is of version 16.
        return (parts.len() == 3).then_some(Err(Fault::Argon2Version));
    };
    let costs: Vec<&str> = costs.split(',').collect();
    let [memory, iterations, lanes] = costs[..] else { return None };
    let (memory, iterations) = (number(memory, "m=")?, number(iterations, "t=")?);
    let lanes = number(lanes, "p=")?;
    let fits = |text: &str, bytes: &std::ops::RangeInclusive<usize>| {
        STANDARD_NO_PAD.decode(text).is_ok_and(|decoded| bytes.contains(&decoded.len()))
    };
    if !fits(salt, &ARGON2_SALT) || !fits(hash, &ARGON2_HASH) {
        return None;
    }
    let fault = if number(version, "v=")? != 19 {
        Fault::Argon2Version
    } else if memory > ARGON2_KIBIBYTES {
        Fault::Argon2Memory(memory)
    } else if iterations > ARGON2_ITERATIONS {
        Fault::Argon2Iterations(iterations)
    } else if lanes > ARGON2_LANES {
        Fault::Argon2Lanes(lanes)
    } else if iterations == 0 || lanes == 0 || memory < 8 * lanes {
        Fault::Argon2
    } else {
        let text = HashText(text.to_owned());
        return Some(Ok(PasswordHash::Argon2id { memory, iterations, lanes, text }));
    };
    Some(Err(fault))
}

/// Digits alone, without leading zeros.
fn number(text: &str, name: &str) -> Option<u32> {
    let digits = text.strip_prefix(name)?;
    digits.parse().ok().filter(|number: &u32| number.to_string() == digits)
}
