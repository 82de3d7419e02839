//! The head of an upstream's final response.

use crate::buffer::Buffer;
use crate::error::Reason;
use crate::http1::request::Parsed;
use crate::http1::response::{ResponseRules, parse_response};
use crate::http1::scan::HeadScanner;
use crate::http1::simple::write_informational;
use crate::io::Io;
use crate::message::{ResponseHead, ResponseParts, Version};
use crate::relay::request::UploadCounters;
use crate::relay::{Stage, Watch, read_some};
use crate::worker::Worker;

/// More interim responses than this are no answer (RFC 9110 sets no bound).
const MAX_INTERIM: u32 = 16;
/// What an upstream's head may be: as generous as a listener may be set.
const RESPONSE_RULES: ResponseRules = ResponseRules { head_bytes: 60 * 1024, headers: 256 };

/// Reads the final response's head, passing interim ones on.
pub(super) struct HeadReader<'a> {
    pub(super) upstream: &'a Io,
    pub(super) client: &'a Io,
    pub(super) worker: &'a Worker,
    pub(super) client_version: Version,
    pub(super) method: &'a [u8],
    pub(super) client_patience: std::time::Duration,
    pub(super) watch: &'a Watch<'a>,
    pub(super) counters: &'a UploadCounters,
}

impl HeadReader<'_> {
    pub(super) async fn read(&self, response: &mut ResponseParts) -> Result<Buffer, Reason> {
        let rules = RESPONSE_RULES;
        let limits = rules.limits();
        let mut scanner = HeadScanner::default();
        let mut slot: Option<Buffer> = None;
        let mut interim = 0;
        let mut passed_on = Vec::new();
        loop {
            if let Some(buffer) = &mut slot
                && !buffer.is_empty()
                && scanner.worth_parsing(buffer.filled(), &limits)
                && parse_response(buffer.filled(), &rules, self.method, response)?
                    == Parsed::Complete
            {
                match response.status {
                    101 => return Err(Reason::UpstreamProtocol),
                    100..=199 => {}
                    _ => return slot.take().ok_or(Reason::Internal),
                }
                interim += 1;
                if interim > MAX_INTERIM {
                    return Err(Reason::UpstreamProtocol);
                }
                if self.client_version == Version::Http11 {
                    let head = ResponseHead { bytes: buffer.filled(), parts: response };
                    passed_on.clear();
                    write_informational(&mut passed_on, &head);
                    self.pass_on(&passed_on, response.status).await?;
                }
                buffer.consume(response.length as usize);
                scanner = HeadScanner::default();
                continue;
            }
            match read_some(self.upstream, self.worker.buffers(), &mut slot).await {
                Ok(count) if count > 0 => {}
                _ => return Err(Reason::UpstreamReset),
            }
        }
    }
    /// Sends an interim response to the client. Half of one cannot be followed by anything, so
    /// that a deadline that passes meanwhile counts as the client's.
    async fn pass_on(&self, bytes: &[u8], status: u16) -> Result<(), Reason> {
        let (stage, until) = (self.watch.stage.get(), self.watch.deadline.wanted());
        self.watch.expect(Stage::ClientWrite, self.client_patience);
        self.client.write_all(bytes, &[], |_| {}).await.map_err(|_| Reason::ClientAborted)?;
        self.watch.stage.set(stage);
        self.watch.deadline.set(until);
        if status == 100 && !self.counters.complete.get() {
            // Now the body is the client's to send.
            self.watch.expect(Stage::ClientBody, self.client_patience);
        }
        Ok(())
    }
}
