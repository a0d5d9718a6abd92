// SPDX-License-Identifier: Apache-2.0
//! A request's body as a whole, for filters that want it.
use super::connection::Downstream;
use super::journey::Journey;
use super::upload::UploadError;
use crate::thread::{LARGE, Turn};
use std::future::poll_fn;
use std::task::{Poll, ready};
use tidegate_contract::Exchange;
use tidegate_core::ErrorKind;
use tidegate_request::{Framing, Reject};

impl Downstream {
    /// Reads the whole body into the exchange.
    pub(crate) async fn read_body(
        &mut self,
        journey: &mut Journey<'_>,
        exchange: &mut Exchange,
        limit: u64,
    ) -> Result<(), UploadError> {
        let too_large = Reject::new(ErrorKind::RequestBodySize, "the body is too large");
        if matches!(journey.upload.framing(), Framing::Length(length) if length > limit) {
            return Err(UploadError::Refused(too_large));
        }
        if exchange.request.expects_continue() && self.buffer.is_empty() && !journey.upload.is_done
        {
            self.ask_to_continue()
                .await
                .map_err(|_| UploadError::Gone)?;
        }
        let mut body = Vec::new();
        let mut taken = 0;
        while !journey.upload.is_done {
            self.timer.set(journey.upload.deadline(self));
            let slow = Reject::new(ErrorKind::RequestTimeout, "the body came too slowly");
            let mut turn = Turn::default();
            let mut waits = false;
            poll_fn(|cx| {
                if waits {
                    ready!(self.thread.turns.poll(&mut turn, cx));
                }
                match journey.upload.poll_more(self, cx, &mut body, false) {
                    Poll::Pending => {
                        waits = true;
                        let expired = self.timer.poll_expired(cx);
                        expired.map(|()| Err(UploadError::Refused(slow)))
                    }
                    ready => ready,
                }
            })
            .await?;
            if body.capacity() > taken + LARGE {
                if !self.take_memory(taken, body.capacity() - taken) {
                    let kind = ErrorKind::MemoryLimitReached;
                    let reject = Reject::new(kind, "no memory for the body");
                    return Err(UploadError::Refused(reject));
                }
                taken = body.capacity();
            }
            if body.len() as u64 > limit {
                return Err(UploadError::Refused(too_large));
            }
        }
        exchange.body = Some(body);
        Ok(())
    }
}
