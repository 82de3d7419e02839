//! What the configuration asks of the log, made ready once for each generation.

use portcullis_config::model::{AccessLog, AccessLogSink};

use super::escape::escape;
use super::record::Record;
use super::secret::is_secret_header;
use super::tunnel::TunnelRecord;
use crate::error::{Fault, Reason};

/// What is logged, and of which requests. Part of a snapshot.
#[derive(Debug, Clone)]
pub struct LogFormat {
    enabled: bool,
    pub(super) timeline: bool,
    /// Of a million.
    share: u32,
    pub(super) headers: Box<[LoggedHeader]>,
}

/// A request header that the configuration names.
#[derive(Debug, Clone)]
pub(super) struct LoggedHeader {
    pub(super) name: Box<str>,
    /// `,"name":"`, ready to be copied.
    pub(super) key: Box<[u8]>,
    pub(super) secret: bool,
}

impl LogFormat {
    pub fn new(config: &AccessLog) -> Self {
        // A name that stands twice would be a key that stands twice.
        let first = |(at, name)| (!config.headers[..at].contains(name)).then_some(name);
        let headers = config.headers.iter().enumerate().filter_map(first).map(|name| {
            let mut key = b",\"".to_vec();
            escape(&mut key, name.as_str().as_bytes());
            key.extend_from_slice(b"\":\"");
            LoggedHeader {
                name: name.as_str().into(),
                key: key.into(),
                secret: is_secret_header(name.as_str()),
            }
        });
        Self {
            enabled: config.sink != AccessLogSink::Disabled,
            timeline: config.timeline,
            share: config.sample.millionths(),
            headers: headers.collect(),
        }
    }

    /// Failures are logged whatever the sample: they are what a log is read for, and their number
    /// is no client's to choose. A client's own mistakes are sampled like everything else.
    pub(super) fn wants(&self, record: &Record<'_>, draw: impl FnOnce(u32) -> u32) -> bool {
        self.takes(is_failure(record.reason, record.status), draw)
    }

    /// The same of a connection whose bytes were passed on.
    pub(super) fn wants_tunnel(
        &self,
        record: &TunnelRecord<'_>,
        draw: impl FnOnce(u32) -> u32,
    ) -> bool {
        self.takes(is_failure(record.reason, 0), draw)
    }

    fn takes(&self, failure: bool, draw: impl FnOnce(u32) -> u32) -> bool {
        self.enabled && (self.share >= WHOLE || failure || draw(WHOLE) < self.share)
    }
}

const WHOLE: u32 = 1_000_000;

fn is_failure(reason: Option<Reason>, status: u16) -> bool {
    match reason {
        Some(reason) => reason.fault() != Fault::Client && reason.status() >= 500,
        None => status >= 500,
    }
}
