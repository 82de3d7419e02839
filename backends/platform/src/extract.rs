//! axum's extractors, with problems for answers where axum would answer in plain text.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A JSON body, read whole within the service's body limit.
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(body_problem(&rejection)),
        }
    }
}

/// The query's parameters; unknown ones are refused if `T` refuses them.
pub struct QueryParameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(query_problem(&rejection)),
        }
    }
}

/// The parser's own words name the field and quote the client's input, nothing of ours.
fn body_problem(rejection: &JsonRejection) -> Problem {
    let problem = match rejection {
        JsonRejection::JsonDataError(_) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-body",
            "The body does not have the expected fields",
        ),
        JsonRejection::JsonSyntaxError(_) => {
            Problem::new(StatusCode::BAD_REQUEST, "invalid-json", "The body is not JSON")
        }
        JsonRejection::MissingJsonContentType(_) => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The body must be application/json",
        ),
        other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Problem::new(other.status(), "body-too-large", "The request body is too large");
        }
        // axum's enum is open; the rest are bodies that broke off.
        _ => return Problem::new(StatusCode::BAD_REQUEST, "body-unreadable", "The body broke off"),
    };
    problem.detail(rejection.body_text())
}

fn query_problem(rejection: &QueryRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-query", "The query is not understood")
        .detail(rejection.body_text())
}
