use super::*;

const BCRYPT: &str = "$2y$10$rT8XfMWbPhKzIutowDBwd.//SxEd0i8H/JyjAvkJ/ts66MxHPYP4y";
const ARGON2ID: &str = "$argon2id$v=19$m=19456,t=2,p=1$yroSkCDou14Pr9cFETB6bA$71whEINg4wfs3HDvGTwUEuFDuCe37adjnaRGA3oZE0Y";
const SHA256: &str = "{SHA256}qHv7YFNKbkaMFrFFcCVjE31h3hyOZUcJRtQU/CMbPDM=";

/// What is wrong with one line, or the hash as it may be shown.
fn judge(line: &str) -> Result<String, Fault> {
    match parse(line.as_bytes()) {
        Ok(passwords) => Ok(format!("{:?}", passwords.iter().next().unwrap().1)),
        Err(errors) => {
            assert_eq!((errors.len(), errors[0].line), (1, Some(1)), "{line}");
            Err(errors[0].fault.clone())
        }
    }
}

#[test]
fn accepted_hashes() {
    let argon2id = |costs: &str| ARGON2ID.replace("m=19456,t=2,p=1", costs);
    for (hash, shown) in [
        (BCRYPT.to_owned(), "Bcrypt(cost 10)"),
        (BCRYPT.replace("$2y$10", "$2b$04"), "Bcrypt(cost 4)"),
        (BCRYPT.replace("$2y$10", "$2a$14"), "Bcrypt(cost 14)"),
        (ARGON2ID.to_owned(), "Argon2id(19456 KiB, 2 iterations, 1 lanes)"),
        (argon2id("m=65536,t=10,p=16"), "Argon2id(65536 KiB, 10 iterations, 16 lanes)"),
        (argon2id("m=8,t=1,p=1"), "Argon2id(8 KiB, 1 iterations, 1 lanes)"),
        (SHA256.to_owned(), "Sha256"),
    ] {
        assert_eq!(judge(&format!("alice:{hash}")).as_deref(), Ok(shown), "{hash}");
    }
}

#[test]
fn refused_hashes() {
    let bcrypt = |from: &str, to: &str| BCRYPT.replacen(from, to, 1);
    let argon2id = |from: &str, to: &str| ARGON2ID.replacen(from, to, 1);
    for (hash, fault) in [
        (String::new(), Fault::Plain),
        ("swordfish".to_owned(), Fault::Plain),
        ("rqXexS6ZhobKA".to_owned(), Fault::Plain),
        ("$apr1$6CDG1jjR$2Vyl".to_owned(), Fault::Unsupported("MD5")),
        ("$1$abc$def".to_owned(), Fault::Unsupported("MD5")),
        ("$5$abc$def".to_owned(), Fault::Unsupported("SHA-256 crypt")),
        ("$6$abc$def".to_owned(), Fault::Unsupported("SHA-512 crypt")),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".to_owned(), Fault::Unsupported("SHA-1")),
        ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".to_owned(), Fault::Unsupported("SHA-1")),
        ("{PLAIN}swordfish".to_owned(), Fault::Unsupported("an unknown function")),
        ("$new$abc".to_owned(), Fault::Unsupported("an unknown function")),
        (bcrypt("$2y$", "$2x$"), Fault::Unsupported("a bcrypt that some systems computed wrongly")),
        (argon2id("argon2id", "argon2i"), Fault::Unsupported("argon2i")),
        (argon2id("argon2id", "argon2d"), Fault::Unsupported("argon2d")),
        (bcrypt("$10$", "$03$"), Fault::BcryptCost(3)),
        (bcrypt("$10$", "$15$"), Fault::BcryptCost(15)),
        (bcrypt("$10$", "$31$"), Fault::BcryptCost(31)),
        (bcrypt("$10$", "$+9$"), Fault::Bcrypt),
        (bcrypt("$10$", "$9$"), Fault::Bcrypt),
        (bcrypt("$10$", "$"), Fault::Bcrypt),
        (format!("{BCRYPT}y"), Fault::Bcrypt),
        (format!("{BCRYPT}:a comment"), Fault::Bcrypt),
        (BCRYPT[..59].to_owned(), Fault::Bcrypt),
        (bcrypt("rT8", "rT="), Fault::Bcrypt),
        (argon2id("m=19456", "m=65537"), Fault::Argon2Memory(65_537)),
        (argon2id("t=2", "t=11"), Fault::Argon2Iterations(11)),
        (argon2id("p=1", "p=17"), Fault::Argon2Lanes(17)),
        (argon2id("v=19", "v=16"), Fault::Argon2Version),
        (argon2id("v=19$", ""), Fault::Argon2Version),
        (argon2id("t=2", "t=0"), Fault::Argon2),
        (argon2id("p=1", "p=0"), Fault::Argon2),
        (argon2id("m=19456", "m=7"), Fault::Argon2),
        (argon2id("m=19456", "m=019456"), Fault::Argon2),
        (argon2id("m=19456", "m=99999999999"), Fault::Argon2),
        (argon2id("m=19456,t=2", "t=2,m=19456"), Fault::Argon2),
        (argon2id("p=1", "p=1,keyid=a"), Fault::Argon2),
        (argon2id("yroSkCDou14Pr9cFETB6bA", "yroSkCDo"), Fault::Argon2),
        (argon2id("yroSkCDou14Pr9cFETB6bA", "yroSkCDou14Pr9cFETB6bB"), Fault::Argon2),
        (argon2id("71wh", "71w!"), Fault::Argon2),
        (format!("{ARGON2ID}="), Fault::Argon2),
        (format!("{ARGON2ID}$x"), Fault::Argon2),
        (SHA256.replace("DM=", "DM"), Fault::Sha256),
        (SHA256.replace("qHv7", ""), Fault::Sha256),
        (format!("{SHA256} "), Fault::Sha256),
    ] {
        assert_eq!(judge(&format!("alice:{hash}")), Err(fault), "{hash}");
    }
}

