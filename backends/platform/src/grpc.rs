//! gRPC between services: what a server adds around its methods, what a client adds around a call.
//!
//! It knows no message and no method. Between services gRPC goes without TLS, over HTTP/2 known
//! beforehand; the sidecars see to the rest.

use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::failpoint::{Failpoints, Kind};
use crate::request::RequestContext;
use crate::server::StartError;

mod health;
mod observe;
mod server;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection whose other end is gone without a word is found out by asking.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a service answers by gRPC. Health and reflection are added to it.
pub struct Grpc {
    pub routes: tonic::service::Routes,
    /// The encoded descriptors that reflection tells.
    pub descriptors: &'static [u8],
    /// The services in `routes`, by their whole names: `shop.inventory.v1.Inventory`.
    pub names: &'static [&'static str],
}

/// A channel to `url`. It connects when it is first used and again whenever it has to.
pub fn channel(url: &str) -> Result<Channel, StartError> {
    let failed = |source| StartError::Prepare { what: "a gRPC channel", source };
    if !url.starts_with("http://") {
        return Err(failed(format!("{url:?} is no http URL").into()));
    }
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| failed(error.into()))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_lazy())
}

/// Calls another service, on behalf of the request that `context` names, within `deadline`, which
/// the other side is told.
///
/// An answer of `DEADLINE_EXCEEDED` or `UNAVAILABLE` leaves in doubt whether the call was carried
/// out.
pub async fn call<T, R>(
    failpoints: &Failpoints,
    step: &'static str,
    deadline: Duration,
    context: &RequestContext,
    message: T,
    run: impl AsyncFnOnce(Request<T>) -> Result<Response<R>, Status>,
) -> Result<R, Status> {
    let mut request = Request::new(message);
    context.apply(request.metadata_mut().as_mut());
    request.set_timeout(deadline);
    failpoints.before(Kind::Call, step);
    let started = tokio::time::Instant::now();
    let answer = match tokio::time::timeout(deadline, run(request)).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer in time")),
    };
    failpoints.after(Kind::Call, step);
    let code = answer.as_ref().err().map_or(tonic::Code::Ok, Status::code);
    tracing::debug!(step, ?code, elapsed = ?started.elapsed(), "call");
    answer
}

/// The identity that a call's metadata carry.
pub fn context_of(metadata: &MetadataMap) -> RequestContext {
    RequestContext::of(metadata.as_ref())
}

#[cfg(test)]
mod tests;
