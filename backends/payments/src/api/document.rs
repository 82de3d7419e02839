//! The service's OpenAPI document: its paths, and what holds for all of them.

use serde::Serialize;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, ToSchema};

const PROBLEM: &str = "application/problem+json";

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
    components(schemas(Problem)),
    modifiers(&Common),
    tags(
        (name = "payment methods", description = "The cards that customers pay with"),
        (name = "payments", description = "The money of orders: held, taken or given back"),
    ),
)]
pub(crate) struct Document;

/// What went wrong (RFC 9457).
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the platform writes it; this describes it")]
struct Problem {
    /// `about:blank`: the status says what kind of problem it is.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    /// The stable word that programs compare.
    #[schema(example = "not-found")]
    code: &'static str,
    /// About this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    errors: Option<Vec<FieldProblem>>,
}

#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the platform writes it; this describes it")]
struct FieldProblem {
    field: &'static str,
    message: &'static str,
}

/// What every operation may answer, and how a token is sent.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("An access token of the users service, with the scopes named"))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        for item in document.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                complete(operation);
            }
        }
    }
}

fn complete(operation: &mut Operation) {
    let mut common = vec![
        ("500", "The service failed"),
        ("503", "The service is busy or not ready; the request may be sent again"),
    ];
    if operation.security.is_some() {
        common.extend([
            ("400", "There is more than one Authorization header"),
            ("401", "A valid token is needed"),
            ("403", "The token does not have the scope"),
        ]);
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in common {
        responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(ResponseBuilder::new().description(description).build()));
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
        {
            let schema = Ref::from_schema_name("Problem");
            let content = ContentBuilder::new().schema(Some(schema)).build();
            response.content.insert(PROBLEM.to_owned(), RefOr::T(content));
        }
    }
}

#[cfg(test)]
mod tests {
    use utoipa::OpenApi;

    use super::*;

    #[test]
    fn every_failure_is_a_problem() {
        let document = serde_json::to_value(Document::openapi()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 4);
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.contains_key("500") && responses.contains_key("503"), "{path}");
                let secured = operation.get("security").is_some();
                assert_eq!(responses.contains_key("401"), secured, "{method} {path}");
                for (status, response) in responses {
                    let failure = status.starts_with('4') || status.starts_with('5');
                    let schema = response.pointer("/content/application~1problem+json/schema");
                    assert_eq!(schema.is_some(), failure, "{method} {path} {status}");
                }
            }
        }
    }
}
