//! The service of `proto/echo.proto`, with health and reflection, and what it hears of its end.

use std::net::SocketAddr;
use std::pin::Pin;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

#[allow(clippy::all, unreachable_pub, rust_2018_idioms, reason = "generated")]
mod generated {
    tonic::include_proto!("conformance");
}

pub(crate) use generated::Word;
pub(crate) use generated::echo_client::EchoClient;
use generated::echo_server::{Echo, EchoServer};

const FILES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/echo.bin"));
/// More metadata than the default of either side.
const MOST_METADATA: u32 = 1024 * 1024;

pub(crate) fn word(text: &str) -> Word {
    Word { text: text.to_owned(), ..Word::default() }
}

/// Starts the service; what is returned says which calls were given up.
pub(crate) async fn start(tls: Option<Identity>) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, hears) = mpsc::unbounded_channel();
    let mut server = Server::builder().http2_max_header_list_size(MOST_METADATA);
    if let Some(identity) = tls {
        server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
    }
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILES)
        .build_v1()
        .unwrap();
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<EchoServer<Service>>().await;
    let echo = EchoServer::new(Service { told }).max_decoding_message_size(64 << 20);
    let echo = echo.max_encoding_message_size(64 << 20);
    let server = server.add_service(echo).add_service(health).add_service(reflection);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, hears)
}

pub(crate) struct Service {
    told: mpsc::UnboundedSender<String>,
}

/// Says so when a call is dropped before its end.
struct GivenUp(mpsc::UnboundedSender<String>, &'static str);

impl Drop for GivenUp {
    fn drop(&mut self) {
        let _ = self.0.send(self.1.to_owned());
    }
}

type Words = Pin<Box<dyn Stream<Item = Result<Word, Status>> + Send>>;

/// Metadata that begins with `x-echo` comes back.
fn echoed(metadata: &MetadataMap) -> MetadataMap {
    let mut back = metadata.clone().into_headers();
    let ours = |name: &http::HeaderName| name.as_str().starts_with("x-echo");
    let others: Vec<_> = back.keys().filter(|name| !ours(name)).cloned().collect();
    for name in others {
        back.remove(name);
    }
    if let Some(given) = metadata.get("grpc-timeout") {
        back.insert("x-echo-timeout", given.as_encoded_bytes().try_into().unwrap());
    }
    MetadataMap::from_headers(back)
}

#[tonic::async_trait]
impl Echo for Service {
    async fn unary(&self, request: Request<Word>) -> Result<Response<Word>, Status> {
        let back = echoed(request.metadata());
        let mut response = Response::new(request.into_inner());
        *response.metadata_mut() = back;
        let large = usize::try_from(response.get_ref().count).unwrap_or(0);
        if large > 0 {
            let value = MetadataValue::try_from("m".repeat(large)).unwrap();
            response.metadata_mut().insert("x-large", value);
        }
        Ok(response)
    }

    type DownStream = Words;

    async fn down(&self, request: Request<Word>) -> Result<Response<Words>, Status> {
        let asked = request.into_inner();
        let words = (0..asked.count).map(move |count| Ok(Word { count, ..asked.clone() }));
        Ok(Response::new(Box::pin(tokio_stream::iter(words))))
    }

    async fn up(&self, request: Request<Streaming<Word>>) -> Result<Response<Word>, Status> {
        let mut words = request.into_inner();
        let mut all = Word::default();
        while let Some(word) = words.next().await {
            let word = word?;
            all.text.push_str(&word.text);
            all.data.extend_from_slice(&word.data);
            all.count += 1;
        }
        Ok(Response::new(all))
    }

    type BothStream = Words;

    async fn both(&self, request: Request<Streaming<Word>>) -> Result<Response<Words>, Status> {
        let mut words = request.into_inner();
        let (send, receive) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(word) = words.next().await {
                let broke = word.is_err();
                if send.send(word).await.is_err() || broke {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn silence(&self, _: Request<Word>) -> Result<Response<Word>, Status> {
        let _ = self.told.send("began".to_owned());
        let _given_up = GivenUp(self.told.clone(), "silence");
        std::future::pending().await
    }

    type FailStream = Words;

    async fn fail(&self, request: Request<Word>) -> Result<Response<Words>, Status> {
        let asked = request.into_inner();
        let details = ErrorDetails::with_bad_request_violation("count", "was asked for");
        let text = "failed as asked: \u{e4}\u{f6}%";
        let mut status = Status::with_error_details(Code::from(asked.count), text, details);
        status.metadata_mut().insert("x-echo", MetadataValue::from_static("trailing"));
        if asked.text.is_empty() {
            return Err(status);
        }
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(asked), Err(status)]))))
    }
}
