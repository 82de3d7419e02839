//! Connections of one status or admin listener: few, short, and never in each other's way.
//!
//! At the limit the oldest connection is closed for the newest, so that slow clients cannot keep
//! a probe or a scrape out.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::sockets::{self, ListenSocket};

const CONNECTIONS: usize = 256;
/// For a request's head, and between two requests of a connection.
const HEAD: Duration = Duration::from_secs(10);
const HEAD_BYTES: usize = 16 * 1024;
/// After this a connection takes no new request.
const AGE: Duration = Duration::from_secs(60);
/// How long a connection may still begin a request when its listener is stopped: one that was
/// made before is not to be closed without an answer.
const GRACE: Duration = Duration::from_secs(1);
/// What is left then for the last answer; longer than any request may take.
const LAST_ANSWER: Duration = Duration::from_secs(75);
/// How long accepting pauses when it fails, usually because no descriptor is left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until stopped; open connections then end soon, after their present request.
pub(super) async fn serve(socket: ListenSocket, router: Router, stop: CancellationToken) {
    let registered = match socket {
        ListenSocket::Tcp(socket) => TcpListener::from_std(socket).map(Listener::Tcp),
        ListenSocket::Unix(socket) => UnixListener::from_std(socket).map(Listener::Unix),
    };
    match registered {
        Ok(Listener::Tcp(listener)) => accept_all(listener, router, stop).await,
        Ok(Listener::Unix(listener)) => accept_all(listener, router, stop).await,
        Err(error) => tracing::error!(%error, "a socket could not be registered"),
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

trait Accept: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Accepts no further connection; handshakes in progress are completed.
    fn refuse_new(&self);
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn refuse_new(&self) {
        if let Err(error) = sockets::refuse_new(self) {
            tracing::debug!(%error, "a closing socket takes connections to its end");
        }
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    /// Its file is gone already.
    fn refuse_new(&self) {}
}

async fn accept_all(listener: impl Accept, router: Router, stop: CancellationToken) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                if open.len() >= CONNECTIONS {
                    open.retain(|connection| !connection.is_finished());
                }
                if open.len() >= CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                let connection = connection(stream, router.clone(), stop.clone());
                open.push_back(tokio::spawn(connection).abort_handle());
            }
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                sleep(PAUSE).await;
            }
        }
    }
    // The kernel resets what is queued on a socket that is closed.
    listener.refuse_new();
    while let Ok(Ok(stream)) = timeout(sockets::SETTLE, listener.accept()).await {
        tokio::spawn(connection(stream, router.clone(), stop.clone()));
    }
}

async fn connection<S>(stream: S, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = async { stop.cancelled().await; sleep(GRACE).await } => None,
        () = sleep(AGE) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            // Elapsed: the client did not read the answer in time.
            timeout(LAST_ANSWER, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the admin side ended badly");
    }
}
