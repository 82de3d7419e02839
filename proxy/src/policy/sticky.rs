//! The cookie by which a client keeps its backend and endpoint.
//!
//! Its value is two keys in hexadecimal, opaque to the client: hashes, neither names nor
//! addresses, the same on every replica and after a restart. It is not a secret and not signed:
//! a client that makes one up reaches only what the route would have given it anyway.

use std::io::Write as _;

use portcullis_config::model::StickyCookie;

use super::PolicyFault;
use crate::message::Fields;

/// A sticky cookie, prepared.
#[derive(Debug)]
pub struct StickyPolicy {
    name: Box<str>,
    /// All that follows the value, without `Secure`.
    attributes: Box<str>,
}

/// What a cookie remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affinity {
    /// [`upstream_key`] of the backend.
    pub backend: u64,
    pub endpoint: u64,
}

/// The sticky state of one request.
#[derive(Debug, Clone, Copy)]
pub struct Sticky<'t> {
    policy: &'t StickyPolicy,
    backend: u64,
    /// The endpoint to use if it is still there; `None` leaves the choice to the balancer.
    pub endpoint: Option<u64>,
}

impl StickyPolicy {
    /// # Errors
    /// A name that is no cookie name.
    pub fn compile(sticky: &StickyCookie) -> Result<Self, PolicyFault> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if sticky.cookie.is_empty() || !sticky.cookie.bytes().all(token) {
            return Err(PolicyFault::CookieName(sticky.cookie.clone()));
        }
        let mut attributes = "; Path=/; HttpOnly; SameSite=Lax".to_owned();
        if let Some(age) = sticky.max_age {
            attributes.push_str(&format!("; Max-Age={}", age.as_secs()));
        }
        Ok(Self { name: sticky.cookie.as_str().into(), attributes: attributes.into() })
    }

    /// What the client remembers, if it shows a well-formed cookie.
    pub fn read(&self, fields: &Fields<'_>) -> Option<Affinity> {
        Affinity::decode(fields.cookie(&self.name)?)
    }

    /// The sticky state once a backend is chosen, by its [`upstream_key`].
    pub fn stick(&self, shown: Option<Affinity>, backend: u64) -> Sticky<'_> {
        let endpoint = shown.filter(|it| it.backend == backend).map(|it| it.endpoint);
        Sticky { policy: self, backend, endpoint }
    }
}

impl<'t> Sticky<'t> {
    /// The cookie to set, when the endpoint that served is not the one remembered.
    pub fn cookie(&self, served_by: u64, tls: bool) -> Option<Cookie<'t>> {
        let affinity = Affinity { backend: self.backend, endpoint: served_by };
        let is_new = self.endpoint != Some(served_by);
        is_new.then(|| Cookie { policy: self.policy, value: affinity.encode(), tls })
    }
}

/// A cookie on its way to the client.
#[derive(Debug)]
pub struct Cookie<'t> {
    policy: &'t StickyPolicy,
    value: [u8; 32],
    tls: bool,
}

impl Cookie<'_> {
    /// The value of `set-cookie`, in pieces.
    pub fn pieces(&self) -> [&[u8]; 5] {
        let StickyPolicy { name, attributes } = self.policy;
        let secure: &[u8] = if self.tls { b"; Secure" } else { b"" };
        [name.as_bytes(), b"=", &self.value, attributes.as_bytes(), secure]
    }
}

impl Affinity {
    pub fn encode(self) -> [u8; 32] {
        let mut text = [0; 32];
        // Two times sixteen digits fill it exactly.
        let _ = write!(&mut text[..], "{:016x}{:016x}", self.backend, self.endpoint);
        text
    }

    /// Strict: exactly what [`Affinity::encode`] writes.
    pub fn decode(text: &[u8]) -> Option<Self> {
        let text: &[u8; 32] = text.try_into().ok()?;
        let number = |digits: &[u8]| {
            digits.iter().try_fold(0u64, |number, digit| match digit {
                b'0'..=b'9' => Some(number << 4 | u64::from(digit - b'0')),
                b'a'..=b'f' => Some(number << 4 | u64::from(digit - b'a' + 10)),
                _ => None,
            })
        };
        Some(Self { backend: number(&text[..16])?, endpoint: number(&text[16..])? })
    }
}

/// Names an upstream in cookies (FNV-1a, 64 bits): part of what clients hold, so it must not
/// change between releases.
pub fn upstream_key(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Field, FieldList, Known, Span};

    fn policy(max_age: Option<u64>) -> StickyPolicy {
        let max_age = max_age.map(std::time::Duration::from_secs);
        StickyPolicy::compile(&StickyCookie { cookie: "pin".to_owned(), max_age }).unwrap()
    }

    fn read(policy: &StickyPolicy, cookie: &str) -> Option<Affinity> {
        let end = u32::try_from(cookie.len()).unwrap();
        let field =
            Field { name: Span::default(), value: Span { start: 0, end }, known: Known::Cookie };
        let mut fields = FieldList::default();
        fields.push(field);
        policy.read(&Fields { bytes: cookie.as_bytes(), fields: &fields })
    }

    #[test]
    fn what_is_written_is_read_again() {
        let policy = policy(Some(3600));
        for (key, endpoint) in [(0, 0), (1, u64::MAX), (upstream_key("orders"), 0x1234)] {
            let cookie = policy.stick(None, key).cookie(endpoint, true).unwrap();
            let line = String::from_utf8(cookie.pieces().concat()).unwrap();
            let (pair, attributes) = line.split_once(';').unwrap();
            assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax; Max-Age=3600; Secure");
            let shown = read(&policy, &format!("other=1; {pair}"));
            assert_eq!(shown, Some(Affinity { backend: key, endpoint }));
            // Shown again, it holds and is not set again.
            let sticky = policy.stick(shown, key);
            assert_eq!(sticky.endpoint, Some(endpoint));
            assert!(sticky.cookie(endpoint, true).is_none());
        }
    }

    #[test]
    fn another_backend_forgets_the_endpoint() {
        let policy = policy(None);
        let shown = Some(Affinity { backend: 1, endpoint: 7 });
        let sticky = policy.stick(shown, 2);
        assert_eq!(sticky.endpoint, None);
        let cookie = sticky.cookie(7, false).unwrap();
        assert_eq!(
            String::from_utf8(cookie.pieces().concat()).unwrap(),
            "pin=00000000000000020000000000000007; Path=/; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn only_the_exact_form_is_read() {
        let policy = policy(None);
        let good = "0123456789abcdef0123456789abcdef";
        assert!(read(&policy, &format!("pin={good}")).is_some());
        for bad in [
            format!("pin={good}0"),
            format!("pin={}", &good[1..]),
            format!("pin={}", good.to_uppercase()),
            format!("pin=+{}", &good[1..]),
            format!("pin= {}", &good[1..]),
            format!("Pin={good}"),
            format!("xpin={good}"),
            "pin=".to_owned(),
            "pin".to_owned(),
            String::new(),
        ] {
            assert_eq!(read(&policy, &bad), None, "{bad}");
        }
    }

    #[test]
    fn keys_of_upstreams_do_not_change() {
        assert_eq!(upstream_key(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(upstream_key("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(upstream_key("foobar"), 0x8594_4171_f739_67e8);
    }
}
