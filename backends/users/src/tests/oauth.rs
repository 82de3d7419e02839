//! OAuth by `oneshot`: what every test of it needs.

use std::collections::BTreeMap;

use axum::http::header::LOCATION;

use super::*;

mod authorize;
pub(super) mod code;
mod documents;
pub(super) mod flow;
mod login_form;
mod redirects;
pub(super) mod refresh;
pub(super) mod secrets;
mod token_errors;

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const ADA: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";
const REDIRECT: &str = "http://127.0.0.1:5000/callback";
const ALL: &str = "openid profile email customer offline_access";

/// What a good request has. A change replaces a parameter, or leaves it out.
const GOOD: [(&str, &str); 8] = [
    ("client_id", "shop-web"),
    ("redirect_uri", REDIRECT),
    ("response_type", "code"),
    ("scope", ALL),
    ("state", "s t&a=te"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
    ("nonce", "n-0S6_WzA2Mj"),
];

type Change<'a> = (&'a str, Option<&'a str>);

fn encode(pairs: &[(&str, &str)]) -> String {
    let encoded = |text: &str| {
        text.bytes().fold(String::new(), |mut text, byte| {
            if byte.is_ascii_alphanumeric() {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
            text
        })
    };
    let pairs: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

fn request_with(changes: &[Change<'_>]) -> String {
    let mut pairs: Vec<(&str, &str)> = GOOD.to_vec();
    for (name, value) in changes {
        pairs.retain(|(found, _)| found != name);
        pairs.extend(value.map(|value| (*name, value)));
    }
    encode(&pairs)
}

/// Where an answer sends the browser: the address, and the parameters of its query.
fn redirection(answer: &Answer) -> (String, BTreeMap<String, String>) {
    let location = answer.headers.get(LOCATION).unwrap_or_else(|| panic!("{}", answer.text));
    let (address, query) = location.to_str().unwrap().split_once('?').unwrap();
    let decoded =
        |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let parameters = query.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), decoded(value))
    });
    (address.to_owned(), parameters.collect())
}

/// The signed request in a login form.
fn signed(answer: &Answer) -> String {
    let start = "name=\"authorization\" value=\"";
    let at = answer.text.find(start).unwrap_or_else(|| panic!("{}", answer.text)) + start.len();
    answer.text[at..].split('"').next().unwrap().to_owned()
}

impl Shop {
    async fn authorize(&self, changes: &[Change<'_>]) -> Answer {
        self.get(&format!("/oauth/authorize?{}", request_with(changes)), None).await
    }

    async fn post_form(
        &self,
        path: &str,
        pairs: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder()
            .method("POST")
            .uri(path)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(encode(pairs))).unwrap()).await
    }

    async fn submit(&self, signed: &str, email: &str, password: &str) -> Answer {
        let pairs = [("authorization", signed), ("email", email), ("password", password)];
        self.post_form("/oauth/authorize", &pairs, &[]).await
    }

    /// A code for Ada, who has an account already or gets one.
    async fn code(&self, changes: &[Change<'_>]) -> String {
        self.register(ADA).await;
        let form = self.authorize(changes).await;
        assert_eq!(form.status, 200, "{}", form.text);
        let answer = self.submit(&signed(&form), ADA, PASSWORD).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        redirection(&answer).1["code"].clone()
    }

    async fn redeem_with(&self, code: &str, changes: &[Change<'_>]) -> Answer {
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("client_id", "shop-web"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        for (name, value) in changes {
            pairs.retain(|(found, _)| found != name);
            pairs.extend(value.map(|value| (*name, value)));
        }
        self.post_form("/oauth/token", &pairs, &[]).await
    }

    async fn redeem(&self, code: &str) -> Answer {
        let answer = self.redeem_with(code, &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer
    }

    /// What Ada's browser gets: all tokens there are.
    async fn tokens(&self) -> Answer {
        self.redeem(&self.code(&[]).await).await
    }

    async fn refresh(&self, token: &str) -> Answer {
        let pairs =
            [("grant_type", "refresh_token"), ("client_id", "shop-web"), ("refresh_token", token)];
        self.post_form("/oauth/token", &pairs, &[]).await
    }

    async fn userinfo(&self, token: &str) -> Answer {
        self.get("/oauth/userinfo", Some(&format!("Bearer {token}"))).await
    }

    /// A token for the back office itself.
    async fn backoffice(&self, scope: &str) -> Answer {
        let pairs = [
            ("grant_type", "client_credentials"),
            ("client_id", "shop-backoffice"),
            ("client_secret", BACKOFFICE_SECRET),
            ("scope", scope),
        ];
        self.post_form("/oauth/token", &pairs, &[]).await
    }

    pub(super) async fn count(&self, table: &str) -> i64 {
        let query = format!("SELECT count(*) FROM {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(self.database.pool())
            .await
            .unwrap()
    }
}

/// A text in an answer, which is there.
fn text<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.body[name].as_str().unwrap_or_else(|| panic!("{name} is not in {}", answer.text))
}

fn assert_refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, &answer.body["error"]), (status, &json!(error)), "{}", answer.text);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["content-type"], "application/json");
}

impl Shop {
    /// What the upkeep does every minute.
    async fn prune(&self) {
        let day = Duration::from_secs(24 * 3600);
        let policy = crate::oauth::grant::RefreshPolicy::try_new(day, day, day).unwrap();
        let codes = crate::oauth::code::Codes::new(self.database.clone());
        let grants = crate::oauth::grant::Grants::new(self.database.clone(), policy, day);
        crate::oauth::prune(&codes, &grants, &*self.clock).await.unwrap();
    }
}
