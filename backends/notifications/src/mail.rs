//! Letters on their way out: written to a directory, or handed to a mail server.
//!
//! A mailer delivers one letter or says whether another try may fare better. It counts no tries
//! and waits for nothing but the delivery itself.

use std::time::{Duration, SystemTime};

use lettre::address::AddressError;
use lettre::message::{Mailbox, SinglePart};
use lettre::{Address, Message};
use shop_platform::{StartError, UnixTime};
use uuid::Uuid;

use crate::line::Line;

mod directory;
mod smtp;

use directory::Directory;
use smtp::SmtpServer;

/// A letter to one customer. What becomes a header is a line: lettre would panic over a name that is
/// none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) display_name: Line,
    pub(crate) subject: Line,
    pub(crate) body: String,
    pub(crate) written_at: UnixTime,
}

/// Where letters go, and from whom.
#[derive(Debug)]
pub(crate) struct Mailer {
    sender: Address,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Directory(Directory),
    Smtp(SmtpServer),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    /// The account has an address that no mail server would take.
    #[error("the letter cannot be addressed: {0}")]
    Address(#[from] AddressError),
    #[error("the letter cannot be written: {0}")]
    Letter(#[from] lettre::error::Error),
    #[error("the letter cannot be filed: {0}")]
    File(#[source] std::io::Error),
    #[error("the mail server failed: {0}")]
    Smtp(#[source] lettre::transport::smtp::Error),
    #[error("the mail server did not answer in time")]
    Timeout,
}

impl MailError {
    /// Whether another try may fare better.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Address(_) | Self::Letter(_) => false,
            // A full disk and a server that is away come to an end; "no such mailbox" does not.
            Self::Smtp(error) => !error.is_permanent(),
            Self::File(_) | Self::Timeout => true,
        }
    }
}

impl Mailer {
    /// `way`: `file:DIRECTORY` or `smtp://HOST:PORT`. The directory is made.
    pub(crate) fn try_new(way: &str, sender: &str) -> Result<Self, StartError> {
        let sender = sender.parse().map_err(|_| StartError::Option {
            option: "mail-from",
            reason: "must be an email address",
        })?;
        let way = if let Some(directory) = way.strip_prefix("file:").filter(|path| !path.is_empty())
        {
            Way::Directory(Directory::open(directory.into()).map_err(|error| {
                StartError::Prepare { what: "the directory of letters", source: Box::new(error) }
            })?)
        } else {
            let server = way.strip_prefix("smtp://").and_then(SmtpServer::parse);
            let reason = "must be file:DIRECTORY or smtp://HOST:PORT";
            Way::Smtp(server.ok_or(StartError::Option { option: "mail", reason })?)
        };
        Ok(Self { sender, way })
    }

    /// Delivers, within `limit`. A repeat carries the same id: a file is overwritten, and a mail
    /// server's recipient can tell by the Message-ID.
    pub(crate) async fn deliver(&self, letter: &Letter, limit: Duration) -> Result<(), MailError> {
        let message = compose(letter, &self.sender)?;
        let delivered = async {
            match &self.way {
                Way::Directory(directory) => {
                    let file = directory.file(letter.id, message.formatted());
                    file.await.map_err(MailError::File)
                }
                Way::Smtp(server) => server.send(&message).await.map_err(MailError::Smtp),
            }
        };
        tokio::time::timeout(limit, delivered).await.unwrap_or(Err(MailError::Timeout))
    }
}

/// The letter as RFC 5322 has it. The same letter gives the same bytes each time.
fn compose(letter: &Letter, sender: &Address) -> Result<Message, MailError> {
    let name = Some(letter.display_name.as_str()).filter(|name| !name.is_empty());
    let recipient = Mailbox::new(name.map(str::to_owned), letter.email.parse()?);
    let written_at = SystemTime::UNIX_EPOCH + Duration::from_secs(letter.written_at.seconds());
    let message = Message::builder()
        .message_id(Some(format!("<{}@{}>", letter.id, sender.domain())))
        .date(written_at)
        .from(Mailbox::new(Some("The shop".to_owned()), sender.clone()))
        .to(recipient)
        .subject(letter.subject.as_str())
        .singlepart(SinglePart::plain(letter.body.clone()))?;
    Ok(message)
}

#[cfg(test)]
mod tests;
