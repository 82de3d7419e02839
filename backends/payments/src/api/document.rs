//! The service's OpenAPI document: its paths, and what holds for all of them.

use shop_platform::openapi::CommonAnswers;
use shop_platform::problem::ProblemBody;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "The shop's payments", description = include_str!("../../test-numbers.md")),
    paths(
        super::methods::add,
        super::methods::list,
        super::payments::list,
        super::payments::of_order,
        super::books::books,
    ),
    components(schemas(ProblemBody)),
    modifiers(&CommonAnswers),
    tags(
        (name = "payment methods", description = "The cards that customers pay with"),
        (name = "payments", description = "The money of orders: held, taken or given back"),
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
            "/v1/payment-methods",
            "/v1/payments",
            "/v1/payments/books",
            "/v1/payments/{order_id}",
        ];
        assert_eq!(paths, expected);
    }
}
