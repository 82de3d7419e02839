//! The scripted customer: each step says what was done and what came of it.

use anyhow::{Context, bail, ensure};
use portcullis_testkit::client::fetch;
use portcullis_testkit::http::Response;

use crate::client::{Client, reachable};
use crate::places::Places;
use crate::say;

mod buying;
mod pricing;

pub(crate) const EMAIL: &str = "ada@example.com";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// One visit to the shop.
pub(crate) struct Visit<'a> {
    places: &'a Places,
    https: Client,
    plain: Client,
    summary: Summary,
}

/// What a visit came to.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// Requests that the gateway's access log must know.
    pub(crate) requests: usize,
    pub(crate) failed: usize,
}

impl<'a> Visit<'a> {
    pub(crate) fn new(places: &'a Places) -> anyhow::Result<Self> {
        let https = Client::over_tls(places.https)?;
        let plain = Client::plain(places.plain);
        Ok(Self { places, https, plain, summary: Summary::default() })
    }

    pub(crate) async fn run(mut self) -> Summary {
        let result = self.is_sent_to_https().await;
        self.report("plain HTTP is sent to HTTPS", result);
        let result = self.registers().await;
        self.report("registers", result);
        let result = self.logs_in().await;
        let token = self.report("logs in", result.map(|token| (describe(&token), token)));
        let result = self.sees_the_account(token.as_deref()).await;
        self.report("sees the account", result);
        let result = self.is_nobody_without_a_token().await;
        self.report("is nobody without a token", result);
        let result = self.browses().await;
        let tag = self.report("browses the catalogue", result);
        let result = self.turns_the_page().await;
        self.report("turns the page", result);
        let result = self.searches().await;
        let product = self.report("searches", result);
        let result = self.asks_again(tag.as_deref()).await;
        self.report("asks again with the entity tag", result);
        let result = self.asks_for_the_price(product.as_deref()).await;
        self.report("asks for the price by gRPC-Web", result);
        Box::pin(self.buys(token.as_deref(), product.as_deref())).await;
        let result = self.is_lost().await;
        self.report("asks for a path that is not there", result);
        let result = self.sends_too_much().await;
        self.report("sends more than the route takes", result);
        let result = self.operator_looks().await;
        self.report("meanwhile the operator looks", result);
        self.summary
    }

    /// Prints a step. A step may hand something on besides its description.
    fn report<T>(&mut self, step: &str, result: anyhow::Result<(String, T)>) -> Option<T> {
        match result {
            Ok((what, handed_on)) => {
                say::line(format_args!("✓ {step}: {what}"));
                Some(handed_on)
            }
            Err(error) => {
                self.summary.failed += 1;
                say::line(format_args!("✗ {step}: {error:#}"));
                None
            }
        }
    }

    async fn get(&mut self, target: &str, headers: &[&str]) -> anyhow::Result<Response> {
        self.summary.requests += 1;
        self.https.get(target, headers).await
    }

    async fn post(
        &mut self,
        target: &str,
        headers: &[&str],
        body: &str,
    ) -> anyhow::Result<Response> {
        self.summary.requests += 1;
        self.https.post(target, headers, body).await
    }

    async fn is_sent_to_https(&mut self) -> anyhow::Result<(String, ())> {
        self.summary.requests += 1;
        let response = self.plain.get("/v1/products?page=2", &[]).await?;
        expect(&response, 308)?;
        let location = header(&response, "location")?;
        let expected = format!("https://localhost:{}/v1/products?page=2", self.places.https.port());
        ensure!(location == expected, "it leads to {location}, not to {expected}");
        Ok((format!("308 to {location}"), ()))
    }

    async fn registers(&mut self) -> anyhow::Result<(String, ())> {
        let body = serde_json::json!({
            "email": EMAIL, "password": PASSWORD, "display_name": "Ada Lovelace",
        });
        let response = self.post("/v1/users", &[], &body.to_string()).await?;
        expect(&response, 201)?;
        let id = text(&response, "/id")?;
        Ok((format!("201, account {id}"), ()))
    }

    async fn logs_in(&mut self) -> anyhow::Result<String> {
        let body = serde_json::json!({"email": EMAIL, "password": PASSWORD});
        let response = self.post("/v1/sessions", &[], &body.to_string()).await?;
        expect(&response, 200)?;
        text(&response, "/access_token")
    }

    async fn sees_the_account(&mut self, token: Option<&str>) -> anyhow::Result<(String, ())> {
        let response = self.get("/v1/users/me", &[&bearer(token)?]).await?;
        expect(&response, 200)?;
        let (name, email) = (text(&response, "/display_name")?, text(&response, "/email")?);
        ensure!(email == EMAIL, "the account is {email}'s");
        Ok((format!("200, {name} <{email}>"), ()))
    }

    async fn is_nobody_without_a_token(&mut self) -> anyhow::Result<(String, ())> {
        let response = self.get("/v1/users/me", &[]).await?;
        expect(&response, 401)?;
        Ok((format!("401 from the service, {:?}", text(&response, "/title")?), ()))
    }

