//! Users may die before and after each commit of a login by OAuth 2.0: a code and a refresh token
//! are good once at most, what was ended stays ended, and whoever begins again gets in.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::net::SocketAddr;

use portcullis_testkit::client::{ClientError, RawClient};
use portcullis_testkit::http::Response;
use shop_proofs::{Customer, Engines, Service, World};

const CLIENT: &str = "shop-web";
const REDIRECT: &str = "http://127.0.0.1:5000/callback";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const WRONG_VERIFIER: &str = "aBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// What a browser, and the page in it, sends.
struct Browser {
    users: SocketAddr,
    email: String,
    password: String,
}

struct Tokens {
    access: String,
    refresh: String,
}

impl Browser {
    async fn send(&self, head: String, body: &str) -> Result<Response, ClientError> {
        let mut client = RawClient::connect(self.users).await?;
        client.send(format!("{head}host: shop\r\n\r\n{body}").as_bytes()).await?;
        client.final_response().await
    }

    async fn get(&self, path: &str, token: Option<&str>) -> Response {
        let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n"));
        let head = format!("GET {path} HTTP/1.1\r\n{}", bearer.unwrap_or_default());
        self.send(head, "").await.unwrap()
    }

    async fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Result<Response, ClientError> {
        let body = encode(pairs);
        let length = body.len();
        let kind = "content-type: application/x-www-form-urlencoded";
        let head = format!("POST {path} HTTP/1.1\r\n{kind}\r\ncontent-length: {length}\r\n");
        self.send(head, &body).await
    }

    /// The login form's hidden field.
    async fn form(&self) -> String {
        let query = encode(&[
            ("client_id", CLIENT),
            ("redirect_uri", REDIRECT),
            ("response_type", "code"),
            ("scope", "openid customer offline_access"),
            ("state", "any"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        let page = self.get(&format!("/oauth/authorize?{query}"), None).await.text();
        let (_, rest) = page.split_once("name=\"authorization\" value=\"").expect(&page);
        rest.split('"').next().unwrap().to_owned()
    }

    async fn submit(&self, form: &str) -> Result<Response, ClientError> {
        let pairs = [("authorization", form), ("email", &self.email), ("password", &self.password)];
        self.post("/oauth/authorize", &pairs).await
    }

    async fn code(&self) -> String {
        let sent_back = self.submit(&self.form().await).await.unwrap();
        assert_eq!(sent_back.status, 303, "{}", sent_back.text());
        let location = sent_back.headers.first("location").unwrap().to_owned();
        let (_, rest) = location.split_once("code=").expect(&location);
        rest.split('&').next().unwrap().to_owned()
    }

    async fn redeem(&self, code: &str, verifier: &str) -> Result<Response, ClientError> {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("client_id", CLIENT),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
        ];
        self.post("/oauth/token", &pairs).await
    }

    async fn refresh(&self, token: &str) -> Result<Response, ClientError> {
        let pairs =
            [("grant_type", "refresh_token"), ("client_id", CLIENT), ("refresh_token", token)];
        self.post("/oauth/token", &pairs).await
    }

    /// From the login page to tokens that are good.
    async fn log_in(&self) -> Tokens {
        let tokens = tokens(&self.redeem(&self.code().await, VERIFIER).await.unwrap());
        let info = self.get("/oauth/userinfo", Some(&tokens.access)).await;
        assert_eq!(info.status, 200, "{}", info.text());
        tokens
    }
}

fn tokens(answer: &Response) -> Tokens {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    Tokens { access: text("access_token"), refresh: text("refresh_token") }
}

fn encode(pairs: &[(&str, &str)]) -> String {
    let encoded = |text: &str| {
        text.bytes().fold(String::new(), |mut text, byte| {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(char::from(byte)),
                _ => text.push_str(&format!("%{byte:02X}")),
            }
            text
        })
    };
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&")
}

/// The commits of these flows: what makes the service come to it, what is asked afterwards, and
/// how that is answered if the service died before the commit and after it.
const STEPS: [(&str, Flow, u16, u16); 6] = [
    // The form was sent: it may be sent again until it has given a code.
    ("users.authorize", Flow::Submit, 303, 400),
    ("users.code", Flow::Redeem, 200, 400),
    ("users.code-refused", Flow::RedeemWrongly, 200, 400),
    ("users.code-reused", Flow::RedeemTwice, 200, 400),
    ("users.refresh", Flow::Refresh, 200, 400),
    ("users.refresh-reused", Flow::RefreshTwice, 200, 400),
];

#[derive(Debug, Clone, Copy)]
enum Flow {
    /// The form twice.
    Submit,
    /// A code twice.
    Redeem,
    /// A code with a wrong verifier, and with the right one.
    RedeemWrongly,
    /// A used code, and the refresh token that it gave.
    RedeemTwice,
    /// A refresh token twice.
    Refresh,
    /// A used refresh token, and its successor.
    RefreshTwice,
}

/// Sends what the service dies of, has it started again, and tells how it answers then.
async fn die(world: &World, browser: &Browser, flow: Flow, failpoint: &str) -> u16 {
    let users = Service::Users;
    let first = match flow {
        Flow::Submit => browser.form().await,
        Flow::Redeem | Flow::RedeemWrongly | Flow::RedeemTwice => browser.code().await,
        Flow::Refresh | Flow::RefreshTwice => browser.log_in().await.refresh,
    };
    let next = match flow {
        Flow::RedeemTwice => tokens(&browser.redeem(&first, VERIFIER).await.unwrap()).refresh,
        Flow::RefreshTwice => tokens(&browser.refresh(&first).await.unwrap()).refresh,
        _ => first.clone(),
    };
    world.arm(users, failpoint).await;
    let lost = match flow {
        Flow::Submit => browser.submit(&first).await,
        Flow::Redeem | Flow::RedeemTwice => browser.redeem(&first, VERIFIER).await,
        Flow::RedeemWrongly => browser.redeem(&first, WRONG_VERIFIER).await,
        Flow::Refresh | Flow::RefreshTwice => browser.refresh(&first).await,
    };
    assert!(lost.is_err(), "{failpoint}: {lost:?}");
    world.dies_and_lives(users).await;
    let answer = match flow {
        Flow::Submit => browser.submit(&next).await,
        Flow::Redeem | Flow::RedeemWrongly => browser.redeem(&next, VERIFIER).await,
        Flow::RedeemTwice | Flow::Refresh | Flow::RefreshTwice => browser.refresh(&next).await,
    };
    answer.unwrap().status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_may_die_at_each_step_of_a_login() {
    let world = World::start(Engines::Embedded).await.unwrap();
    let ada = Customer::register(&world, "ada").await;
    let (email, password) = ada.credentials();
    let browser = Browser { users: world.places().http(Service::Users), email, password };
    for (step, flow, before, after) in STEPS {
        for (side, status) in [("before", before), ("after", after)] {
            let failpoint = format!("{side}:commit:{step}");
            let found = die(&world, &browser, flow, &failpoint).await;
            assert_eq!(found, status, "{failpoint}");
            browser.log_in().await;
        }
    }
}
