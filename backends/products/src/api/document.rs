//! The service's OpenAPI document: its paths, and what holds for all of them.

use shop_platform::openapi::CommonAnswers;
use shop_platform::problem::ProblemBody;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "The shop's products", description = "A catalogue, and the stock of what is in it."),
    paths(
        super::list,
        super::product,
        super::stock::available,
        super::stock::supply,
        super::stock::books,
    ),
    components(schemas(ProblemBody)),
    modifiers(&CommonAnswers),
    tags(
        (name = "catalogue", description = "What there is"),
        (name = "stock", description = "How much there is of it"),
    ),
)]
pub(crate) struct Document;

#[cfg(test)]
mod tests {
    use utoipa::OpenApi;

    use super::*;

    #[test]
    fn every_route_is_described() {
        let document = Document::openapi();
        let paths: Vec<_> = document.paths.paths.keys().map(String::as_str).collect();
        let expected = [
            "/v1/products",
            "/v1/products/{id}",
            "/v1/products/{id}/stock",
            "/v1/products/{id}/supply",
            "/v1/stock/books",
        ];
        assert_eq!(paths, expected);
    }
}
