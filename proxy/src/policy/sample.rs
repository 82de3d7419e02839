//! A policy as a model for others, compiled for tests alone. A request says by `x-sample` what it
//! wants of it: `refuse`, `answer`, `ask`, or nothing.
//!
//! One file and one line in the registry. It reads the head in the form that all protocols share,
//! so that neither codec knows of it.

use super::judge::{Answer, Inspected, Judge, Lists, Question, Verdict};
use crate::cause::Rule;
use crate::error::Reason;

#[derive(Debug)]
pub struct Sample;

impl Judge for Sample {
    const NAME: &'static str = "sample";

    fn judge(&self, request: &Inspected<'_>, lists: &mut Lists) -> Verdict {
        lists.request.set("x-sampled", &[b"judged"]);
        lists.response.set("x-sampled", &[request.path]);
        match request.head.fields().first("x-sample") {
            Some(b"refuse") => Verdict::refuse(Rule::Expectation),
            Some(b"answer") => Verdict::Answer(Reason::Replied),
            Some(b"ask-yes") => Verdict::Ask(Question::Compute(Box::new(|| Answer::Yes))),
            Some(b"ask-no") => Verdict::Ask(Question::Compute(Box::new(|| Answer::No))),
            _ => Verdict::Pass,
        }
    }

    fn resume(&self, _: &Inspected<'_>, lists: &mut Lists, answer: Answer) -> Verdict {
        lists.request.set("x-sampled", &[b"resumed"]);
        match answer {
            Answer::Yes => Verdict::Pass,
            Answer::No => Verdict::refuse(Rule::Expectation),
            Answer::Unknown => Verdict::Refuse(Reason::MemoryLimit.into()),
        }
    }
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
        routes: [{name: sampled, reply: {status: 204}}]\naccessLog: {path: disabled}\n";

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_policy_meets_all_protocols_in_one_form() {
        let config = portcullis_config::parse_str("test.yaml", CONFIG).unwrap().config;
        let server = Server::start(Arc::new(config)).await.unwrap();
        let (_, ListenAddress::Tcp { address, .. }) = server.addresses().remove(0) else {
            panic!("not TCP");
        };
        for (said, expected) in [
            ("refuse", StatusCode::EXPECTATION_FAILED),
            ("pass", StatusCode::NO_CONTENT),
            ("answer", StatusCode::OK),
            ("ask-yes", StatusCode::NO_CONTENT),
            ("ask-no", StatusCode::EXPECTATION_FAILED),
        ] {
            let request = || {
                let request = Request::builder().header("x-sample", said);
                request.header("host", "a").uri("/").body(Empty::<Bytes>::new()).unwrap()
            };
            let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
            let (mut first, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            let response = first.send_request(request()).await.unwrap();
            assert_eq!(response.status(), expected, "{said}");
            assert_eq!(response.headers()["x-sampled"], "/");

            let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
            let (mut second, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            let mut request = request();
            *request.uri_mut() = "http://a/".parse().unwrap();
            let response = second.send_request(request).await.unwrap();
            assert_eq!(response.status(), expected, "{said}");
            assert_eq!(response.headers()["x-sampled"], "/");
        }
    }
}
