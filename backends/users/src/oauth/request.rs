//! Authorization requests: read, checked, and signed for the way through the login form.
//!
//! What was checked travels in the form as a token of ours, so that a stranger's visit leaves
//! nothing in the database. Neither cookie nor session is at stake: whoever sends the form types
//! the password, and the code that comes of it is of use only to the one who chose the challenge.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shop_platform::UnixTime;
use uuid::Uuid;

use super::client::{Client, Clients, GrantType};
use super::form::{Form, FormError};
use super::pkce::Challenge;
use super::redirect;
use crate::error::ApiError;
use crate::keys::Keys;
use crate::scope::Scopes;
use crate::token::{self, Issuer, TokenError};

/// The endpoint that a request comes to, and that its signed form comes back to.
pub(crate) const ENDPOINT: &str = "/oauth/authorize";
/// How long a login form may be looked at.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);
/// In the token's header: it is no access token.
const KIND: &str = "authorization-request+jwt";
/// A state or a nonce that is longer holds more than it should.
const OPAQUE_LIMIT: usize = 512;

/// A request whose client and address are good, and all the rest too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthorizationRequest {
    iss: String,
    aud: String,
    exp: u64,
    /// One code comes of it and no second.
    pub(crate) jti: Uuid,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) scope: String,
    pub(crate) state: Option<String>,
    pub(crate) code_challenge: String,
    pub(crate) nonce: Option<String>,
}

/// Why no login form is shown.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The address cannot be believed, so the user is told here (RFC 6749, section 4.1.2.1).
    Page(&'static str),
    /// The client is told.
    Redirect(Denial),
    Api(ApiError),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Api(error.into())
    }
}

/// An error that travels to the client's address.
#[derive(Debug)]
pub(crate) struct Denial {
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) error: AuthorizeError,
    pub(crate) description: &'static str,
}

/// RFC 6749, section 4.1.2.1, and OpenID Connect Core, section 3.1.2.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthorizeError {
    InvalidRequest,
    UnauthorizedClient,
    AccessDenied,
    UnsupportedResponseType,
    InvalidScope,
    ServerError,
    TemporarilyUnavailable,
    LoginRequired,
    RequestNotSupported,
    RequestUriNotSupported,
    RegistrationNotSupported,
}

impl AuthorizeError {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::LoginRequired => "login_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::RegistrationNotSupported => "registration_not_supported",
        }
    }
}

impl AuthorizationRequest {
    /// Checks the client and the address first: what is wrong with them is never told elsewhere.
    pub(crate) async fn read(
        form: &Form,
        clients: &Clients,
        issuer: &Issuer,
        now: UnixTime,
    ) -> Result<Self, Refusal> {
        let page = |_: FormError| Refusal::Page("The request names no client, or more than one.");
        let client_id = form.required("client_id").map_err(page)?;
        let client = clients.find(client_id).await?;
        let client = client.ok_or(Refusal::Page("The request is of an unknown client."))?;
        let unknown = Refusal::Page("The request names an address that is not its client's.");
        let redirect_uri = match form.required("redirect_uri") {
            Ok(uri) if client.may_redirect_to(uri) => uri.to_owned(),
            Ok(_) | Err(_) => return Err(unknown),
        };
        // A state that cannot be repeated as it came is not repeated at all.
        let state = form.value("state").ok().flatten().filter(|state| is_opaque(state));
        let denied = |(error, description)| {
            let (redirect_uri, state) = (redirect_uri.clone(), state.map(str::to_owned));
            Refusal::Redirect(Denial { redirect_uri, state, error, description })
        };
        let Rest { scope, code_challenge, nonce } = rest(form, &client).map_err(denied)?;
        Ok(Self {
            iss: issuer.url().to_owned(),
            aud: audience(issuer),
            exp: now.plus(LIFETIME).seconds(),
            jti: Uuid::now_v7(),
            client_id: client.id,
            state: state.map(str::to_owned),
            redirect_uri,
            scope,
            code_challenge,
            nonce,
        })
    }

    /// As the login form carries it.
    pub(crate) fn sign(&self, keys: &Keys, now: UnixTime) -> Result<String, TokenError> {
        token::sign(keys, KIND, self, now)
    }

    /// The request that a login form brings back.
    pub(crate) fn open(
        text: &str,
        issuer: &Issuer,
        keys: &Keys,
        now: UnixTime,
    ) -> Result<Self, TokenError> {
        let request: Self = issuer.open(keys, KIND, &audience(issuer), text)?;
        if now.seconds() >= request.exp { Err(TokenError::Expired) } else { Ok(request) }
    }

