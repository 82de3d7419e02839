//! A policy as a model for others, compiled for tests alone: it refuses requests that carry
//! `x-sample: refuse`.
//!
//! One file and one line in [`decide`](crate::decide) at its place in the order. It reads the
//! head in the form that all protocols share, so that neither codec knows of it.

use crate::cause::Rule;
use crate::message::RequestHead;

/// Why the request is refused, if it is.
pub fn judge(head: &RequestHead<'_>) -> Option<Rule> {
    (head.fields().first("x-sample") == Some(b"refuse")).then_some(Rule::Expectation)
}

mod tests {
    use std::sync::Arc;

    use http_body_util::Empty;
    use hyper::body::Bytes;
    use hyper::{Request, StatusCode};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use portcullis_config::model::ListenAddress;
    use tokio::net::TcpStream;

    use crate::server::Server;

    const CONFIG: &str = "version: v1\nworkers: 1\n\
        listeners: [{name: front, address: \"127.0.0.1:0\"}]\n\
        routes: [{name: all, reply: {status: 204}}]\naccessLog: {path: disabled}\n";

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_policy_meets_all_protocols_in_one_form() {
        let config = portcullis_config::parse_str("test.yaml", CONFIG).unwrap().config;
        let server = Server::start(Arc::new(config)).await.unwrap();
        let (_, ListenAddress::Tcp { address, .. }) = server.addresses().remove(0) else {
            panic!("not TCP");
        };
        for (said, expected) in
            [("refuse", StatusCode::EXPECTATION_FAILED), ("pass", StatusCode::NO_CONTENT)]
        {
            let request = || {
                let request = Request::builder().header("x-sample", said);
                request.header("host", "a").uri("/").body(Empty::<Bytes>::new()).unwrap()
            };
            let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
            let (mut first, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            assert_eq!(first.send_request(request()).await.unwrap().status(), expected);

            let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
            let (mut second, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            let mut request = request();
            *request.uri_mut() = "http://a/".parse().unwrap();
            assert_eq!(second.send_request(request).await.unwrap().status(), expected);
        }
    }
}
