//! The routes: what comes in, which steps it takes, what goes out.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use shop_platform::conditional;
use shop_platform::extract::QueryParameters;

use crate::catalogue::{Catalogue, Product};
use crate::error::ApiError;
use crate::listing::{self, Listing, RawListing};

/// The same for everyone, and a price may be this much out of date.
const CACHE: &str = "public, max-age=10";

pub(crate) fn routes(catalogue: Arc<Catalogue>) -> Router {
    Router::new()
        .route(listing::PATH, get(list))
        .route("/v1/products/{id}", get(product))
        .with_state(catalogue)
}

#[derive(Serialize)]
struct Page {
    items: Vec<Product>,
    page: u32,
    per_page: u32,
    /// Pages there are; 0 if nothing matches.
    pages: u64,
    /// Products on all pages.
    total: u64,
}

async fn list(
    State(catalogue): State<Arc<Catalogue>>,
    QueryParameters(raw): QueryParameters<RawListing>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let listing = Listing::try_new(raw).map_err(ApiError::Parameters)?;
    let found = catalogue.list(&listing).await?;
    let (pages, total) = (listing.pages(found.total), found.total);
    let (page, per_page) = (listing.page, listing.per_page);
    let body = Page { items: found.items, page, per_page, pages, total };
    let mut response = conditional::json(&headers, CACHE, &body);
    if let Ok(links) = HeaderValue::try_from(listing.links(total)) {
        response.headers_mut().insert(LINK, links);
    }
    Ok(response)
}

async fn product(
    State(catalogue): State<Arc<Catalogue>>,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // A path that is not UTF-8 names nothing we have.
    let Path(id) = id.map_err(|_| ApiError::NotFound)?;
    let product = catalogue.product(&id).await?.ok_or(ApiError::NotFound)?;
    Ok(conditional::json(&headers, CACHE, &product))
}
