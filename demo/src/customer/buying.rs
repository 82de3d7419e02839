//! What a shop is for: cards, orders, and what the customer is told of them.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use portcullis_testkit::http::Response;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Visit, bearer, expect, header, text};

const GOOD_CARD: &str = "4242 4242 4242 4242";
/// The shop's bank knows that there is nothing on it.
const EMPTY_CARD: &str = "4000 0000 0000 9995";
/// From the placing of an order to its end. Generous: the machine may be busy.
const DONE_WITHIN: Duration = Duration::from_secs(60);
/// From the end of an order until its customer is told.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

impl Visit<'_> {
    pub(super) async fn buys(&mut self, token: Option<&str>, product: Option<&str>) {
        let result = self.adds_a_card(token, GOOD_CARD).await;
        let card = self.report("adds a card", result);
        let result = self.orders(token, product, card.as_deref(), "confirmed").await;
        self.report("orders and waits", result);
        let result = self.adds_a_card(token, EMPTY_CARD).await;
        let card = self.report("adds a card with nothing on it", result);
        let result = self.orders(token, product, card.as_deref(), "cancelled").await;
        self.report("orders by that one", result);
        let result = self.is_told(token).await;
        self.report("is told of everything", result);
    }

    /// Hands on the payment method.
    async fn adds_a_card(
        &mut self,
        token: Option<&str>,
        number: &str,
    ) -> anyhow::Result<(String, String)> {
        let body = json!({"card_number": number, "expiry_month": 12, "expiry_year": 2099});
        let response = self.post_once("/v1/payment-methods", token, number, &body).await?;
        expect(&response, 201)?;
        let (brand, last) = (text(&response, "/brand")?, text(&response, "/last4")?);
        Ok((format!("201, {brand} … {last}"), text(&response, "/id")?))
    }

    /// Places an order and asks for it until it has come to its end, which is to be this one.
    async fn orders(
        &mut self,
        token: Option<&str>,
        product: Option<&str>,
        card: Option<&str>,
        end: &str,
    ) -> anyhow::Result<(String, ())> {
        let product = product.context("nothing was found to buy")?;
        let card = card.context("there is no card to pay by")?;
        let lines = json!([{"product_id": product, "quantity": 2}]);
        let body = json!({"lines": lines, "payment_method": card});
        let placed = self.post_once("/v1/orders", token, card, &body).await?;
        expect(&placed, 202)?;
        let order = self.order_at_its_end(token, header(&placed, "location")?).await?;
        let state = text(&order, "/state")?;
        ensure!(state == end, "the order is {state}, not {end}");
        let cost = cost(&order.json()["total"]).context("the order has no total")?;
        let why = order.json()["reason"].as_str().map(|reason| format!(", {reason:?}"));
        Ok((format!("202; 2 x {product} for {cost}: {state}{}", why.unwrap_or_default()), ()))
    }

    /// The shop keeps its answer back until there is news, instead of being asked again and again.
    async fn order_at_its_end(
        &mut self,
        token: Option<&str>,
        location: &str,
    ) -> anyhow::Result<Response> {
        let deadline = Instant::now() + DONE_WITHIN;
        loop {
            let response = self.get(location, &[&bearer(token)?, "prefer: wait=10"]).await?;
            expect(&response, 200)?;
            let state = text(&response, "/state")?;
            if ["confirmed", "cancelled"].contains(&state.as_str()) {
                return Ok(response);
            }
            ensure!(Instant::now() < deadline, "the order is {state} after {DONE_WITHIN:?}");
        }
    }

    /// News come by events, and so a moment after what they tell of.
    async fn is_told(&mut self, token: Option<&str>) -> anyhow::Result<(String, ())> {
        const LAST: [&str; 2] = ["order.confirmed", "order.cancelled"];
        let deadline = Instant::now() + TOLD_WITHIN;
        loop {
            let response = self.get("/v1/notifications", &[&bearer(token)?]).await?;
            expect(&response, 200)?;
            let json = response.json();
            let newest_first = json["items"].as_array().context("there is no list of items")?;
            let kinds: Vec<&str> =
                newest_first.iter().rev().filter_map(|told| told["kind"].as_str()).collect();
            if LAST.iter().all(|kind| kinds.contains(kind)) {
                return Ok((format!("200, {}", kinds.join(", ")), ()));
            }
            if Instant::now() >= deadline {
                bail!("after {TOLD_WITHIN:?} only of {}", kinds.join(", "));
            }
            sleep(LOOK).await;
        }
    }

    /// A write that may be sent again and happens once.
    async fn post_once(
        &mut self,
        target: &str,
        token: Option<&str>,
        key: &str,
        body: &Value,
    ) -> anyhow::Result<Response> {
        let key = format!("idempotency-key: {}", key.replace(' ', ""));
        self.post(target, &[&bearer(token)?, &key], &body.to_string()).await
    }
}

/// `17.80 EUR`, of a currency with cents.
fn cost(money: &Value) -> Option<String> {
    let (cents, currency) = (money["minor_units"].as_u64()?, money["currency"].as_str()?);
    Some(format!("{}.{:02} {currency}", cents / 100, cents % 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_its_cents() {
        let check = |money: Value, text: Option<&str>| {
            assert_eq!(cost(&money).as_deref(), text, "{money}");
        };
        check(json!({"minor_units": 1705, "currency": "EUR"}), Some("17.05 EUR"));
        check(json!({"minor_units": 5, "currency": "EUR"}), Some("0.05 EUR"));
        check(json!({"minor_units": 5}), None);
        check(Value::Null, None);
    }
}
