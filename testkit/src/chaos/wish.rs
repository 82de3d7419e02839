//! One request of the load: what is asked for, and the only answer that is right.
//!
//! The path holds an id that no other request has. The origin's answer repeats it, and the body
//! follows from it, so that an answer to anybody else cannot pass.

use super::random::{Random, hash};

/// The header in which an origin repeats the id.
pub(super) const ECHO: &str = "x-echo";
/// The header in which an origin says what it received.
pub(super) const RECEIVED: &str = "x-received";

/// A group of origins, by the first segment of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upstream {
    /// HTTP/1, by address.
    One,
    /// HTTP/2, by address.
    Two,
    /// HTTP/1, by a name.
    Named,
    /// Under TLS, by an address; what is spoken is agreed on in the handshake: HTTP/1.
    SecureOne,
    /// The same with HTTP/2.
    SecureTwo,
}

impl Upstream {
    pub(super) const ALL: [Self; 5] =
        [Self::One, Self::Two, Self::Named, Self::SecureOne, Self::SecureTwo];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Two => "two",
            Self::Named => "named",
            Self::SecureOne => "secure-one",
            Self::SecureTwo => "secure-two",
        }
    }

    pub(super) fn is_secure(self) -> bool {
        matches!(self, Self::SecureOne | Self::SecureTwo)
    }

    pub(super) fn speaks_http2(self) -> bool {
        matches!(self, Self::Two | Self::SecureTwo)
    }

    /// One that can be asked for this, by the same kind of connection.
    pub(super) fn that_speaks_http2(self, http2: bool) -> Self {
        match (self.is_secure(), http2) {
            _ if self.speaks_http2() == http2 => self,
            (true, true) => Self::SecureTwo,
            (true, false) => Self::SecureOne,
            (false, true) => Self::Two,
            (false, false) => Self::One,
        }
    }
}

/// Nobody reads the whole of a larger answer.
const LARGEST_READ: usize = 100_000;

#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) id: String,
    pub(super) upstream: Upstream,
    /// Bytes of the response; in chunks when the number is odd.
    size: usize,
    pub(super) upload: Option<Vec<u8>>,
}

impl Wish {
    /// The n-th request of a stream of them.
    pub(super) fn draw(random: &mut Random, stream: &str, number: u64) -> Self {
        let upstream = random.pick(&Upstream::ALL).unwrap_or(Upstream::One);
        let size = random.pick(&[0, 1, 100, 1000, 5001, 20_000, 70_001]).unwrap_or(0);
        let upload = random.pick(&[0, 0, 0, 10, 3000, 20_000]).filter(|length| *length > 0);
        let upload = upload.map(|length| random.bytes(length));
        let id = format!("{stream}-{number}");
        Self { id, upstream, size, upload }
    }

    /// Where the answer of its size is asked for.
    pub(super) fn path(&self) -> String {
        format!("/{}/{}/{}", self.upstream.name(), self.size, self.id)
    }

    pub(super) fn method(&self) -> &'static str {
        if self.upload.is_some() { "POST" } else { "GET" }
    }

    /// Whether this is the one right answer; the text says what is wrong with it.
    pub(super) fn judge(&self, echo: &str, received: &str, body: &[u8]) -> Result<(), String> {
        if echo != self.id {
            return Err(format!("{} got the answer of {echo:?}", self.id));
        }
        let sent = digest(self.upload.as_deref().unwrap_or_default());
        if received != sent {
            return Err(format!("{}: the origin received {received}, not {sent}", self.id));
        }
        if body.len() != self.size {
            return Err(format!("{}: {} bytes instead of {}", self.id, body.len(), self.size));
        }
        if body != content(&self.id, self.size) {
            return Err(format!("{}: the body is another one", self.id));
        }
        Ok(())
    }
}

/// What an origin reads out of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) size: usize,
}

impl Asked {
    /// No more than this is answered.
    const LARGEST: usize = 8 * 1024 * 1024;

    pub(super) fn parse(path: &str) -> Option<Self> {
        let (rest, id) = path.rsplit_once('/')?;
        let (_, size) = rest.rsplit_once('/')?;
        let size = size.parse().ok().filter(|size| *size <= Self::LARGEST)?;
        Some(Self { id: id.to_owned(), size })
    }

    pub(super) fn chunked(&self) -> bool {
        self.size % 2 == 1
    }
}

/// The body that belongs to an id. One that is larger than any of the load is for clients who read
/// nothing, and must not keep the origins beside it waiting while it is drawn.
pub(super) fn content(id: &str, size: usize) -> Vec<u8> {
    if size > LARGEST_READ {
        return vec![b'.'; size];
    }
    Random::new(hash(id.as_bytes())).bytes(size)
}

/// Length and checksum.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("{}-{:016x}", bytes.len(), hash(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_answer_is_right() {
        let mut random = Random::new(1);
        let wish = Wish { size: 100, upload: None, ..Wish::draw(&mut random, "a", 7) };
        let (body, none) = (content("a-7", 100), digest(b""));
        assert_eq!(wish.judge("a-7", &none, &body), Ok(()));
        assert!(wish.judge("a-8", &none, &body).is_err());
        assert!(wish.judge("a-7", &digest(b"x"), &body).is_err());
        assert!(wish.judge("a-7", &none, &body[1..]).is_err());
        assert!(wish.judge("a-7", &none, &content("a-8", 100)).is_err());
    }

    #[test]
    fn a_seed_draws_the_same_again_and_a_path_is_read_back() {
        let draw = |seed| Wish::draw(&mut Random::new(seed), "a", 1).path();
        assert_eq!(draw(5), draw(5));
        assert_eq!(Asked::parse("/one/12/a-1"), Some(Asked { id: "a-1".into(), size: 12 }));
        assert_eq!(Asked::parse("/one/x/a-1"), None);
    }
}
