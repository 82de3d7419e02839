//! The routes: what comes in, which steps it takes, what goes out. Orders do not come this way:
//! they call by gRPC.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use axum::routing::{get, post};
use shop_platform::auth::Verifier;
use shop_platform::{Clock, Database};

use crate::processor::Processor;

mod books;
pub(crate) mod document;
mod methods;
mod payments;

/// Whose money it is concerns nobody else.
const NOT_CACHED: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];
/// The scope of a customer's token.
const CUSTOMER: &str = "customer";

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) database: Database,
    pub(crate) processor: Arc<dyn Processor>,
    pub(crate) verifier: Verifier,
    pub(crate) clock: Arc<dyn Clock>,
}

impl FromRef<Api> for Verifier {
    fn from_ref(api: &Api) -> Self {
        api.verifier.clone()
    }
}

pub(crate) fn routes(api: Api) -> Router {
    Router::new()
        .route("/v1/payment-methods", post(methods::add).get(methods::list))
        .route("/v1/payments", get(payments::list))
        .route("/v1/payments/books", get(books::books))
        .route("/v1/payments/{order_id}", get(payments::of_order))
        .with_state(api)
}
