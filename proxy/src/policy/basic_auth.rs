//! Users and passwords of the Basic scheme (RFC 7617), checked against a file of hashes.
//!
//! A hash is slow on purpose, so other threads compute it, once for each correct password. After
//! that, its keyed fingerprint is kept while the file is unchanged. An unknown user costs as much time
//! as a known one.

mod credentials;
mod known;
mod verify;

use std::sync::Arc;

use portcullis_config::passwords::{self, LineError, Passwords};
use portcullis_config::policy::basic_auth::BasicAuth as Settings;
use portcullis_config::values::HeaderName;
use sha2::{Digest, Sha256};

use self::credentials::Credentials;
use self::known::VerifiedPasswords;
use self::verify::{HashedUser, decoy, is_quick, verify};
use super::PolicyFault;
use super::judge::{Answer, Inspected, Judge, Lists, Question, Verdict};
use crate::cause::Rule;
use crate::error::Reason;
use crate::message::Fields;

#[derive(Debug)]
pub struct BasicAuth {
    settings: Settings,
    challenge: Box<str>,
    passwords: Passwords,
    /// The hash that an unknown user is checked against.
    decoy: HashedUser,
    known: Arc<VerifiedPasswords>,
    /// Of what was read, so that a reload which finds the same keeps what is known.
    digest: [u8; 32],
}

impl Judge for BasicAuth {
    const NAME: &'static str = "basicAuth";
    type Settings = Settings;

    fn compile(settings: &Settings, before: Option<&Self>) -> Result<Self, PolicyFault> {
        let text = read(settings)?;
        let passwords = passwords::parse(&text).map_err(|errors| fault(settings, &errors))?;
        let digest = Sha256::digest(&text).into();
        let same = before.filter(|before| before.digest == digest);
        Ok(Self {
            challenge: format!("Basic realm=\"{}\", charset=\"UTF-8\"", settings.realm).into(),
            decoy: decoy(&passwords),
            known: same.map_or_else(Arc::default, |before| Arc::clone(&before.known)),
            settings: settings.clone(),
            passwords,
            digest,
        })
    }

    fn identity_header(&self) -> Option<&str> {
        self.settings.forward_user.as_ref().map(HeaderName::as_str)
    }

    fn judge(&self, request: &Inspected<'_>, lists: &mut Lists) -> Verdict {
        if let Some(name) = self.identity_header() {
            lists.request.remove(name);
        }
        let credentials = match self.credentials(request) {
            Ok(credentials) => credentials,
            Err(rule) => return self.refuse(rule, lists),
        };
        if self.known.contains(&credentials) {
            return self.pass(&credentials, lists);
        }
        let (found, entry) = match self.passwords.find(credentials.user()) {
            Some(hash) => (true, HashedUser::of(hash)),
            None => (false, self.decoy.clone()),
        };
        if is_quick(&entry) && verify(&entry, credentials.password()) && found {
            return self.pass(&credentials, lists);
        }
        if is_quick(&self.decoy) {
            return self.refuse(Rule::CredentialsWrong, lists);
        }
        // An entry that is quick to check would tell by its time that it is there.
        let (found, entry) = match is_quick(&entry) {
            true => (false, self.decoy.clone()),
            false => (found, entry),
        };
        let known = Arc::clone(&self.known);
        Verdict::Ask(Question::Compute(Box::new(move || {
            // Others may have asked the same while this one waited.
            if known.contains(&credentials) {
                return Answer::Yes;
            }
            let is_right = verify(&entry, credentials.password()) && found;
            if is_right {
                known.remember(&credentials);
            }
            if is_right { Answer::Yes } else { Answer::No }
        })))
    }

    fn resume(&self, request: &Inspected<'_>, lists: &mut Lists, answer: Answer) -> Verdict {
        match (answer, self.credentials(request)) {
            (Answer::Yes, Ok(credentials)) => self.pass(&credentials, lists),
            (Answer::Yes, Err(rule)) => self.refuse(rule, lists),
            (Answer::Unknown, Ok(credentials)) if self.known.contains(&credentials) => {
                self.pass(&credentials, lists)
            }
            (Answer::No, _) => self.refuse(Rule::CredentialsWrong, lists),
            (Answer::Unknown, _) => Verdict::Refuse(Reason::AuthUnavailable.into()),
        }
    }
}

impl BasicAuth {
    fn credentials(&self, request: &Inspected<'_>) -> Result<Credentials, Rule> {
        let fields: Fields<'_> = request.head.fields();
        let mut lines = fields.all("authorization");
        let Some(line) = lines.next() else { return Err(Rule::CredentialsMissing) };
        if lines.next().is_some() {
            return Err(Rule::CredentialsForm);
        }
        Credentials::parse(line).ok_or(Rule::CredentialsForm)
    }

    fn pass(&self, credentials: &Credentials, lists: &mut Lists) -> Verdict {
        if self.settings.strip_credentials {
            lists.request.remove("authorization");
        }
        if let Some(name) = &self.settings.forward_user {
            lists.request.set(name.as_str(), &[credentials.user().as_bytes()]);
        }
        Verdict::Pass
    }

    fn refuse(&self, rule: Rule, lists: &mut Lists) -> Verdict {
        lists.response.set("www-authenticate", &[self.challenge.as_bytes()]);
        Verdict::refuse(rule)
    }
}

/// Reads the file up to its limit and one byte more, which shows that it is too long.
fn read(settings: &Settings) -> Result<Vec<u8>, PolicyFault> {
    use std::io::Read as _;
    let mut text = Vec::new();
    // Opening a pipe would wait for its writer.
    if std::fs::metadata(&settings.file.path).is_ok_and(|it| !it.is_file()) {
        return Err(unreadable(settings, "it is not a regular file".to_owned()));
    }
    let file = std::fs::File::open(&settings.file.path);
    let read = file.and_then(|file| file.take(passwords::FILE_BYTES + 1).read_to_end(&mut text));
    match read {
        Ok(_) if text.len() as u64 > passwords::FILE_BYTES => {
            let limit = passwords::FILE_BYTES >> 20;
            Err(unreadable(settings, format!("it is larger than {limit} MiB")))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(unreadable(settings, error.to_string())),
    }
}

fn unreadable(settings: &Settings, what: String) -> PolicyFault {
    PolicyFault::Unusable {
        policy: BasicAuth::NAME,
        fault: format!("{}: {what}", settings.file.path.display()),
    }
}

fn fault(settings: &Settings, errors: &[LineError]) -> PolicyFault {
    let path = settings.file.path.display();
    let lines = errors.iter().map(|error| match error.line {
        Some(line) => format!("{path}:{line}: {error} ({})", error.help()),
        None => format!("{path}: {error} ({})", error.help()),
    });
    PolicyFault::Unusable { policy: BasicAuth::NAME, fault: lines.collect::<Vec<_>>().join("; ") }
}

#[cfg(test)]
mod tests;
