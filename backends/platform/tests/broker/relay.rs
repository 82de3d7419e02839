//! A network between a client and a NATS server that is slow or cut at chosen places.
//!
//! It reads what the client sends command by command, and passes the server's bytes on as they
//! come.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use shop_platform::testing::slowly;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How a question for events begins.
const QUESTION: &[u8] = b"PUB $JS.API.CONSUMER.MSG.NEXT.";
const UNSUBSCRIPTION: &[u8] = b"UNSUB ";
/// How slow the network is behind a question.
const HELD: Duration = Duration::from_millis(100);

/// When the client's bytes are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// For a while each time.
    AfterQuestions,
    /// On each connection but the first, when it is subscribed again to what it was, until
    /// [`Relay::go_on`].
    BeforeItAsksAnew,
}

/// What the server learns of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Seen,
    /// For the server, the connection goes on.
    Unseen,
}

/// Runs until it is dropped.
pub(super) struct Relay {
    port: u16,
    state: Arc<State>,
    _accepting: JoinSet<()>,
}

struct State {
    hold: Hold,
    /// The connection that is not cut, counted from one.
    connection: watch::Sender<u64>,
    cut: watch::Sender<Option<Cut>>,
    questions: watch::Sender<u64>,
    /// How often a server has said that it has read all that came before.
    pongs: watch::Sender<u64>,
    /// Of the connections that are held before they ask anew, the last.
    holding: watch::Sender<u64>,
    /// What is held before it asks anew is held no longer.
    goes_on: watch::Sender<bool>,
}

impl Relay {
    /// In front of the server at `url`.
    pub(super) async fn start(url: &str, hold: Hold) -> Self {
        let server = url.strip_prefix("nats://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            hold,
            connection: watch::Sender::new(0),
            cut: watch::Sender::new(None),
            questions: watch::Sender::new(0),
            pongs: watch::Sender::new(0),
            holding: watch::Sender::new(0),
            goes_on: watch::Sender::new(false),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, Arc::clone(&state)));
        Self { port, state, _accepting: accepting }
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Until the client has asked for events.
    pub(super) async fn asked(&self) {
        self.state.questions.subscribe().wait_for(|count| *count > 0).await.unwrap();
    }

    /// Ends the client's connection; it may make another.
    pub(super) fn cut(&self, cut: Cut) {
        self.state.cut.send_replace(Some(cut));
    }

    /// Until a client that was cut off is subscribed again and has asked nothing yet.
    pub(super) async fn holds_again(&self) {
        self.state.holding.subscribe().wait_for(|count| *count > 1).await.unwrap();
    }

    /// Lets it ask.
    pub(super) fn go_on(&self) {
        self.state.goes_on.send_replace(true);
    }
}

async fn accept(listener: TcpListener, server: String, state: Arc<State>) {
    // What is left of connections that were cut, for as long as the relay lives.
    let mut left = Vec::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let server = TcpStream::connect(&server).await.unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        state.connection.send_modify(|count| *count += 1);
        state.cut.send_replace(None);
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let mut cut = state.cut.subscribe();
        let mut from_client = Commands(BufReader::new(from_client));
        let (mut to_server, mut from_server, mut to_client) = (to_server, from_server, to_client);
        tokio::select! {
            _ = cut.wait_for(Option::is_some) => {}
            _ = from_client.pass_to(&mut to_server, &state) => {}
            _ = pass(&mut from_server, &mut to_client, &state) => {}
        }
        if *state.cut.borrow() == Some(Cut::Unseen) {
            left.push((from_server, to_server));
        }
    }
}

async fn pass(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, state: &State) -> io::Result<()> {
    const PONG: &[u8] = b"PONG\r\n";
    // What was passed last may be the beginning of one.
    let (mut seen, mut passed) = (Vec::new(), 0);
    while from.read_buf(&mut seen).await? > 0 {
        to.write_all(&seen[passed..]).await?;
        let pongs = seen.windows(PONG.len()).filter(|window| *window == PONG).count() as u64;
        state.pongs.send_modify(|count| *count += pongs);
        passed = seen.len().min(PONG.len() - 1);
        seen.drain(..seen.len() - passed);
    }
    Ok(())
}

/// What a client of NATS sends.
struct Commands(BufReader<OwnedReadHalf>);

impl Commands {
    async fn pass_to(&mut self, server: &mut OwnedWriteHalf, state: &State) -> io::Result<()> {
        let connection = *state.connection.borrow();
        let mut was_held = false;
        while let Some(command) = self.next().await? {
            let question = command.starts_with(QUESTION);
            let anew = question || command.starts_with(UNSUBSCRIPTION);
            if state.hold == Hold::BeforeItAsksAnew && anew && connection > 1 && !was_held {
                was_held = true;
                // The server has read the subscriptions: the client's own ping was answered before.
                let pongs = *state.pongs.borrow();
                server.write_all(b"PING\r\n").await?;
                drop(state.pongs.subscribe().wait_for(|count| *count > pongs).await);
                state.holding.send_replace(connection);
                drop(state.goes_on.subscribe().wait_for(|goes_on| *goes_on).await);
            }
            server.write_all(&command).await?;
            if question {
                state.questions.send_modify(|count| *count += 1);
                if state.hold == Hold::AfterQuestions {
                    slowly(HELD).await;
                }
            }
        }
        Ok(())
    }

    /// A line, with what belongs to it.
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut command = Vec::new();
        if self.0.read_until(b'\n', &mut command).await? == 0 {
            return Ok(None);
        }
        if command.starts_with(b"PUB ") || command.starts_with(b"HPUB ") {
            let line = String::from_utf8_lossy(&command);
            let length: usize = line.split_whitespace().next_back().unwrap().parse().unwrap();
            let end = command.len();
            command.resize(end + length + 2, 0);
            self.0.read_exact(&mut command[end..]).await?;
        }
        Ok(Some(command))
    }
}
