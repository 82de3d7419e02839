//! What is wrong with a file of passwords, and what cures it.
//!
//! No text here holds a part of the file: it may be a password.

/// What is wrong, and in which line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct LineError {
    /// From one; nothing where it is about the whole file.
    pub line: Option<u32>,
    pub fault: Fault,
}

impl LineError {
    /// How to cure it.
    pub fn help(&self) -> &'static str {
        self.fault.help()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("is larger than 4 MiB")]
    TooLarge,
    #[error("holds no user, so nobody could log in")]
    NoUser,
    #[error("holds more than 10000 users")]
    TooManyUsers,
    #[error("has {0} more lines that are wrong")]
    More(usize),
    #[error("the line is longer than 1024 bytes")]
    LineTooLong,
    #[error("the line holds control characters or characters outside of ASCII")]
    NotAscii,
    #[error("the line has no `:` between user and hash")]
    NoColon,
    #[error("the name of the user is empty, longer than 255 bytes, or has a space at its ends")]
    User,
    #[error("the user stands in line {first} already")]
    Twice { first: u32 },
    #[error("the password is not hashed, or by crypt")]
    Plain,
    #[error("the password is hashed by {0}, which is not accepted")]
    Unsupported(&'static str),
    #[error("the hash begins like bcrypt and is not in its form")]
    Bcrypt,
    #[error("bcrypt has a cost of {0}; from 4 to 14 is accepted")]
    BcryptCost(u32),
    #[error("the hash begins like argon2id and is not in its form")]
    Argon2,
    #[error("argon2id has a version other than 19")]
    Argon2Version,
    #[error("argon2id takes {0} KiB of memory; at most 65536 (64 MiB) is accepted")]
    Argon2Memory(u32),
    #[error("argon2id has {0} iterations; at most 10 is accepted")]
    Argon2Iterations(u32),
    #[error("argon2id has {0} lanes; at most 16 is accepted")]
    Argon2Lanes(u32),
    #[error("what follows `{{SHA256}}` is not the base64 of 32 bytes")]
    Sha256,
}

impl Fault {
    fn help(&self) -> &'static str {
        match self {
            Self::TooLarge => "name a file with a line `user:hash` for each user",
            Self::TooManyUsers => "so many users belong into an identity provider",
            Self::NoUser => "add one: `htpasswd -B FILE USER`",
            Self::More(_) => "name a file with a line `user:hash` for each user",
            Self::LineTooLong | Self::NotAscii | Self::NoColon => {
                "each line is `user:hash`, as `htpasswd -B FILE USER` writes it"
            }
            Self::User => "give the user another name",
            Self::Twice { .. } => "remove one of the two lines",
            Self::Plain | Self::Unsupported(_) => "use bcrypt or argon2id: `htpasswd -B FILE USER`",
            Self::Bcrypt | Self::Argon2 | Self::Argon2Version | Self::Sha256 => {
                "write the line again, it may be cut short: `htpasswd -B FILE USER`"
            }
            Self::BcryptCost(_) => "`htpasswd -B -C 12 FILE USER` writes one of cost 12",
            Self::Argon2Memory(_) | Self::Argon2Iterations(_) | Self::Argon2Lanes(_) => {
                "19456 KiB, 2 iterations and 1 lane are what OWASP recommends"
            }
        }
    }
}
