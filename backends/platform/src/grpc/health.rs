//! gRPC's health service: the answer of `/readyz`, for each of the services here.

use tokio_stream::Pending;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::readiness::Readiness;

pub(super) struct HealthService {
    pub(super) readiness: Readiness,
    pub(super) names: &'static [&'static str],
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        if !name.is_empty() && !self.names.contains(&name.as_str()) {
            return Err(Status::not_found("no such service"));
        }
        let status = if self.readiness.is_ready().await {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = Pending<Result<HealthCheckResponse, Status>>;

    /// A stream without an end would hold up every drain. Clients fall back to `check`.
    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("ask again with Check"))
    }
}
