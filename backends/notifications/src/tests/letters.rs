//! Letters from the outbox to a mail server: tried again, given up, never lost.

use std::sync::Mutex;

use shop_platform::testing::within;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::outbox::LEASE;

use super::*;

/// A mail server that takes letters, or does not, as it is told.
pub(super) struct PostOffice {
    pub(super) way: String,
    /// The letters that it was given, whatever it said to them.
    pub(super) given: mpsc::UnboundedReceiver<String>,
}

impl PostOffice {
    /// Answers the first letters with `answers`, and takes all that follow.
    pub(super) async fn open(answers: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = format!("smtp://{}", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(answers.iter().rev().copied().collect::<Vec<_>>()));
        let (give, given) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&answers), give.clone()));
            }
        });
        Self { way, given }
    }

    pub(super) async fn next(&mut self) -> String {
        within("the next letter", self.given.recv()).await.unwrap()
    }
}

async fn converse(
    stream: TcpStream,
    answers: Arc<Mutex<Vec<&'static str>>>,
    give: mpsc::UnboundedSender<String>,
) {
    let mut stream = BufReader::new(stream);
    let mut answer = "220 ready";
    loop {
        if stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return;
        }
        let mut line = String::new();
        if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
            return;
        }
        answer = match line.trim_end() {
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.unwrap();
                let mut letter = String::new();
                while !letter.ends_with("\r\n.\r\n") {
                    stream.read_line(&mut letter).await.unwrap();
                }
                give.send(letter).unwrap();
                answers.lock().unwrap().pop().unwrap_or("250 taken")
            }
            "QUIT" => "221 bye",
            _ => "250 fine",
        };
    }
}

/// An outbox with a letter to Ada in it, and a sender that does what it is told.
struct Desk {
    api: Api,
    ada: Uuid,
    sender: Sender,
}

impl Desk {
    async fn new(way: &str) -> Self {
        let api = Shop::new().await.api();
        let ada = Uuid::now_v7();
        api.around.register(ada, "Ada").await;
        let sender = Sender {
            outbox: Outbox::new(api.around.database.clone()),
            mailer: Mailer::try_new(way, "shop@shop.example").unwrap(),
            failpoints: api.around.database.failpoints().clone(),
            metrics: NotificationMetrics::try_new(&Registry::new()).unwrap(),
            clock: api.around.clock.clone(),
            added: Arc::default(),
        };
        Self { api, ada, sender }
    }

    /// Sends what is due. Says how many there were, and what became of Ada's latest letter.
    async fn round(&self) -> (usize, String) {
        let tried = self.sender.round().await.unwrap();
        let answer = self.api.get("/v1/notifications", &self.api.around.token(self.ada)).await;
        (tried, answer.body["items"][0]["letter"].as_str().unwrap().to_owned())
    }

    fn wait(&self, seconds: u64) {
        self.api.around.clock.advance(Duration::from_secs(seconds));
    }
}

pub(super) fn message_id(letter: &str) -> &str {
    letter.lines().find(|line| line.starts_with("Message-ID: ")).unwrap()
}

fn state(tried: usize, letter: &str) -> (usize, String) {
    (tried, letter.to_owned())
}

#[tokio::test]
async fn a_letter_is_sent_once() {
    let mut office = PostOffice::open(&[]).await;
    let desk = Desk::new(&office.way).await;
    assert_eq!(desk.round().await, state(1, "sent"));
    let letter = office.next().await;
    assert!(letter.contains("To: Ada <ada@example.com>\r\n"), "{letter}");
    assert!(letter.contains("Subject: Welcome to the shop\r\n"), "{letter}");
    desk.wait(10_000);
    assert_eq!(desk.round().await, state(0, "sent"));
    assert!(office.given.try_recv().is_err());
}

#[tokio::test]
async fn a_letter_that_was_not_taken_is_tried_again_later_under_the_same_id() {
    let mut office = PostOffice::open(&["451 later", "452 full"]).await;
    let desk = Desk::new(&office.way).await;
    assert_eq!(desk.round().await, state(1, "pending"));
    assert_eq!(desk.round().await, state(0, "pending"), "not at once");
    desk.wait(2);
    assert_eq!(desk.round().await, state(1, "pending"));
    desk.wait(2);
    desk.wait(1);
    assert_eq!(desk.round().await, state(1, "sent"));
    let letters = [office.next().await, office.next().await, office.next().await];
    assert!(letters.iter().all(|letter| message_id(letter) == message_id(&letters[0])));
}

#[tokio::test]
async fn a_letter_that_nobody_will_ever_take_is_given_up() {
    let mut office = PostOffice::open(&["550 no such mailbox"]).await;
    let desk = Desk::new(&office.way).await;
    assert_eq!(desk.round().await, state(1, "failed"));
    office.next().await;
    desk.wait(100_000);
    assert_eq!(desk.round().await, state(0, "failed"));

    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let desk = Desk::new(&format!("smtp://{away}")).await;
    for _ in 1..12 {
        assert_eq!(desk.round().await, state(1, "pending"));
        desk.wait(1000);
    }
    assert_eq!(desk.round().await, state(1, "failed"));
}

#[tokio::test]
async fn a_sender_that_dies_leaves_its_letter_to_the_next() {
    let mut office = PostOffice::open(&[]).await;
    let desk = Desk::new(&office.way).await;
    let now = desk.api.around.clock.now();
    // It takes the letter, delivers it, and dies before it can write that down.
    let taken = desk.sender.outbox.take(now, 8).await.unwrap();
    assert_eq!(taken.len(), 1);
    desk.sender.mailer.deliver(&taken[0].letter, LEASE).await.unwrap();
    assert_eq!(desk.round().await, state(0, "pending"), "the lease holds");
    desk.wait(LEASE.as_secs());
    assert_eq!(desk.round().await, state(1, "sent"));
    let letters = [office.next().await, office.next().await];
    assert_eq!(letters[0], letters[1], "whoever gets both can tell that they are one");
    // The first was not dead, just slow: what it has to say changes nothing any more.
    let late = desk.sender.outbox.settle(&taken[0], outbox::Outcome::Refused, now).await;
    late.unwrap();
    assert_eq!(desk.round().await, state(0, "sent"));
}

#[tokio::test]
async fn letters_go_out_together_and_in_rounds() {
    let mut office = PostOffice::open(&[]).await;
    let desk = Desk::new(&office.way).await;
    for _ in 0..19 {
        desk.api.around.tell(&captured(desk.ada)).await;
    }
    let rounds = [desk.round().await.0, desk.round().await.0, desk.round().await.0];
    assert_eq!(rounds, [8, 8, 4]);
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..20 {
        ids.insert(message_id(&office.next().await).to_owned());
    }
    assert_eq!(ids.len(), 20);
}

#[tokio::test]
async fn the_running_service_sends_by_itself() {
    let mut office = PostOffice::open(&[]).await;
    let shop = Shop::with(&["--mail", &office.way], Heartbeat::default()).await;
    let service = shop.run().await;
    let ada = Uuid::now_v7();
    service.around.publish(&registered(ada, "Ada")).await;
    assert!(office.next().await.contains("Welcome to the shop"));
    // Another process's letter is found too.
    service.around.tell(&captured(ada)).await;
    assert!(office.next().await.contains("Receipt for order"));
    assert_eq!(service.end().await, Drained { cut: 0 });
}
