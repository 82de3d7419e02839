//! What passes: every way of streaming, through every way of the proxy.

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::harness::{Gate, WAYS, WITHIN};
use crate::service::{Word, word};

#[tokio::test]
async fn unary_calls_with_their_metadata() {
    for (front, back) in WAYS {
        let gate = Gate::new(back).await;
        let mut client = gate.client(front).await;
        let mut request = Request::new(word("hello"));
        request.metadata_mut().insert("x-echo", MetadataValue::from_static("as it came"));
        let bytes = MetadataValue::from_bytes(&[0, 255, 10, 13]);
        request.metadata_mut().insert_bin("x-echo-bin", bytes.clone());
        let response = timeout(WITHIN, client.unary(request)).await.unwrap().unwrap();
        assert_eq!(response.get_ref().text, "hello");
        assert_eq!(response.metadata().get("x-echo").unwrap(), "as it came");
        assert_eq!(response.metadata().get_bin("x-echo-bin").unwrap(), &bytes);
        drop(client);
        assert_eq!(gate.verdicts().await, ["200 passed"], "{front:?} {back:?}");
    }
}

#[tokio::test]
async fn streams_down_and_up() {
    for (front, back) in WAYS {
        let gate = Gate::new(back).await;
        let mut client = gate.client(front).await;
        let asked = Word { count: 1000, text: "w".repeat(1000), ..Word::default() };
        let words = client.down(asked).await.unwrap().into_inner();
        let words = timeout(WITHIN, words.collect::<Vec<_>>()).await.unwrap();
        let counts: Vec<_> = words.into_iter().map(|word| word.unwrap().count).collect();
        assert_eq!(counts, (0..1000).collect::<Vec<_>>());
        // More together than the largest body, which is the limit of one message.
        let words = (0..24).map(|_| Word { data: vec![7; 1 << 20], ..word("w") });
        let all = timeout(WITHIN, client.up(tokio_stream::iter(words))).await.unwrap();
        let all = all.unwrap().into_inner();
        assert_eq!((all.count, all.data.len()), (24, 24 << 20), "{front:?} {back:?}");
    }
}

/// Word for word: neither side is held back until the other has finished.
#[tokio::test]
async fn streams_both_ways_at_once() {
    for (front, back) in WAYS {
        let gate = Gate::new(back).await;
        let mut client = gate.client(front).await;
        let (send, receive) = mpsc::channel(1);
        let mut words = client.both(ReceiverStream::new(receive)).await.unwrap().into_inner();
        for count in 0..20 {
            send.send(Word { count, ..Word::default() }).await.unwrap();
            let back = timeout(WITHIN, words.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(back.count, count);
        }
        drop(send);
        assert!(timeout(WITHIN, words.next()).await.unwrap().is_none(), "{front:?} {back:?}");
    }
}

/// Who does not read is not written to: the whole way holds its breath, and goes on.
#[tokio::test]
async fn back_pressure_reaches_through() {
    for (front, back) in WAYS {
        let gate = Gate::new(back).await;
        let mut client = gate.client(front).await;
        let (send, receive) = mpsc::channel(1);
        let mut words = client.both(ReceiverStream::new(receive)).await.unwrap().into_inner();
        let one = Word { data: vec![1; 1 << 20], ..Word::default() };
        let mut sent = 0;
        // Until nothing more is taken for a moment.
        let moment = std::time::Duration::from_millis(300);
        while let Ok(permit) = timeout(moment, send.reserve()).await {
            permit.unwrap().send(one.clone());
            sent += 1;
            assert!(sent < 64, "more is held than windows and buffers are");
        }
        drop(send);
        let mut seen = 0;
        while let Some(word) = timeout(WITHIN, words.next()).await.unwrap() {
            assert_eq!(word.unwrap().data.len(), 1 << 20);
            seen += 1;
        }
        assert_eq!(seen, sent, "{front:?} {back:?}");
    }
}

#[tokio::test]
async fn health_and_reflection() {
    for (front, back) in WAYS {
        let gate = Gate::new(back).await;
        let mut health = HealthClient::new(gate.channel(front).await);
        let asked = HealthCheckRequest { service: "conformance.Echo".to_owned() };
        let answer = timeout(WITHIN, health.check(asked)).await.unwrap().unwrap();
        assert_eq!(answer.get_ref().status, ServingStatus::Serving as i32);
        let mut reflection = ServerReflectionClient::new(gate.channel(front).await);
        let asked = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let answers = reflection.server_reflection_info(tokio_stream::iter([asked])).await;
        let mut answers = answers.unwrap().into_inner();
        let answer = timeout(WITHIN, answers.next()).await.unwrap().unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("{answer:?}");
        };
        let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
        assert!(names.contains(&"conformance.Echo".to_owned()), "{names:?}");
    }
}
