//! A service's gRPC side assembled. Around every method, from the outside in: the record and the
//! request's identity, the answer to panics, the deadline, the limit of the message's size.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use http_body_util::Limited;
use tonic::Status;
use tonic_health::pb::health_server::HealthServer;
use tower_http::catch_panic::CatchPanicLayer;

use super::Grpc;
use super::health::HealthService;
use super::observe::observe;
use crate::metrics::GrpcMetrics;
use crate::panics::panic_text;
use crate::readiness::Readiness;
use crate::server::StartError;
use crate::settings::ServerOptions;

const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";

impl Grpc {
    pub(crate) fn router(
        self,
        metrics: Arc<GrpcMetrics>,
        options: &ServerOptions,
        readiness: Readiness,
    ) -> Result<Router, StartError> {
        let mut reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(self.descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        // The descriptors may hold services of others too.
        for name in self.names.iter().chain(&[HEALTH, REFLECTION]) {
            reflection = reflection.with_service_name(*name);
        }
        let reflection = reflection.build_v1().map_err(|error| {
            let source = error.to_string().into();
            StartError::Prepare { what: "gRPC's reflection", source }
        })?;
        let health = HealthServer::new(HealthService { readiness, names: self.names });
        let (timeout, size) = (options.request_timeout, options.body_limit);
        Ok(self
            .routes
            .add_service(health)
            .add_service(reflection)
            .into_axum_router()
            .layer(from_fn(move |request, next| limit(timeout, size, request, next)))
            .layer(CatchPanicLayer::custom(answer_panic))
            .layer(from_fn_with_state(metrics, observe)))
    }
}

async fn limit(timeout: Duration, size: usize, request: Request, next: Next) -> Response {
    let timeout = deadline(request.headers()).unwrap_or(timeout).min(timeout);
    let request = request.map(|body| Body::new(Limited::new(body, size)));
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Status::deadline_exceeded("the call took too long").into_http(),
    }
}

fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    tracing::error!(panic = panic_text(&*panic), "a method's handler panicked");
    Status::internal("the service failed").into_http()
}

/// `grpc-timeout`: up to eight digits and a unit (gRPC over HTTP2, "Requests").
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_have_eight_digits_and_a_unit() {
        let check = |text: &str, millis: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(deadline(&headers), millis.map(Duration::from_millis), "{text:?}");
        };
        check("250m", Some(250));
        check("1H", Some(3_600_000));
        check("2M", Some(120_000));
        check("3S", Some(3000));
        check("5000u", Some(5));
        for text in ["", "S", "5", "5s", "-5S", "+5S", "123456789S", "5 S"] {
            check(text, None);
        }
        assert_eq!(deadline(&HeaderMap::new()), None);
    }
}
