//! The shop's own people: they bring in stock and look into the books.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::client::{Client, Request};
use crate::command::SECRET;
use crate::service::Service;
use crate::world::World;

#[derive(Debug, Clone)]
pub struct Backoffice {
    world: Arc<World>,
    token: String,
    products: Client,
}

impl Backoffice {
    pub async fn open(world: &Arc<World>) -> Self {
        let form = format!(
            "grant_type=client_credentials&client_id=shop-backoffice&client_secret={SECRET}"
        );
        let answer =
            world.client(Service::Users).send(&Request::post("/oauth/token").form(form)).await;
        let token = answer.text(200, "access_token");
        let products = world.client(Service::Products);
        Self { world: Arc::clone(world), token, products }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// Once, however often it has to be asked for.
    pub async fn supply(&mut self, key: &str, product: &str, quantity: i64) {
        let request = Request::post(format!("/v1/products/{product}/supply"))
            .token(&self.token)
            .key(key)
            .json(&json!({"quantity": quantity}));
        self.products.send(&request).await.expect(200);
        self.world.promises.supplied(key, product, quantity);
    }

    /// As products, payments or orders keep them.
    pub async fn books(&self, service: Service) -> Value {
        let path = match service {
            Service::Products => "/v1/stock/books",
            Service::Payments => "/v1/payments/books",
            Service::Orders => "/v1/orders/books",
            Service::Users | Service::Notifications => panic!("{service} keeps no books"),
        };
        let request = Request::get(path).token(&self.token);
        self.world.client(service).send(&request).await.expect(200).clone()
    }
}
