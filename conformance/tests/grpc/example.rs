//! The example of the manual, as printed.

use std::path::Path;

use tokio::time::timeout;

use crate::harness::{WITHIN, address, serve};
use crate::service::{self, EchoClient, word};

#[tokio::test]
async fn the_example_of_the_manual_serves() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/grpc.md")).unwrap();
    let example = std::fs::read_to_string(root.join("config/examples/grpc.yaml")).unwrap();
    assert!(page.contains(&example), "docs/grpc.md shows another config/examples/grpc.yaml");
    let (origin, _hears) = service::start(None).await;
    let text = example
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:50051", &origin.to_string())
        .replace("prefix: /shop.Orders", "prefix: /conformance.Echo");
    let server = serve(&text).await;
    let mut client = EchoClient::connect(format!("http://{}", address(&server, 0))).await.unwrap();
    let answer = timeout(WITHIN, client.unary(word("hello"))).await.unwrap().unwrap();
    assert_eq!(answer.get_ref().text, "hello");
}
