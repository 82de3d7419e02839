//! What the services' OpenAPI documents have in common: how a token is sent, and what any operation
//! may answer. Paths, tags and forms are each service's own.

use utoipa::Modify;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};

const PROBLEM: &str = "application/problem+json";

/// The scheme `bearer`: a token in the `Authorization` header.
pub struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    }
}

/// The scheme `token`, and in each operation the answers that any may give. All failures are
/// described as problems: the document must have [`ProblemBody`](crate::problem::ProblemBody) among
/// its schemas.
pub struct CommonAnswers;

impl Modify for CommonAnswers {
    fn modify(&self, document: &mut OpenApi) {
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("An access token of the users service, with the scopes named"))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        for operation in document.paths.paths.values_mut().flat_map(operations) {
            complete(operation);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
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
    use serde_json::Value;
    use utoipa::OpenApi;

    use super::*;
    use crate::problem::ProblemBody;

    #[utoipa::path(get, path = "/open", responses((status = 200), (status = 404)))]
    #[allow(dead_code, reason = "only its description is used")]
    fn open() {}

    #[utoipa::path(delete, path = "/guarded", security(("token" = ["s"])),
        responses((status = 204), (status = 400, description = "Its own words")))]
    #[allow(dead_code, reason = "only its description is used")]
    fn guarded() {}

    #[derive(utoipa::OpenApi)]
    #[openapi(
        paths(open, guarded),
        components(schemas(ProblemBody)),
        modifiers(&CommonAnswers, &Bearer)
    )]
    struct Document;

    #[test]
    fn every_failure_is_a_problem_and_those_of_a_token_are_of_guarded_operations_alone() {
        let document = serde_json::to_value(Document::openapi()).unwrap();
        let check = |operation: &str, successes: &[&str], failures: &[&str]| {
            let responses = document["paths"].pointer(operation).unwrap()["responses"].as_object();
            let (found_failures, found_successes): (Vec<_>, Vec<_>) = responses
                .unwrap()
                .iter()
                .partition(|(_, response)| response.pointer(SCHEMA) == Some(&problem()));
            let names = |found: Vec<(&String, &Value)>| -> Vec<String> {
                found.into_iter().map(|(status, _)| status.clone()).collect()
            };
            assert_eq!(names(found_successes), successes, "{operation}");
            assert_eq!(names(found_failures), failures, "{operation}");
        };
        check("/~1open/get", &["200"], &["404", "500", "503"]);
        check("/~1guarded/delete", &["204"], &["400", "401", "403", "500", "503"]);
        let own = "/paths/~1guarded/delete/responses/400/description";
        assert_eq!(document.pointer(own), Some(&Value::from("Its own words")));
        let components = &document["components"];
        assert!(components["schemas"]["Problem"].is_object());
        assert!(components["schemas"]["FieldProblem"].is_object());
        for scheme in ["token", "bearer"] {
            assert_eq!(components["securitySchemes"][scheme]["scheme"], "bearer", "{scheme}");
        }
    }

    const SCHEMA: &str = "/content/application~1problem+json/schema";

    fn problem() -> Value {
        serde_json::json!({"$ref": "#/components/schemas/Problem"})
    }
}
