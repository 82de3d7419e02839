//! HTTP/1.1 for REST, HTTP/2 without TLS (known beforehand, RFC 9113, section 3.3) for gRPC.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;

use crate::settings::ServerOptions;

/// Calls of one connection at one time. The caller's client queues what is beyond.
const STREAMS: u32 = 200;
/// A peer that is gone without a word is found out by asking.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

type App = TowerToHyperService<Router>;

/// How connections speak.
#[derive(Clone)]
pub(crate) enum Protocol {
    Http1(http1::Builder),
    Http2(http2::Builder<TokioExecutor>),
}

impl Protocol {
    pub(crate) fn http1(options: &ServerOptions) -> Self {
        let mut builder = http1::Builder::new();
        // hyper measures both the wait for a request and the time of its head by this one.
        builder.timer(TokioTimer::new()).header_read_timeout(options.idle_timeout);
        Self::Http1(builder)
    }

    pub(crate) fn http2() -> Self {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        Self::Http2(builder)
    }

    /// A future of its own: it needs neither the builder nor whoever called this.
    pub(super) fn serve(&self, stream: TokioIo<TcpStream>, app: App) -> Connection {
        match self {
            // Upgrades: a WebSocket goes on after its handshake's request has ended.
            Self::Http1(builder) => {
                let connection = builder.serve_connection(stream, app).with_upgrades();
                Connection::Http1(Box::pin(connection))
            }
            Self::Http2(builder) => {
                Connection::Http2(Box::pin(builder.serve_connection(stream, app)))
            }
        }
    }
}

/// A connection being served.
pub(super) enum Connection {
    Http1(Pin<Box<http1::UpgradeableConnection<TokioIo<TcpStream>, App>>>),
    Http2(Pin<Box<http2::Connection<TokioIo<TcpStream>, App, TokioExecutor>>>),
}

impl Connection {
    /// Ends after the requests that have been read.
    pub(super) fn graceful_shutdown(mut self: Pin<&mut Self>) {
        match &mut *self {
            Self::Http1(connection) => connection.as_mut().graceful_shutdown(),
            Self::Http2(connection) => connection.as_mut().graceful_shutdown(),
        }
    }
}

impl Future for Connection {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Http1(connection) => connection.as_mut().poll(context),
            Self::Http2(connection) => connection.as_mut().poll(context),
        }
    }
}
