//! How a client proves itself at the endpoints it calls (RFC 6749, section 2.3).
//!
//! By HTTP Basic or by parameters of the form, never both; a public client only says its name,
//! and what it presents has to prove the rest.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::client_error::ClientError;
use crate::oauth::client::{Client, Kind};
use crate::oauth::form::{Form, decode};
use crate::password::Password;
use crate::state::Users;

/// What discovery says of it.
pub(crate) const METHODS: [&str; 3] = ["none", "client_secret_basic", "client_secret_post"];

/// No registered id is longer, and a database may refuse what is no text.
const ID_LIMIT: usize = 64;

/// The client that sent the form.
pub(crate) async fn authenticate(
    users: &Users,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Client, ClientError> {
    let claimed = Claimed::read(headers, form)?;
    if claimed.id.len() > ID_LIMIT {
        return Err(ClientError::Client);
    }
    let client = users.clients.find(&claimed.id).await?.ok_or(ClientError::Client)?;
    match (&client.kind, claimed.secret) {
        (Kind::Public, None) => Ok(client),
        (Kind::Confidential { secret_hash: Some(hash) }, Some(secret)) => {
            let attempt = Password::attempt(secret);
            let matches = users.passwords.verify(attempt, Some(hash.clone())).await;
            if matches.map_err(crate::error::ApiError::from)? {
                Ok(client)
            } else {
                Err(ClientError::Client)
            }
        }
        (Kind::Public, Some(_)) | (Kind::Confidential { .. }, _) => Err(ClientError::Client),
    }
}

struct Claimed {
    id: String,
    secret: Option<String>,
}

impl Claimed {
    fn read(headers: &HeaderMap, form: &Form) -> Result<Self, ClientError> {
        let (id, secret) = (form.value("client_id")?, form.value("client_secret")?);
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(header) = values.next() else {
            let id = id.ok_or(ClientError::Client)?.to_owned();
            return Ok(Self { id, secret: secret.map(str::to_owned) });
        };
        if values.next().is_some() {
            return Err(ClientError::Request("there is more than one Authorization header"));
        }
        let basic = header.to_str().ok().and_then(basic).ok_or(ClientError::Client)?;
        if secret.is_some() || id.is_some_and(|id| id != basic.id) {
            return Err(ClientError::Request("the client names itself in two ways"));
        }
        Ok(basic)
    }
}

/// Both parts are form-encoded before they are joined.
fn basic(header: &str) -> Option<Claimed> {
    let (scheme, token) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = STANDARD.decode(token.trim_matches(' ')).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (id, secret) = (decode(&pair[..colon])?, decode(&pair[colon + 1..])?);
    (!id.is_empty()).then_some(Claimed { id, secret: Some(secret) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_names_itself_in_exactly_one_way() {
        let check = |headers: &[&str], form: &str, expected: Result<(&str, Option<&str>), &str>| {
            let mut map = HeaderMap::new();
            for value in headers {
                map.append(AUTHORIZATION, value.parse().unwrap());
            }
            let form = Form::parse(form.as_bytes()).unwrap();
            let found = Claimed::read(&map, &form);
            let found = match &found {
                Ok(claimed) => Ok((claimed.id.as_str(), claimed.secret.as_deref())),
                Err(ClientError::Client) => Err("client"),
                Err(_) => Err("request"),
            };
            assert_eq!(found, expected, "{headers:?} {form:?}");
        };
        // a:b, a%3Ab:c%20d+e, a, :b
        let (ab, encoded, bare, nameless) =
            ("Basic YTpi", "basic YSUzQWI6YyUyMGQrZQ==", "Basic YQ==", "Basic OmI=");
        check(&[], "client_id=a", Ok(("a", None)));
        check(&[], "client_id=a&client_secret=b", Ok(("a", Some("b"))));
        check(&[ab], "", Ok(("a", Some("b"))));
        check(&[ab], "client_id=a", Ok(("a", Some("b"))));
        check(&[encoded], "", Ok(("a:b", Some("c d e"))));
        check(&[], "", Err("client"));
        check(&[], "client_secret=b", Err("client"));
        check(&[bare], "", Err("client"));
        check(&[nameless], "", Err("client"));
        check(&["Bearer YTpi"], "client_id=a", Err("client"));
        check(&["Basic !"], "client_id=a", Err("client"));
        check(&[ab, ab], "", Err("request"));
        check(&[ab], "client_secret=b", Err("request"));
        check(&[ab], "client_id=b", Err("request"));
        check(&[], "client_id=a&client_id=a", Err("request"));
    }
}
