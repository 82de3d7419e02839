//! A customer's live feed: a WebSocket through the gateway that is held open for a whole visit, and
//! everything that it told.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use http::HeaderValue;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use uuid::Uuid;

use crate::courier::Found;
use crate::documents::{Notification, Told};
use crate::record::Call;
use crate::session::Session;
use crate::wire::dial::Io;
use crate::wire::{AGENT, Reply};

const PROTOCOL: &str = "shop.v1";
/// The service pings every 30 s: who hears nothing for so long hears nothing.
const SILENCE: Duration = Duration::from_secs(90);
const OPENS_WITHIN: Duration = Duration::from_secs(15);
const CLOSES_WITHIN: Duration = Duration::from_secs(5);
const LARGEST_FRAME: usize = 64 << 10;
/// Notifications that are kept; a customer has a few for each order.
const KEPT: usize = 100_000;
/// Who has to open it so often does not hold a feed.
const MOST_CONNECTIONS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<Box<dyn Io>>;

/// An open feed, until [`Feed::end`].
pub(crate) struct Feed {
    heard: Arc<Heard>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    notifications: Mutex<Vec<Notification>>,
    connections: AtomicU32,
}

/// How a connection ended.
enum Ending {
    Stopped,
    /// It may be opened again.
    Again,
    /// It cannot be opened again: that is recorded.
    Over,
}

impl Feed {
    /// From behind `after` on, nothing is missed.
    pub(crate) fn begin(session: Arc<Session>, after: Uuid) -> Self {
        let heard = Arc::new(Heard::default());
        let (stop, stopped) = watch::channel(false);
        let listener = Listener { session, heard: Arc::clone(&heard), last: after, stopped };
        let task = tokio::spawn(listener.run());
        Self { heard, stop, task }
    }

    /// What was told so far.
    pub(crate) fn told(&self) -> Vec<Notification> {
        self.heard.notifications().clone()
    }

    /// Connections beyond the first.
    pub(crate) fn reconnects(&self) -> u32 {
        self.heard.connections.load(Ordering::Relaxed).saturating_sub(1)
    }

