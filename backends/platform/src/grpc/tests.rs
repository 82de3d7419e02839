//! gRPC over real sockets: a health service under a name of its own stands for any other.

use std::net::SocketAddr;

use axum::Router;
use prometheus::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tower::ServiceExt;

use super::*;
use crate::database::Database;
use crate::server::Drained;
use crate::service::Service;
use crate::settings::ServerOptions;
use crate::testing::{until, within};

const LONG: Duration = Duration::from_secs(20);
const SERVING: i32 = ServingStatus::Serving as i32;

/// Answers at once, later, never, or by a panic, as the name in the request says.
struct Moody {
    reached: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

#[tonic::async_trait]
impl Health for Moody {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let context = context_of(request.metadata());
        match request.get_ref().service.as_str() {
            "panic" => panic!("secret of the house"),
            "never" => std::future::pending().await,
            "wait" => {
                let (release, released) = oneshot::channel();
                self.reached.send(release).unwrap();
                drop(released.await);
            }
            "who" => return Err(Status::aborted(context.request_id())),
            _ => {}
        }
        Ok(Response::new(HealthCheckResponse { status: SERVING }))
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

struct Running {
    channel: Channel,
    http: SocketAddr,
    registry: Registry,
    reached: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    database: Database,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Drained>,
}

async fn running(options: ServerOptions) -> Running {
    let database = Database::open(":memory:", &[]).await.unwrap();
    let registry = Registry::new();
    let (sender, reached) = mpsc::unbounded_channel();
    let moody = HealthServer::new(Moody { reached: sender });
    // What the generated code knows as its own path is mounted under another.
    let moody = moody.map_request(|mut request: axum::extract::Request| {
        let path = request.uri().path().replace("test.Moody", "grpc.health.v1.Health");
        *request.uri_mut() = path.parse().unwrap();
        request.map(tonic::body::Body::new)
    });
    let mut routes = tonic::service::Routes::default();
    let router = std::mem::take(routes.axum_router_mut());
    *routes.axum_router_mut() = router.route_service("/test.Moody/{*rest}", moody);
    let descriptors = tonic_health::pb::FILE_DESCRIPTOR_SET;
    let grpc = Grpc { routes, descriptors, names: &["test.Moody"] };
    let mut service = Service::new("test", Router::new(), database.clone(), registry.clone());
    service.grpc = Some(("127.0.0.1:0".parse().unwrap(), grpc));
    let (stop, stopped) = oneshot::channel();
    let shutdown = Box::pin(async { drop(stopped.await) });
    let bound = service.bind("127.0.0.1:0".parse().unwrap(), &options, shutdown).await.unwrap();
    let channel = channel(&format!("http://{}", bound.grpc.unwrap())).unwrap();
    let (http, ended) = (bound.address, tokio::spawn(bound.run));
    Running { channel, http, registry, reached, database, stop, ended }
}

async fn moody(channel: Channel, mood: &str, deadline: Duration) -> Result<i32, Status> {
    let context = RequestContext::from_parts(Some("abc-1"), None);
    let message = HealthCheckRequest { service: mood.to_owned() };
    let run = async |request: Request<HealthCheckRequest>| {
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.map_err(|_| Status::unavailable("not ready"))?;
        let path = axum::http::uri::PathAndQuery::from_static("/test.Moody/Check");
        client.unary(request, path, tonic_prost::ProstCodec::default()).await
    };
    let answer: Result<HealthCheckResponse, Status> =
        call(&Failpoints::default(), "test", deadline, &context, message, run).await;
    answer.map(|answer| answer.status)
}

async fn health(channel: Channel, name: &str) -> Result<i32, Status> {
    let request = HealthCheckRequest { service: name.to_owned() };
    HealthClient::new(channel).check(request).await.map(|answer| answer.into_inner().status)
}

#[tokio::test]
async fn calls_are_answered_with_their_callers_identity() {
    let shop = running(ServerOptions::default()).await;
    assert_eq!(moody(shop.channel.clone(), "", LONG).await.unwrap(), SERVING);
    let who = moody(shop.channel.clone(), "who", LONG).await.unwrap_err();
    assert_eq!((who.code(), who.message()), (Code::Aborted, "abc-1"));
    let echoed = who.metadata().get("x-request-id").unwrap();
    assert_eq!(echoed, "abc-1");
}

#[tokio::test]
async fn a_panic_and_a_missed_deadline_are_statuses() {
    // No busy machine takes so long for a panic, as it might with the shorter limit below.
    let shop = running(ServerOptions::default()).await;
    let panicked = moody(shop.channel.clone(), "panic", LONG).await.unwrap_err();
    assert_eq!(panicked.code(), Code::Internal);
    assert!(!panicked.message().contains("secret"));
    let options =
        ServerOptions { request_timeout: Duration::from_millis(30), ..ServerOptions::default() };
    let shop = running(options).await;
    let late = moody(shop.channel.clone(), "never", LONG).await.unwrap_err();
    assert_eq!((late.code(), late.message()), (Code::DeadlineExceeded, "the call took too long"));
}

#[tokio::test]
async fn the_callers_own_deadline_ends_the_call() {
    let shop = running(ServerOptions::default()).await;
    let late = moody(shop.channel.clone(), "never", Duration::from_millis(30)).await.unwrap_err();
    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late}");
    let nobody = channel("http://127.0.0.1:1").unwrap();
    let refused = moody(nobody, "", LONG).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(channel("127.0.0.1:7102").is_err() && channel("http://[").is_err());
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused() {
    let shop = running(ServerOptions { body_limit: 64, ..ServerOptions::default() }).await;
    assert_eq!(moody(shop.channel.clone(), "x", LONG).await.unwrap(), SERVING);
    assert!(moody(shop.channel.clone(), &"x".repeat(100), LONG).await.is_err());
}

#[tokio::test]
async fn health_follows_the_database_and_knows_the_services() {
    let shop = running(ServerOptions::default()).await;
    for name in ["", "test.Moody"] {
        assert_eq!(health(shop.channel.clone(), name).await.unwrap(), SERVING, "{name}");
    }
    let unknown = health(shop.channel.clone(), "test.Other").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    shop.database.close().await;
    let status = health(shop.channel.clone(), "").await.unwrap();
    assert_eq!(status, ServingStatus::NotServing as i32);
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let shop = running(ServerOptions::default()).await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(shop.channel.clone());
    let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list: {answer:?}");
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["test.Moody", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
    }
}

#[tokio::test]
async fn metrics_count_by_method_and_never_by_what_a_caller_makes_up() {
    let shop = running(ServerOptions::default()).await;
    moody(shop.channel.clone(), "", LONG).await.unwrap();
    moody(shop.channel.clone(), "who", LONG).await.unwrap_err();
    let mut client = tonic::client::Grpc::new(shop.channel.clone());
    for path in ["/made.Up/Method", "/test.Moody/Made"] {
        client.ready().await.unwrap();
        let path = axum::http::uri::PathAndQuery::from_static(path);
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        let request = Request::new(HealthCheckRequest::default());
        let unknown = client.unary(request, path, codec).await.unwrap_err();
        assert_eq!(unknown.code(), Code::Unimplemented);
    }
    // A record is written when its body is dropped, which the last answer may still wait for.
    let expected = [
        r#"shop_grpc_calls_total{code="0",method="/test.Moody/Check"} 1"#,
        r#"shop_grpc_calls_total{code="10",method="/test.Moody/Check"} 1"#,
        r#"shop_grpc_calls_total{code="12",method="unmatched"} 2"#,
    ];
    let mut text = String::new();
    until("all calls are counted", async || {
        text = String::from_utf8(crate::metrics::render(&shop.registry).unwrap()).unwrap();
        expected.iter().all(|line| text.lines().any(|found| found == *line))
    })
    .await;
    assert!(!text.contains("Made") && !text.contains("made"));
}

#[tokio::test]
async fn a_call_in_flight_is_answered_while_the_service_drains() {
    let mut shop = running(ServerOptions::default()).await;
    let busy = tokio::spawn({
        let channel = shop.channel.clone();
        async move { moody(channel, "wait", LONG).await }
    });
    let release = within("a call in flight", shop.reached.recv()).await.unwrap();
    shop.stop.send(()).unwrap();
    // The REST side is gone before the call has ended.
    let closed = async || tokio::net::TcpStream::connect(shop.http).await.is_err();
    until("the REST side is gone", closed).await;
    release.send(()).unwrap();
    assert_eq!(within("the answer", busy).await.unwrap().unwrap(), SERVING);
    assert_eq!(within("the end", shop.ended).await.unwrap(), Drained { cut: 0 });
}
