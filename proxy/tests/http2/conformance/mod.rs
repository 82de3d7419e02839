//! RFC 9113 and RFC 7541 as a table of our own: for each rule the frames that break or use it,
//! and what must be seen. The cases are those of h2spec, by its numbers.

use portcullis_testkit::h2::frame::{self, code_name};
use portcullis_testkit::h2::{H2Client, Seen};
use portcullis_testkit::origin::ScriptedOrigin;

use crate::harness::{Gate, KINDS, Kind, always};

mod frames;
mod generic;
mod hpack;
mod messages;
mod streams;

/// One rule.
pub(crate) struct Case {
    name: &'static str,
    /// Sent one after another; before the next something must have been seen.
    steps: Vec<Vec<u8>>,
    /// What the letter wants, in words such as `200`, `reset CODE`, `goaway CODE`; `alive` for a
    /// connection that still answers pings, `close` for one that ended. ` | ` stands between
    /// answers that are both right.
    letter: String,
    /// What is seen where that is something else.
    ours: Option<&'static str>,
    /// Nothing was said before.
    raw: bool,
    /// The lengths of DATA frames are words too.
    sizes: bool,
}

pub(crate) fn case(name: &'static str, send: Vec<Vec<u8>>, letter: impl Into<String>) -> Case {
    let (steps, letter) = (vec![send.concat()], letter.into());
    Case { name, steps, letter, ours: None, raw: false, sizes: false }
}

impl Case {
    /// What goes on once the step before was answered.
    pub(crate) fn then(mut self, send: Vec<Vec<u8>>) -> Self {
        self.steps.push(send.concat());
        self
    }

    /// We answer otherwise, which is as safe: `why` is for the reader.
    pub(crate) fn ours(mut self, seen: &'static str, why: &'static str) -> Self {
        assert!(!why.is_empty());
        self.ours = Some(seen);
        self
    }

    pub(crate) fn raw(mut self) -> Self {
        self.raw = true;
        self
    }

    pub(crate) fn sizes(mut self) -> Self {
        self.sizes = true;
        self
    }

    fn expected(&self) -> &str {
        self.ours.unwrap_or_else(|| self.letter.split(" | ").next().unwrap())
    }
}

/// Why an answer differs: the connection ends all the same.
pub(crate) const CODE: &str = "the library has one code for most frames that are none";
pub(crate) const ENDED: &str = "the library ends the connection instead of the stream";

/// An error of the whole connection.
pub(crate) fn connection(code: &str) -> String {
    format!("goaway {code}, close")
}

/// An error of a stream, which may be taken as one of the connection (section 5.4.2).
pub(crate) fn stream(code: &str) -> String {
    format!("reset {code}, alive | goaway {code}, close")
}

/// A malformed request, which may also be answered (section 8.1.1).
pub(crate) fn malformed() -> String {
    format!("{} | 400, alive", stream("PROTOCOL_ERROR"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_of_the_protocol() {
    let origin = ScriptedOrigin::start([always("hello")]).await.unwrap();
    let gate = Gate::new(origin.address()).await;
    let cases: Vec<Case> = generic::cases()
        .chain(frames::cases())
        .chain(streams::cases())
        .chain(messages::cases())
        .chain(hpack::cases())
        .collect();
    let mut wrong = Vec::new();
    for kind in KINDS {
        let mut to_the_letter = 0;
        for case in &cases {
            let seen = play(&gate, kind, case).await;
            let lawful = case.letter.split(" | ").any(|answer| answer == seen);
            to_the_letter += usize::from(lawful);
            let right = case.ours.map_or(lawful, |ours| ours == seen && !lawful);
            if !right {
                let (name, expected) = (case.name, case.ours.unwrap_or(&case.letter));
                wrong.push(format!("{kind:?} {name}: saw {seen:?}, ought {expected:?}"));
            }
        }
        println!("{kind:?}: {to_the_letter} of {} cases pass to the letter", cases.len());
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

async fn play(gate: &Gate, kind: Kind, case: &Case) -> String {
    let client = match case.raw {
        true => gate.connect(kind).await,
        false => gate.open(kind, &[]).await,
    };
    let mut talk = Talk { client, words: Vec::new(), sizes: case.sizes };
    let words = case.expected().split(", ").count();
    match talk.play(case, words).await {
        Ok(()) => talk.words.join(", "),
        Err(error) => format!("{}: {error}", talk.words.join(", ")),
    }
}

/// A connection, and what was seen on it in words.
struct Talk {
    client: H2Client,
    words: Vec<String>,
    sizes: bool,
}

type Told<T = ()> = Result<T, portcullis_testkit::client::ClientError>;

impl Talk {
    async fn play(&mut self, case: &Case, words: usize) -> Told {
        for (index, step) in case.steps.iter().enumerate() {
            if index > 0 {
                let before = self.words.len();
                while self.words.len() == before && self.hear().await?.is_some() {}
            }
            // A server that has closed already is seen as that.
            let _ = self.client.send(step).await;
        }
        if !case.expected().ends_with("alive") {
            while self.hear().await?.is_some() {}
            return Ok(());
        }
        while self.words.len() < words - 1 {
            if self.hear().await?.is_none() {
                return Ok(());
            }
        }
        // Twice: what the frames before have led to may come behind the first answer.
        for round in [*b"are you ", *b"  alive?"] {
            self.client.send(&frame::ping(round)).await?;
            loop {
                match self.hear().await? {
                    Some(Seen::Ping { ack: true, payload }) if payload == round => break,
                    Some(_) => {}
                    None => return Ok(()),
                }
            }
        }
        self.words.push("alive".to_owned());
        Ok(())
    }

    /// One more frame, in words if it has some.
    async fn hear(&mut self) -> Told<Option<Seen>> {
        let seen = self.client.next().await?;
        match &seen {
            None => self.words.push("close".to_owned()),
            Some(Seen::Reset { code, .. }) => {
                self.words.push(format!("reset {}", code_name(*code)));
            }
            Some(Seen::GoAway { code, .. }) => {
                self.words.push(format!("goaway {}", code_name(*code)));
            }
            Some(Seen::Data { bytes, .. }) if self.sizes => {
                self.words.push(format!("data {}", bytes.len()));
            }
            Some(Seen::Ping { ack: true, payload }) if !payload.ends_with(b"?") => {
                if payload != b"are you " {
                    self.words.push("pong".to_owned());
                }
            }
            Some(Seen::Settings { ack: true, .. }) => self.words.push("confirmed".to_owned()),
            Some(head) => {
                if let Some(status) = head.status() {
                    self.words.push(status.to_owned());
                }
            }
        }
        Ok(seen)
    }
}
