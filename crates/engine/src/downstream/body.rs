// SPDX-License-Identifier: Apache-2.0
//! A request's body as a whole, for filters that want it.
use super::connection::Downstream;
use super::filters::{Phase, run_request_filters};
use super::journey::Journey;
use super::record::Record;
use super::upload::UploadError;
use crate::thread::{LARGE, Turn};
use std::future::poll_fn;
use std::task::{Poll, ready};
use tidegate_contract::Exchange;
use tidegate_core::ErrorKind;
use tidegate_request::{Framing, Reject};

impl Downstream {
    /// The request phase, with the body read where somebody wants it and not before; whether the connection may go on,
    /// where the exchange ends with it.
    pub(super) async fn pass_filters(
        &mut self,
        journey: &mut Journey<'_>,
        exchange: &mut Exchange,
        record: &mut Record,
    ) -> Option<bool> {
        let mut from = 0;
        let buffered = loop {
            let (position, limit) =
                match run_request_filters(&journey.filters, exchange, from).await {
                    Phase::Passed => break journey.buffered().filter(|_| exchange.body.is_none()),
                    Phase::Answered(answer, position) => {
                        let plan = journey.filters.get(position);
                        record.policy = plan.map(|plan| plan.name.clone());
                        let answered = self.answer(journey, exchange, record, answer, position);
                        return Some(answered.await);
                    }
                    Phase::Body(position, limit) => (position, limit),
                };
            from = position;
            let is_tried = journey
                .filters
                .get(position)
                .is_some_and(|plan| plan.shadow);
            let fits = match journey.upload.framing() {
                Framing::None => true,
                Framing::Length(length) => length <= limit,
                Framing::Chunked => false,
            };
            if is_tried && !fits {
                // Nothing is refused for its sake.
                exchange.left_out.push(position);
                from += 1;
                continue;
            }
            if let Err(error) = self.read_body(journey, exchange, limit).await {
                let failed = self.fail_body(journey, exchange, record, from, error);
                return Some(failed.await);
            }
        };
        match self.read_body(journey, exchange, buffered?).await {
            Ok(()) => None,
            Err(error) => {
                let count = journey.filters.len();
                let failed = self.fail_body(journey, exchange, record, count, error);
                Some(failed.await)
            }
        }
    }

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
