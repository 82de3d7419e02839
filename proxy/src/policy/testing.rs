//! Requests for the tests of policies, and what a policy made of them, as text.

use std::net::IpAddr;

use portcullis_config::policy::Policies;

use super::Policy;
use super::judge::{Inspected, Lists, Question, Verdict};
use crate::http1::request::{RequestRules, parse_request};
use crate::message::{RequestHead, RequestParts};

/// The policies of a route on which these lines of YAML stand.
pub(crate) fn of_route(yaml: &str) -> Policies {
    let text = format!(
        "version: v1\nlisteners: [{{name: front, address: \"127.0.0.1:0\"}}]\n\
         routes:\n  - name: all\n    reply: {{status: 200}}\n    {yaml}\n"
    );
    let loaded = portcullis_config::parse_str("policy.yaml", &text);
    let loaded = loaded.unwrap_or_else(|failed| panic!("{failed:?} in\n{text}"));
    loaded.config.routes[0].policies.at(portcullis_config::model::ListenerId(0)).clone()
}

/// A request in text, and where it comes from.
pub(crate) struct Asking {
    text: String,
    parts: RequestParts,
    client: Option<IpAddr>,
    tls: bool,
}

impl Asking {
    /// `start` is method and path.
    pub(crate) fn new(start: &str, lines: &[(&str, &str)]) -> Self {
        let lines: String =
            lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("{start} HTTP/1.1\r\nhost: a.test\r\n{lines}\r\n");
        let rules = RequestRules {
            head_bytes: 8192,
            uri_bytes: 1024,
            headers: 50,
            underscores: portcullis_config::model::Underscores::Reject,
        };
        let mut parts = RequestParts::default();
        parse_request(text.as_bytes(), &rules, &mut parts).expect("a head in order");
        Self { text, parts, client: None, tls: false }
    }

    pub(crate) fn from(mut self, client: &str) -> Self {
        self.client = Some(client.parse().expect("an address"));
        self
    }

    pub(crate) fn over_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    fn inspected(&self) -> Inspected<'_> {
        let head = RequestHead { bytes: self.text.as_bytes(), parts: &self.parts };
        Inspected { head, host: b"a.test", path: head.path(), client: self.client, tls: self.tls }
    }
}

/// What came of it: `pass`, or the reason of a refusal or an answer; questions are answered here.
pub(crate) struct PolicyAnswer {
    pub(crate) verdict: String,
    /// What the upstream is sent besides.
    pub(crate) request: String,
    /// What the client is answered with besides.
    pub(crate) response: String,
    /// How often it asked.
    pub(crate) questions: usize,
    pub(crate) lists: Lists,
}

pub(crate) fn ask(policy: &Policy, asking: &Asking) -> PolicyAnswer {
    let mut lists = Lists::default();
    let request = asking.inspected();
    let mut verdict = policy.judge(&request, &mut lists);
    let mut questions = 0;
    while let Verdict::Ask(Question::Compute(work)) = verdict {
        questions += 1;
        verdict = policy.resume(&request, &mut lists, work());
    }
    let verdict = match verdict {
        Verdict::Pass => "pass".to_owned(),
        Verdict::Refuse(cause) => match cause.rule {
            Some(rule) => format!("{}: {rule:?}", cause.reason.label()),
            None => cause.reason.label().to_owned(),
        },
        Verdict::Answer(reason) => reason.label().to_owned(),
        Verdict::Ask(_) => unreachable!("every question was answered"),
    };
    let text = |lines: &[u8]| String::from_utf8_lossy(lines).replace("\r\n", "|");
    let (request, response) = (text(lists.request.lines()), text(lists.response.lines()));
    PolicyAnswer { verdict, request, response, questions, lists }
}
