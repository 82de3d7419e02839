//! Interim responses on their way to the client.

use super::attempt::{Attempt, AttemptTarget};
use super::sending::drive;
use crate::cause::Cause;
use crate::error::Reason;
use crate::exchange::{ClientEnd, Exchange};
use crate::http1::simple::write_informational;
use crate::http1::write::OutgoingResponse;
use crate::http2::head::outgoing_response;
use crate::message::{ResponseHead, Version};
use crate::relay::WaitStage;

impl<'c> Attempt<'c> {
    /// Passes an interim response on. Half of one cannot be followed by anything, so that a deadline
    /// that passes meanwhile counts as the client's.
    pub(super) async fn pass_on(
        &mut self,
        exchange: &mut Exchange<'c>,
        target: &AttemptTarget<'_>,
    ) -> Result<(), Cause> {
        let head = ResponseHead { bytes: self.heads.bytes(), parts: &self.response };
        let client_patience = *target.listener.settings.timeouts.body;
        match exchange.scratch.request.version {
            Version::Http10 => return Ok(()),
            Version::Http2 => {
                let plan = OutgoingResponse::interim();
                let response = outgoing_response(&head, &plan)?;
                if let ClientEnd::Http2 { respond: Some(respond), .. } =
                    &mut *exchange.end.borrow_mut()
                {
                    respond.send_informational(response).map_err(|_| Reason::ClientAborted)?;
                }
            }
            Version::Http11 => {
                let mut bytes = Vec::new();
                write_informational(&mut bytes, &head);
                let (stage, until) = (self.watch.stage.get(), self.watch.deadline.wanted());
                self.watch.expect(WaitStage::ClientWrite, client_patience);
                let io = &exchange.client.io;
                let write = async {
                    io.write_all(&bytes, &[], |_| {})
                        .await
                        .map_err(|_| Reason::ClientAborted.into())
                };
                drive(exchange, &mut self.upload, &self.watch, write).await?;
                self.watch.stage.set(stage);
                self.watch.deadline.set(until);
            }
        }
        if head.parts.status == 100 && !exchange.upload.complete.get() {
            // Now the body is the client's to send.
            self.watch.expect(WaitStage::ClientBody, client_patience);
        }
        Ok(())
    }
}
