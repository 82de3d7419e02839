//! The API's description, as served at `/openapi.json`.

use shop_platform::openapi::Bearer;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

pub(crate) fn document() -> OpenApi {
    Document::openapi()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "The shop's notifications",
        description = "What customers are told, by letter and live"
    ),
    paths(crate::api::list, crate::api::counts, crate::api::read, crate::api::feed::open),
    modifiers(&Bearer)
)]
struct Document;
