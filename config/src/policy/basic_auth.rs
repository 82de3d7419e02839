//! Users and passwords of HTTP's own login (RFC 7617).
//!
//! It knows which file has them and how one reads it, and neither opens it nor checks a password.

use serde_json::{Value, json};

use super::Policy;
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{FileRef, Location, Sourced};
use crate::model::{ListenAddress, Listener, ListenerKind, Trust};
use crate::raw::addresses::FilePath;
use crate::raw::scalars::Flag;
use crate::raw::shape::{object, scalar};
use crate::raw::texts::EditedHeader;
use crate::suggest::foreign::{Cure, Entry};
use crate::values::HeaderName;

const REALM: &str = "restricted";
const REALM_BYTES: usize = 100;

/// Who may use a route, and what the upstream learns of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicAuth {
    /// Read by [`passwords::parse`](crate::passwords::parse).
    pub file: FileRef,
    /// Fit to stand between quotes as it is.
    pub realm: String,
    /// Which header tells the upstream the name of the user; the client's own is removed.
    pub forward_user: Option<HeaderName>,
    /// Whether `authorization` is kept from the upstream.
    pub strip_credentials: bool,
}

object! {
    /// Users and passwords from a file.
    BasicAuthKeys, "`basicAuth`" {
        /// File with a line for each user, as `htpasswd -B` writes it.
        file: required FilePath = "file",
        /// What clients show beside the question for the password; default: `restricted`.
        realm: optional Realm = "realm",
        /// A header that tells the upstream the name of the user; default: none.
        forward_user: optional EditedHeader = "forwardUser",
        /// Whether `authorization` is kept from the upstream; default: `true`.
        strip_credentials: optional Flag = "stripCredentials",
    }
}

scalar! {
    /// Printable ASCII without `"` and `\`, at most 100 characters.
    Realm: String = |node, reader| {
        let text = reader.text(node, "a text")?;
        let fits = |byte: u8| (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte);
        if text.is_empty() || text.len() > REALM_BYTES || !text.bytes().all(fits) {
            let message =
                "a realm is printable ASCII without `\"` and `\\`, at most 100 characters";
            reader.error(&node.location, message);
            return None;
        }
        Some(text.to_owned())
    }, {"type": "string", "title": "text", "minLength": 1}
}

/// Names with a meaning of their own, of which the proxy or the client writes the line.
fn is_own(name: &str) -> bool {
    const OWN: [&str; 10] = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-client-cert",
        "forwarded",
        "x-request-id",
        "traceparent",
        "tracestate",
        "content-type",
    ];
    OWN.contains(&name)
}

impl Policy for BasicAuth {
    type Keys = BasicAuthKeys;

    #[rustfmt::skip]
    const FOREIGN: &'static [Entry] = &[
        ("the configuration", &["basicAuth", "userlist", "userlists"], Cure::Key("defaults.basicAuth", "`basicAuth: {file: ...}` at a route, at a listener or in `defaults`")),
        ("a route", &["authBasic", "authBasicUserFile", "httpBasicAuth", "htpasswd", "users"], Cure::Key("routes.basicAuth", "`basicAuth: {file: users.htpasswd}`")),
        ("a listener", &["authBasic", "authBasicUserFile", "auth", "users"], Cure::Key("listeners.basicAuth", "`basicAuth: {file: users.htpasswd}`")),
        ("`basicAuth`", &["usersFile", "userFile", "authBasicUserFile", "htpasswd", "path", "secret"], Cure::Key("routes.basicAuth.file", "`file: users.htpasswd`")),
        ("`basicAuth`", &["users", "user", "accounts", "username", "password", "credentials"], Cure::Key("routes.basicAuth.file", "passwords do not stand in the configuration: `file: users.htpasswd`")),
        ("`basicAuth`", &["headerField", "userHeader", "forwardUsernameHeader", "usernameHeader"], Cure::Key("routes.basicAuth.forwardUser", "`forwardUser: x-user`")),
        ("`basicAuth`", &["removeHeader", "hideCredentials"], Cure::Key("routes.basicAuth.stripCredentials", "`stripCredentials: true`, which is the default")),
        ("`basicAuth`", &["keepCredentials", "forwardCredentials"], Cure::Key("routes.basicAuth.stripCredentials", "`stripCredentials: false`")),
    ];

    #[cfg(test)]
    const LEAST: &'static str = r#"{"file": "users.htpasswd"}"#;

    fn lower(keys: &BasicAuthKeys, _: &Location, report: &mut Report) -> Option<Self> {
        let forward_user = keys.forward_user.as_ref();
        if let Some(name) = forward_user.filter(|name| name.value.as_str() == "authorization") {
            let message = "`authorization` holds the password: it does not name the user alone";
            report.push(
                Diagnostic::error(name.location.clone(), message)
                    .help("`forwardUser: x-user`, or `stripCredentials: false` to hand it on"),
            );
            return None;
        }
        if let Some(name) = forward_user.filter(|name| is_own(name.value.as_str())) {
            let message = format!("`{}` is written by the proxy itself", name.value.as_str());
            report.push(
                Diagnostic::error(name.location.clone(), message).help("`forwardUser: x-user`"),
            );
            return None;
        }
        Some(Self {
            file: keys.file.as_ref()?.value.clone(),
            realm: keys.realm.as_ref().map_or_else(|| REALM.to_owned(), |one| one.value.clone()),
            forward_user: forward_user.map(|one| one.value.clone()),
            strip_credentials: keys.strip_credentials.as_ref().is_none_or(|one| one.value),
        })
    }

    fn show(&self) -> Value {
        let mut shown = json!({
            "file": self.file.path.to_string_lossy(),
            "realm": self.realm,
            "stripCredentials": self.strip_credentials,
        });
        if let Some(name) = &self.forward_user {
            shown["forwardUser"] = json!(name.as_str());
        }
        shown
    }

    fn files(&self) -> Vec<&FileRef> {
        vec![&self.file]
    }

    fn check(policy: &Sourced<Self>, listener: &Listener, report: &mut Report) {
        let ListenerKind::Http(http) = &listener.kind else { return };
        let local = match &listener.address {
            ListenAddress::Tcp { address, .. } => address.ip().is_loopback(),
            ListenAddress::Unix(_) => true,
        };
        // A trusted proxy in front may be the end of TLS.
        if http.tls.is_some() || http.trust != Trust::None || local {
            return;
        }
        let message = format!("passwords come in clear text by the listener `{}`", listener.name);
        report.push(
            Diagnostic::warning(policy.origin.place().cloned(), message)
                .related(listener.location.clone(), "it has no `tls`")
                .help("give it `tls`, or list the proxy that ends TLS in `trustedProxies`"),
        );
    }
}