    pub(crate) fn deny(self, error: AuthorizeError, description: &'static str) -> Denial {
        Denial { redirect_uri: self.redirect_uri, state: self.state, error, description }
    }

    /// The client's address with the code for it.
    pub(crate) fn answer(&self, code: &str, issuer: &str) -> String {
        let mut parameters = vec![("code", code)];
        parameters.extend(self.state.as_deref().map(|state| ("state", state)));
        parameters.push(("iss", issuer));
        redirect::with_parameters(&self.redirect_uri, &parameters)
    }
}

impl Denial {
    /// The client's address with the error.
    pub(crate) fn answer(&self, issuer: &str) -> String {
        let mut parameters =
            vec![("error", self.error.as_str()), ("error_description", self.description)];
        parameters.extend(self.state.as_deref().map(|state| ("state", state)));
        // RFC 9207: a client of several servers learns which one answered.
        parameters.push(("iss", issuer));
        redirect::with_parameters(&self.redirect_uri, &parameters)
    }
}

/// What is checked once the client may be told.
struct Rest {
    scope: String,
    code_challenge: String,
    nonce: Option<String>,
}

type Told = (AuthorizeError, &'static str);

fn rest(form: &Form, client: &Client) -> Result<Rest, Told> {
    use AuthorizeError as E;
    let invalid = |description| (E::InvalidRequest, description);
    if form.repeats() {
        return Err(invalid("a parameter is given more than once"));
    }
    // No parameter repeats from here on.
    let value = |name| form.value(name).unwrap_or_default();
    if !value("state").is_none_or(is_opaque) {
        return Err(invalid("the state must be up to 512 characters of printable ASCII"));
    }
    for (name, error) in [
        ("request", E::RequestNotSupported),
        ("request_uri", E::RequestUriNotSupported),
        ("registration", E::RegistrationNotSupported),
    ] {
        if value(name).is_some() {
            return Err((error, "the parameter is not supported"));
        }
    }
    match value("response_type") {
        Some("code") => {}
        Some(_) => return Err((E::UnsupportedResponseType, "the only response type is code")),
        None => return Err(invalid("the response_type is missing")),
    }
    if value("response_mode").is_some_and(|mode| mode != "query") {
        return Err(invalid("the only response mode is query"));
    }
    if !client.may_use(GrantType::AuthorizationCode) {
        return Err((E::UnauthorizedClient, "the client may not ask for codes"));
    }
    let scopes = value("scope").and_then(|scope| scope.parse::<Scopes>().ok());
    let scopes = scopes.filter(|scopes| !scopes.is_empty() && scopes.is_subset(&client.scopes));
    let scopes = scopes.ok_or((E::InvalidScope, "a scope is missing, malformed or not allowed"))?;
    if value("code_challenge_method") != Some("S256") {
        return Err(invalid("the code_challenge_method must be S256"));
    }
    let challenge = value("code_challenge").and_then(Challenge::try_new);
    let challenge = challenge.ok_or(invalid("the code_challenge is missing or malformed"))?;
    if !value("nonce").is_none_or(is_opaque) {
        return Err(invalid("the nonce must be up to 512 characters of printable ASCII"));
    }
    check_prompt(value("prompt"))?;
    Ok(Rest {
        scope: scopes.to_string(),
        code_challenge: challenge.as_str().to_owned(),
        nonce: value("nonce").map(str::to_owned),
    })
}

/// Everyone is asked for a password each time, which is what every other prompt wants.
fn check_prompt(prompt: Option<&str>) -> Result<(), Told> {
    let mut words = prompt.unwrap_or_default().split(' ');
    match (words.clone().count(), words.any(|word| word == "none")) {
        (1, true) => Err((AuthorizeError::LoginRequired, "nobody stays logged in here")),
        (_, true) => Err((AuthorizeError::InvalidRequest, "the prompt none stands alone")),
        (_, false) => Ok(()),
    }
}

/// Whom the signed request is for: this endpoint and none else.
fn audience(issuer: &Issuer) -> String {
    format!("{}{}", issuer.url(), ENDPOINT)
}

/// RFC 6749, appendix A.5.
fn is_opaque(text: &str) -> bool {
    text.len() <= OPAQUE_LIMIT && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_of_none_stands_alone_and_finds_nobody() {
        let check = |prompt, expected| {
            assert_eq!(check_prompt(prompt).err().map(|(error, _)| error), expected, "{prompt:?}");
        };
        check(None, None);
        check(Some("login consent"), None);
        check(Some("none"), Some(AuthorizeError::LoginRequired));
        check(Some("none login"), Some(AuthorizeError::InvalidRequest));
    }
}