    /// Hands on the entity tag.
    async fn browses(&mut self) -> anyhow::Result<(String, String)> {
        let response = self.get("/v1/products?per_page=5", &[]).await?;
        expect(&response, 200)?;
        let (count, total) = items(&response)?;
        ensure!(count == 5 && total == 200, "{count} of {total} products");
        let cache = header(&response, "cache-control")?;
        ensure!(cache == "public, max-age=30", "the route's header is {cache:?}");
        let tag = header(&response, "etag")?.to_owned();
        Ok((format!("200, {count} of {total} products, {cache:?} set by the route"), tag))
    }

    async fn turns_the_page(&mut self) -> anyhow::Result<(String, ())> {
        let response = self.get("/v1/products?per_page=5&page=2", &[]).await?;
        expect(&response, 200)?;
        ensure!(response.json()["page"] == 2, "it is another page");
        let links = header(&response, "link")?;
        for relation in ["first", "prev", "next", "last"] {
            ensure!(links.contains(&format!("rel=\"{relation}\"")), "no {relation} in {links}");
        }
        Ok((format!("200, page 2 of {}", response.json()["pages"]), ()))
    }

    /// Hands on the product that is to be bought.
    async fn searches(&mut self) -> anyhow::Result<(String, String)> {
        let response = self.get("/v1/products?search=coffee&sort=price&per_page=3", &[]).await?;
        expect(&response, 200)?;
        let (_, total) = items(&response)?;
        ensure!(total > 0, "nothing was found");
        let name = text(&response, "/items/0/name")?;
        let what = format!("200, {total} for \"coffee\", the cheapest {name:?}");
        Ok((what, text(&response, "/items/0/id")?))
    }

    async fn asks_again(&mut self, tag: Option<&str>) -> anyhow::Result<(String, ())> {
        let tag = tag.context("there is no tag to ask with")?;
        let response =
            self.get("/v1/products?per_page=5", &[&format!("if-none-match: {tag}")]).await?;
        expect(&response, 304)?;
        ensure!(response.body.is_empty(), "a 304 has no body");
        Ok(("304 without a body".to_owned(), ()))
    }

    async fn is_lost(&mut self) -> anyhow::Result<(String, ())> {
        let response = self.get("/v1/reviews", &[]).await?;
        expect(&response, 404)?;
        Ok((problem(&response, "no-route")?, ()))
    }

    async fn sends_too_much(&mut self) -> anyhow::Result<(String, ())> {
        let response = self.post("/v1/sessions", &[], &"x".repeat(8 * 1024)).await?;
        expect(&response, 413)?;
        Ok((problem(&response, "body-too-large")?, ()))
    }

    async fn operator_looks(&mut self) -> anyhow::Result<(String, ())> {
        let metrics = fetch(reachable(self.places.status), "GET", "/metrics", &[]).await?;
        expect(&metrics, 200)?;
        let metrics = metrics.text();
        let series = metrics.lines().filter(|line| line.starts_with("portcullis_")).count();
        let line = "portcullis_requests_total{route=\"catalogue\",code=\"304\"} 1";
        ensure!(metrics.contains(line), "the metrics lack {line}");
        let version = fetch(self.places.admin, "GET", "/version", &["host: localhost"]).await?;
        expect(&version, 200)?;
        Ok((format!("{series} metric series, admin API 200"), ()))
    }
}

/// The header that says who asks.
fn bearer(token: Option<&str>) -> anyhow::Result<String> {
    let token = token.context("there is no token to show")?;
    Ok(format!("authorization: Bearer {token}"))
}

fn describe(token: &str) -> String {
    let head: String = token.chars().take(12).collect();
    format!("200, a token of {} bytes ({head}…)", token.len())
}

fn expect(response: &Response, status: u16) -> anyhow::Result<()> {
    if response.status != status {
        bail!("{} instead of {status}: {}", response.status, response.text().trim());
    }
    Ok(())
}

fn header<'a>(response: &'a Response, name: &str) -> anyhow::Result<&'a str> {
    response.headers.first(name).with_context(|| format!("there is no header {name}"))
}

fn text(response: &Response, pointer: &str) -> anyhow::Result<String> {
    let json = response.json();
    let found = json.pointer(pointer).and_then(|value| value.as_str());
    found.map(str::to_owned).with_context(|| format!("no {pointer} in {json}"))
}

/// Products on the page, and on all pages.
fn items(response: &Response) -> anyhow::Result<(usize, u64)> {
    let json = response.json();
    let count = json["items"].as_array().map(Vec::len).context("there is no list of items")?;
    Ok((count, json["total"].as_u64().context("there is no total")?))
}

/// A problem that the gateway made, with the reason that the access log has too.
fn problem(response: &Response, reason: &str) -> anyhow::Result<String> {
    let kind = header(response, "content-type")?;
    ensure!(kind == "application/problem+json", "the answer is {kind}");
    let found = text(response, "/reason")?;
    ensure!(found == reason, "the reason is {found}, not {reason}");
    Ok(format!("{} from the gateway, reason {found:?}", response.status))
}
