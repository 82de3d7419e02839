//! Letters as bytes, in a directory, and on the wire.

use std::os::unix::fs::PermissionsExt;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

fn letter() -> Letter {
    Letter {
        id: Uuid::from_u128(7),
        email: "ada@example.com".to_owned(),
        display_name: Line::of("Ada Lovelace"),
        subject: Line::of("We have your order 7"),
        body: "Hello Ada,\n\nTotal: 1.00 EUR.\n".to_owned(),
        written_at: UnixTime::from_seconds(784_887_151),
    }
}

fn compose(letter: &Letter) -> Result<String, MailError> {
    let sender = "shop@shop.example".parse().unwrap();
    super::compose(letter, &sender).map(|message| String::from_utf8(message.formatted()).unwrap())
}

#[test]
fn a_letter_is_plain_text_with_the_headers_it_needs() {
    let text = compose(&letter()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    for line in [
        "Message-ID: <00000000-0000-0000-0000-000000000007@shop.example>",
        "Date: Tue, 15 Nov 1994 08:12:31 +0000",
        "From: \"The shop\" <shop@shop.example>",
        "To: \"Ada Lovelace\" <ada@example.com>",
        "Subject: We have your order 7",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
    ] {
        assert!(head.lines().any(|found| found == line), "{line} is not in:\n{head}");
    }
    assert_eq!(body.trim_end(), "Hello Ada,\r\n\r\nTotal: 1.00 EUR.");
    assert_eq!(compose(&letter()).unwrap(), text, "a repeat is the same, byte for byte");
}

#[test]
fn nothing_in_a_letter_becomes_a_header() {
    let evil = "Ada\r\nBcc: eve@example.com\r\n\r\n<b>";
    let check = |letter: Letter| {
        let text = compose(&letter).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split_once(':').map_or(line, |(name, _)| name))
            .collect();
        let mut known = vec!["Message-ID", "Date", "From", "To", "Subject", "MIME-Version"];
        known.extend(["Content-Type", "Content-Transfer-Encoding"]);
        assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
        assert!(text.is_ascii() && !text.replace("\r\n", "").contains(['\r', '\n']));
    };
    check(Letter { display_name: Line::of(evil), ..letter() });
    check(Letter { subject: Line::of(evil), ..letter() });
    check(Letter { body: evil.to_owned(), ..letter() });
    check(Letter { display_name: Line::of(&"Ζωή \"🌊\" \\".repeat(15)), ..letter() });
    check(Letter {
        display_name: Line::of(&"a".repeat(200)),
        subject: Line::of(&"b".repeat(200)),
        ..letter()
    });
    check(Letter { display_name: Line::of(""), body: "c".repeat(5000), ..letter() });
    for email in ["", "ada", "ada@example.com\r\nBcc: eve@example.com", "ada@example.com, eve@b.c"]
    {
        let error = compose(&Letter { email: email.to_owned(), ..letter() }).unwrap_err();
        assert!(!error.is_passing(), "{email:?}: {error}");
    }
}

#[tokio::test]
async fn a_directory_has_each_letter_once_and_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep").join("mail");
    let mailer = Mailer::try_new(&format!("file:{}", path.display()), "shop@shop.example").unwrap();
    for _ in 0..3 {
        mailer.deliver(&letter(), LIMIT).await.unwrap();
    }
    let other = Letter { id: Uuid::from_u128(8), ..letter() };
    mailer.deliver(&other, LIMIT).await.unwrap();
    let mut names: Vec<String> = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [letter().id, other.id].map(|id| format!("{id}.eml"));
    assert_eq!(names, expected, "no drafts are left");
    let file = path.join(&expected[0]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), compose(&letter()).unwrap());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_directory_that_went_away_is_a_passing_failure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail");
    let way = format!("file:{}", path.display());
    let mailer = Mailer::try_new(&way, "shop@shop.example").unwrap();
    std::fs::remove_dir(&path).unwrap();
    let error = mailer.deliver(&letter(), LIMIT).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    let taken = directory.path().join("file");
    std::fs::write(&taken, "").unwrap();
    let error = Mailer::try_new(&format!("file:{}", taken.display()), "shop@shop.example");
    assert!(!error.err().unwrap().is_usage());
}

#[tokio::test]
async fn a_server_that_is_not_there_or_says_nothing_is_a_passing_failure() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = format!("smtp://{}", listener.local_addr().unwrap());
    let mailer = Mailer::try_new(&way, "shop@shop.example").unwrap();
    let silent = mailer.deliver(&letter(), Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(silent, MailError::Timeout) && silent.is_passing());
    drop(listener);
    let away = mailer.deliver(&letter(), LIMIT).await.unwrap_err();
    assert!(matches!(away, MailError::Smtp(_)) && away.is_passing(), "{away}");
}

#[test]
fn servers_have_a_host_and_a_port() {
    let check = |text: &str, known: bool| {
        assert_eq!(SmtpServer::parse(text).is_some(), known, "{text:?}");
    };
    check("localhost:25", true);
    check("mail.example.com:2525", true);
    check("127.0.0.1:25", true);
    check("[::1]:25", true);
    for text in ["", ":25", "host", "host:", "host:0", "host:65536", "::1:25", "[::g]:25", "a b:25"]
    {
        check(text, false);
    }
    check("user:secret@host:25", false);
    check("host:25/path", false);
}
