//! A customer, who asks until there is an answer and remembers what it was.

use std::sync::Arc;

use serde_json::json;

use crate::client::{Client, Request};
use crate::deadline::{Deadline, PATIENCE};
use crate::service::Service;
use crate::world::World;

const PASSWORD: &str = "correct horse battery";

/// What a customer may pay with, by what the processor does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    Good,
    Declined,
    /// It takes so long to be authorized that there is time to change one's mind.
    Slow,
    /// The first authorization for an order fails as unavailable.
    Wobbly,
}

impl Card {
    fn number(self) -> &'static str {
        match self {
            Self::Good => "4242 4242 4242 4242",
            Self::Declined => "4000 0000 0000 0002",
            Self::Slow => "4000 0000 0000 0101",
            Self::Wobbly => "4000 0000 0000 0119",
        }
    }
}

/// How an order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// `confirmed` or `cancelled`.
    pub state: String,
    pub reason: Option<String>,
    pub refunded: bool,
}

/// A clone is the same customer at connections of its own.
#[derive(Debug, Clone)]
pub struct Customer {
    world: Arc<World>,
    name: String,
    account: String,
    token: String,
    orders: Client,
    payments: Client,
    notifications: Client,
}

impl Customer {
    /// Makes an account and logs in. The name is new to this world, and fit for an address.
    pub async fn register(world: &Arc<World>, name: &str) -> Self {
        let mut users = world.client(Service::Users);
        let email = format!("{name}@shop.example");
        let person = json!({"email": email, "password": PASSWORD, "display_name": name});
        let request = Request::post("/v1/users").key(&format!("register-{name}")).json(&person);
        let account = users.send(&request).await.text(201, "id");
        world.promises.registered(&account);
        let login =
            Request::post("/v1/sessions").json(&json!({"email": email, "password": PASSWORD}));
        let token = users.send(&login).await.text(200, "access_token");
        Self {
            world: Arc::clone(world),
            name: name.to_owned(),
            account,
            token,
            orders: world.client(Service::Orders),
            payments: world.client(Service::Payments),
            notifications: world.client(Service::Notifications),
        }
    }

    pub fn account(&self) -> &str {
        &self.account
    }

    /// The address and the password to log in with.
    pub fn credentials(&self) -> (String, String) {
        (format!("{}@shop.example", self.name), PASSWORD.to_owned())
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// The payment method's id.
    pub async fn add_card(&mut self, card: Card) -> String {
        let body = json!({"card_number": card.number(), "expiry_month": 12, "expiry_year": 2090});
        let request = Request::post("/v1/payment-methods")
            .token(&self.token)
            .key(&format!("card-{card:?}"))
            .json(&body);
        self.payments.send(&request).await.text(201, "id")
    }

    /// The request that places an order. `key` is new to this customer for each order.
    pub fn order(&self, key: &str, product: &str, quantity: u32, card: &str) -> Request {
        let lines = json!([{"product_id": product, "quantity": quantity}]);
        let body = json!({"lines": lines, "payment_method": card});
        Request::post("/v1/orders").token(&self.token).key(key).json(&body)
    }

    /// Places an order; its id.
    pub async fn place(&mut self, key: &str, product: &str, quantity: u32, card: &str) -> String {
        let request = self.order(key, product, quantity, card);
        let order = self.orders.send(&request).await.text(202, "id");
        self.placed(key, &order);
        order
    }

    /// Places an order by a connection that is shared with others.
    pub async fn place_by(&self, orders: &mut Client, key: &str, request: &Request) -> String {
        let order = orders.send(request).await.text(202, "id");
        self.placed(key, &order);
        order
    }

    /// Waits until the order's payment has begun.
    pub async fn payment_begun(&mut self, order: &str) {
        let deadline = Deadline::new(format!("the payment of order {order}"), PATIENCE);
        let request = Request::get(format!("/v1/payments/{order}")).token(&self.token);
        loop {
            let answer = self.payments.send(&request).await;
            if answer.status == 200 {
                return;
            }
            deadline.check(&answer);
            deadline.pause().await;
        }
    }

    pub async fn cancel(&mut self, order: &str) {
        let request = Request::post(format!("/v1/orders/{order}/cancel"))
            .token(&self.token)
            .key(&format!("cancel-{order}"));
        self.orders.send(&request).await.expect(202);
    }

    pub async fn complain(&mut self, order: &str, text: &str) {
        let request = Request::post(format!("/v1/orders/{order}/complaints"))
            .token(&self.token)
            .key(&format!("complain-{order}"))
            .json(&json!({"text": text}));
        self.orders.send(&request).await.expect(201);
    }

    /// Waits for the order to be confirmed or cancelled.
    pub async fn end(&mut self, order: &str) -> End {
        let deadline = Deadline::new(format!("the end of order {order}"), PATIENCE);
        let request = Request::get(format!("/v1/orders/{order}"))
            .token(&self.token)
            .header("prefer", "wait=5");
        loop {
            let answer = self.orders.send(&request).await;
            let found = answer.expect(200);
            let state = found["state"].as_str().unwrap_or_default().to_owned();
            if matches!(state.as_str(), "confirmed" | "cancelled") {
                let reason = found["reason"].as_str().map(str::to_owned);
                return End { state, reason, refunded: found["refunded"] == true };
            }
            deadline.check(&answer);
            deadline.pause().await;
        }
    }

    /// Waits for a notification of this kind; its id.
    pub async fn notification(&mut self, kind: &str) -> String {
        let deadline = Deadline::new(format!("a notification {kind}"), PATIENCE);
        let request = Request::get("/v1/notifications?limit=100").token(&self.token);
        loop {
            let answer = self.notifications.send(&request).await;
            let items = answer.expect(200)["items"].as_array().cloned().unwrap_or_default();
            let found = items.iter().find(|item| item["kind"] == kind);
            if let Some(id) = found.and_then(|item| item["id"].as_str()) {
                return id.to_owned();
            }
            deadline.check(&answer);
            deadline.pause().await;
        }
    }

    /// Marks a notification as read.
    pub async fn read(&mut self, notification: &str) {
        let request = Request::post(format!("/v1/notifications/{notification}/read"))
            .token(&self.token)
            .key(&format!("read-{notification}"));
        self.notifications.send(&request).await.expect(200);
    }

    fn placed(&self, key: &str, order: &str) {
        self.world.promises.placed(&format!("{} {key}", self.name), order);
    }
}
