use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::super::registry::compile_one;
use super::super::testing::{Asking, PolicyAnswer, ask, of_route};
use super::super::{Policy, PolicyFault};

/// Passwords of the users in this order: secret, hunter2, token.
fn file() -> String {
    let digest = STANDARD.encode(Sha256::digest(b"token"));
    let bcrypt = bcrypt::hash("secret", 4).unwrap();
    let argon = Argon2::default().hash_password(b"hunter2").unwrap();
    format!("ada:{bcrypt}\nbob:{argon}\nrobot:{{SHA256}}{digest}\n")
}

struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new(file: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("users"), file).unwrap();
        Self { directory }
    }

    fn compile(&self, more: &str) -> Result<Policy, PolicyFault> {
        let path = self.directory.path().join("users");
        compile_one(&of_route(&format!("basicAuth: {{file: {}{more}}}", path.display())))
    }
}

fn login(policy: &Policy, user: &str) -> PolicyAnswer {
    let line = format!("Basic {}", STANDARD.encode(user));
    ask(policy, &Asking::new("GET /", &[("authorization", &line), ("x-user", "root")]))
}

#[test]
fn each_form_of_hash_lets_its_password_in_and_no_other() {
    let policy = Fixture::new(&file()).compile("").unwrap();
    const WRONG: &str = "unauthenticated: CredentialsWrong";
    for (user, verdict, questions) in [
        ("ada:secret", "pass", 1),
        ("ada:secret", "pass", 0),
        ("ada:Secret", WRONG, 1),
        ("ada:", WRONG, 1),
        ("bob:hunter2", "pass", 1),
        ("bob:hunter2", "pass", 0),
        ("bob:secret", WRONG, 1),
        ("robot:token", "pass", 0),
        ("robot:tokens", WRONG, 1),
        ("nobody:secret", WRONG, 1),
        ("nobody:", WRONG, 1),
    ] {
        let found = login(&policy, user);
        assert_eq!((found.verdict.as_str(), found.questions), (verdict, questions), "{user}");
        let challenge = "www-authenticate: Basic realm=\"restricted\", charset=\"UTF-8\"|";
        assert_eq!(found.response, if verdict == "pass" { "" } else { challenge }, "{user}");
        let stays = found.lists.request.drops(b"authorization", crate::message::Known::Other);
        assert_eq!(stays, verdict == "pass", "the password does not go up");
    }
}

#[test]
fn other_schemes_and_no_credentials_are_challenged() {
    let policy = Fixture::new(&file()).compile(", realm: back office").unwrap();
    for (lines, rule) in [
        (vec![], "CredentialsMissing"),
        (vec![("authorization", "Bearer abc")], "CredentialsForm"),
        (vec![("authorization", "Basic YWRhOnNlY3JldA=="); 2], "CredentialsForm"),
    ] {
        let found = ask(&policy, &Asking::new("GET /", &lines));
        assert_eq!(found.verdict, format!("unauthenticated: {rule}"));
        assert!(found.response.contains("realm=\"back office\""), "{}", found.response);
        assert_eq!(found.questions, 0);
    }
}

#[test]
fn the_user_goes_up_where_that_is_asked_for_and_no_client_can_say_it() {
    let fixture = Fixture::new(&file());
    let policy = fixture.compile(", forwardUser: x-user, stripCredentials: false").unwrap();
    let found = login(&policy, "robot:token");
    assert_eq!(found.request, "x-user: robot|");
    let drops = |name: &[u8]| found.lists.request.drops(name, crate::message::Known::Other);
    assert!(drops(b"X-User") && !drops(b"authorization"));
    let found = login(&policy, "robot:wrong");
    assert_eq!(found.request, "");
    assert!(found.lists.request.drops(b"x-user", crate::message::Known::Other));
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_line() {
    let wrong = Fixture::new("ada:plain\n").compile("").unwrap_err().to_string();
    assert!(wrong.contains("users:1: "), "{wrong}");
    let fixture = Fixture::new("");
    std::fs::remove_file(fixture.directory.path().join("users")).unwrap();
    let missing = fixture.compile("").unwrap_err().to_string();
    assert!(missing.contains("users: No such file"), "{missing}");
}