#[test]
fn lines_and_names() {
    for (line, fault) in [
        ("alice".to_owned(), Fault::NoColon),
        (format!(":{BCRYPT}"), Fault::User),
        (format!(" alice:{BCRYPT}"), Fault::User),
        (format!("alice :{BCRYPT}"), Fault::User),
        (format!("{}:{BCRYPT}", "a".repeat(256)), Fault::User),
        (format!("alice:{}", "a".repeat(1_024)), Fault::LineTooLong),
        (format!("al\tice:{BCRYPT}"), Fault::NotAscii),
        (format!("\u{fc}:{BCRYPT}"), Fault::NotAscii),
        (format!("\u{feff}alice:{BCRYPT}"), Fault::NotAscii),
    ] {
        assert_eq!(judge(&line), Err(fault), "{line}");
    }
    for user in ["a", "alice@shop.example", "Alice B. C.", &"a".repeat(255)] {
        let passwords = parse(format!("{user}:{BCRYPT}").as_bytes()).unwrap();
        assert!(passwords.find(user).is_some() && passwords.find("other").is_none());
    }
}

#[test]
fn every_wrong_line_is_reported_with_its_number() {
    let text = format!(
        "# users\r\n\r\nalice:{BCRYPT}\r\n   \nbob\nalice:{ARGON2ID}\n# :\ncarol:secret\ndave:{SHA256}"
    );
    let errors = parse(text.as_bytes()).unwrap_err();
    let found: Vec<_> = errors.iter().map(|one| (one.line.unwrap(), &one.fault)).collect();
    let expected = [(5, &Fault::NoColon), (6, &Fault::Twice { first: 3 }), (8, &Fault::Plain)];
    assert_eq!(found, expected);
    let right = text.replace("bob\n", "").replace("alice:$argon", "bob:$argon");
    let right = right.replace("carol:secret\n", "");
    let passwords = parse(right.as_bytes()).unwrap();
    let mut users: Vec<_> = passwords.iter().map(|(user, _)| user).collect();
    users.sort_unstable();
    assert_eq!(users, ["alice", "bob", "dave"]);
    assert!(
        matches!(passwords.find("bob"), Some(PasswordHash::Argon2id { text, .. }) if text.expose() == ARGON2ID)
    );
}

#[test]
fn files_are_bounded() {
    let whole = |text: &[u8]| {
        let errors = parse(text).unwrap_err();
        assert_eq!((errors.len(), errors[0].line), (1, None));
        errors[0].fault.clone()
    };
    assert_eq!(whole(b""), Fault::NoUser);
    assert_eq!(whole(b"# nobody\n\n"), Fault::NoUser);
    let limit = usize::try_from(FILE_BYTES).unwrap();
    assert_eq!(whole(&vec![b'\n'; limit + 1]), Fault::TooLarge);
    let users =
        |count: usize| (0..count).map(|one| format!("user{one}:{SHA256}\n")).collect::<String>();
    assert_eq!(parse(users(USERS).as_bytes()).unwrap().iter().count(), USERS);
    assert_eq!(whole(users(USERS + 1).as_bytes()), Fault::TooManyUsers);
    let errors = parse("wrong\n".repeat(50).as_bytes()).unwrap_err();
    assert_eq!(errors.len(), REPORTED + 1);
    assert_eq!(errors[REPORTED], LineError { line: None, fault: Fault::More(30) });
}

#[test]
fn nothing_of_the_file_is_shown() {
    let text = format!("alice:{BCRYPT}\nbob:{ARGON2ID}\ncarol:{SHA256}\n");
    let passwords = parse(text.as_bytes()).unwrap();
    assert_eq!(format!("{passwords:?}"), "Passwords(3 users)");
    let hashes: Vec<_> = passwords.iter().map(|(_, hash)| format!("{hash:?}")).collect();
    let shown = hashes.join(" ");
    assert!(
        !shown.contains("rT8X") && !shown.contains("yroS") && !shown.contains("168"),
        "{shown}"
    );
    let wrong = parse(b"hunter2\nalice:hunter2\n$apr1$hunter2:$apr1$hunter2\n").unwrap_err();
    for one in wrong {
        let shown = format!("{one} {one:?} {}", one.help());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
