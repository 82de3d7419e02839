//! The routes: what comes in, which steps it takes, what goes out.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRef, Path, State};
use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;
use shop_platform::auth::Verifier;
use shop_platform::extract::QueryParameters;
use shop_platform::{Clock, Database, conditional};
use utoipa::ToSchema;

use crate::catalogue::{Catalogue, Product};
use crate::error::ApiError;
use crate::listing::{self, Listing, RawListing};
use crate::product_id::ProductId;

pub(crate) mod document;
mod stock;

/// The same for everyone, and a price may be this much out of date.
const CACHE: &str = "public, max-age=10";

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) catalogue: Catalogue,
    pub(crate) database: Database,
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
        .route(listing::PATH, get(list))
        .route("/v1/products/{id}", get(product))
        .route("/v1/products/{id}/stock", get(stock::available))
        .route("/v1/products/{id}/supply", post(stock::supply))
        .route("/v1/stock/books", get(stock::books))
        .with_state(api)
}

/// A path that is not UTF-8 names nothing we have, and neither does any other text that is no id.
fn product_id(path: Result<Path<String>, PathRejection>) -> Result<ProductId, ApiError> {
    let Path(id) = path.map_err(|_| ApiError::NotFound)?;
    ProductId::try_new(&id).ok_or(ApiError::NotFound)
}

/// A page of products.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page {
    items: Vec<Product>,
    page: u32,
    per_page: u32,
    /// Pages there are; 0 if nothing matches.
    pages: u64,
    /// Products on all pages.
    total: u64,
}

/// Products, page by page: all, or those of a category, or those that a search finds
///
/// A search finds products that have, for each word of the text, a word that begins with it; case
/// and accents do not matter. How many are `available` may be out of date.
#[utoipa::path(
    get,
    path = "/v1/products",
    tag = "catalogue",
    params(RawListing),
    responses(
        (status = 200, description = "The page", body = Page, headers(
            ("etag" = String, description = "Names this version of the page"),
            ("link" = String, description = "Where the first, last and next pages are (RFC 8288)"),
        )),
        (status = 304, description = "The page that `If-None-Match` names has not changed"),
        (status = 400, description = "A parameter is unknown or not acceptable"),
    )
)]
async fn list(
    State(api): State<Api>,
    QueryParameters(raw): QueryParameters<RawListing>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let listing = Listing::try_new(raw).map_err(ApiError::Parameters)?;
    let found = api.catalogue.list(&listing).await?;
    let (pages, total) = (listing.pages(found.total), found.total);
    let (page, per_page) = (listing.page, listing.per_page);
    let body = Page { items: found.items, page, per_page, pages, total };
    let mut response = conditional::json(&headers, CACHE, &body);
    if let Ok(links) = HeaderValue::try_from(listing.links(total)) {
        response.headers_mut().insert(LINK, links);
    }
    Ok(response)
}

/// One product
#[utoipa::path(
    get,
    path = "/v1/products/{id}",
    tag = "catalogue",
    params(("id" = String, Path, description = "The product's id", example = "walnut-desk-lamp")),
    responses(
        (status = 200, description = "The product", body = Product, headers(
            ("etag" = String, description = "Names this version of the product"),
        )),
        (status = 304, description = "The product that `If-None-Match` names has not changed"),
        (status = 404, description = "There is no such product"),
    )
)]
async fn product(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let product = api.catalogue.product(&product_id(id)?).await?.ok_or(ApiError::NotFound)?;
    Ok(conditional::json(&headers, CACHE, &product))
}