    pub(crate) async fn end(mut self) {
        self.stop.send_replace(true);
        if timeout(CLOSES_WITHIN * 2, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Heard {
    fn notifications(&self) -> MutexGuard<'_, Vec<Notification>> {
        // No code that could panic halfway runs under the lock.
        self.notifications.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when it should stop. What is locked to look is free again by then.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}

struct Listener {
    session: Arc<Session>,
    heard: Arc<Heard>,
    /// The last notification that was told.
    last: Uuid,
    stopped: watch::Receiver<bool>,
}

impl Listener {
    async fn run(mut self) {
        loop {
            if self.heard.connections.load(Ordering::Relaxed) >= MOST_CONNECTIONS {
                self.found("it had to be opened too often");
                return;
            }
            let socket = match self.open().await {
                Ok(Some(socket)) => socket,
                Ok(None) if *self.stopped.borrow() => return,
                Ok(None) => continue,
                Err(Found) => return,
            };
            self.heard.connections.fetch_add(1, Ordering::Relaxed);
            match Box::pin(self.listen(socket)).await {
                Ending::Again => sleep(PAUSE).await,
                Ending::Stopped | Ending::Over => return,
            }
        }
    }

    /// A connection; none if it should be tried once more, after a pause that has passed.
    async fn open(&mut self) -> Result<Option<Socket>, Found> {
        let opened = timeout(OPENS_WITHIN, Box::pin(self.connect())).await;
        let error = match opened {
            Ok(Ok(socket)) => return Ok(Some(socket)),
            Ok(Err(error)) => error,
            Err(_) => Error::Io(std::io::ErrorKind::TimedOut.into()),
        };
        // A way to nobody counts as one that was opened: it must end some time.
        self.heard.connections.fetch_add(1, Ordering::Relaxed);
        let pause = match error {
            Error::Http(response) => {
                let (head, body) = response.into_parts();
                let body = body.unwrap_or_default().into();
                let reply = Reply { status: head.status, headers: head.headers, body };
                self.refused(&reply).await?
            }
            _ if self.session.courier().outages() => PAUSE,
            error => return Err(self.found(&format!("it cannot be opened: {error}"))),
        };
        // Whether it stopped meanwhile is seen by the caller.
        drop(timeout(pause, stop(&mut self.stopped)).await);
        Ok(None)
    }

    async fn refused(&self, reply: &Reply) -> Result<Duration, Found> {
        let (status, code) = (reply.status.as_u16(), reply.code().unwrap_or_default());
        match (status, code.as_str()) {
            (401, "token-expired") => self.session.renew().await.map(|()| Duration::ZERO),
            (429 | 503, _) => Ok(reply.retry_after().unwrap_or(PAUSE).min(LONGEST_PAUSE)),
            (502 | 504, _) if self.session.courier().outages() => Ok(PAUSE),
            _ => {
                let what = format!("status {status} {code}");
                Err(self.session.courier().found_in(Call::Feed, what.trim_end(), reply))
            }
        }
    }

    async fn connect(&self) -> Result<Socket, Error> {
        let dialer = self.session.courier().dialer();
        let authority = dialer.target().authority();
        // Whatever the scheme: the connection is there already, encrypted or not.
        let url = format!("ws://{authority}/v1/feed?after={}", self.last);
        let mut request = url.into_client_request()?;
        let bearer = HeaderValue::try_from(format!("Bearer {}", self.session.token()))
            .map_err(http::Error::from)?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        let stream = dialer.connect().await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .max_message_size(Some(LARGEST_FRAME))
            .max_frame_size(Some(LARGEST_FRAME));
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        Ok(socket)
    }

    async fn listen(&mut self, mut socket: Socket) -> Ending {
        loop {
            let frame = tokio::select! {
                biased;
                () = stop(&mut self.stopped) => {
                    // Whoever does not answer the farewell is left without it.
                    drop(timeout(CLOSES_WITHIN, socket.close(None)).await);
                    return Ending::Stopped;
                }
                frame = timeout(SILENCE, socket.next()) => frame,
            };
            let ending = match frame {
                Err(_) => self.failed("silent for too long"),
                Ok(None) | Ok(Some(Err(_))) if self.session.courier().outages() => Ending::Again,
                Ok(None) => self.failed("it ended without a farewell"),
                Ok(Some(Err(error))) => self.failed(&format!("it broke: {error}")),
                Ok(Some(Ok(Message::Text(text)))) => match self.hear(text.as_str()) {
                    Ok(()) => continue,
                    Err(Found) => Ending::Over,
                },
                Ok(Some(Ok(Message::Close(frame)))) => {
                    let code = frame.map_or(1005, |frame| u16::from(frame.code));
                    self.closed(code).await
                }
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
                Ok(Some(Ok(Message::Binary(_) | Message::Frame(_)))) => {
                    self.failed("bytes, where only text is told")
                }
            };
            return ending;
        }
    }

    fn hear(&mut self, text: &str) -> Result<(), Found> {
        match serde_json::from_str(text) {
            Ok(Told::Ready) => Ok(()),
            Ok(Told::Gap { missed }) => Err(self.found(&format!("{missed} were left out"))),
            Ok(Told::Notification(told)) => {
                self.last = told.id;
                let mut notifications = self.heard.notifications();
                if notifications.len() < KEPT {
                    notifications.push(told);
                    return Ok(());
                }
                drop(notifications);
                Err(self.found("it told more than is kept"))
            }
            Err(error) => Err(self.found(&format!("an unreadable frame: {error}"))),
        }
    }

    /// 1001 and 1012: a service or the gateway goes; 4401: the token has run out.
    async fn closed(&self, code: u16) -> Ending {
        match code {
            1001 | 1012 => Ending::Again,
            4401 => match self.session.renew().await {
                Ok(()) => Ending::Again,
                Err(Found) => Ending::Over,
            },
            code => self.failed(&format!("closed with {code}")),
        }
    }

    /// Recorded, and gone on with: what it did not tell is found out by the audit.
    fn failed(&self, what: &str) -> Ending {
        self.found(what);
        Ending::Again
    }

    fn found(&self, what: &str) -> Found {
        self.session.courier().found(Call::Feed, what)
    }
}
