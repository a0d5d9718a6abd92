// SPDX-License-Identifier: Apache-2.0
//! From bytes to the canonical request.
use super::connection::Downstream;
use tidegate_config::ListenerLimits;
use tidegate_core::ErrorKind;
use tidegate_http::{HeadLimits, parse_request};
use tidegate_request::{FieldId, Method, Options, Reject, Request};

/// Gateways that a request may come through.
const MAX_VIA: usize = 20;

/// The codec's limits, from the listener's.
pub(crate) fn head_limits(limits: &ListenerLimits) -> HeadLimits {
    HeadLimits {
        header_size: limits.header_size.0 as usize,
        header_fields: usize::from(limits.header_fields),
        target_size: limits.target_size.0 as usize,
    }
}

impl Downstream {
    /// Serves the request whose head is the first `length` bytes of the buffer; returns whether
    /// the connection may serve another.
    pub(crate) async fn exchange(&mut self, length: usize) -> bool {
        let started = self.thread.moment();
        let current = self.thread.current();
        let Some(index) = self.listener_index(&current) else {
            // Sent before the client saw the connection close. It was not acted on, and is told so.
            let is_head = self.buffer.data().starts_with(b"HEAD ");
            let reject = Reject::new(ErrorKind::DestinationUnavailable, "the listener is gone");
            self.refuse(&reject, is_head).await;
            return false;
        };
        let limits = head_limits(&self.listener.config.limits);
        let options = Options {
            merge_slashes: self.listener.config.merge_slashes,
            is_trusted: self.is_trusted && self.listener.egress.is_none(),
            is_proxy: self.listener.egress.is_some(),
        };
        let head = self.buffer.data().get(..length).unwrap_or_default();
        let parsed = parse_request(
            head,
            self.thread.take_storage().unwrap_or_default(),
            &limits,
            self.scheme(),
            options,
        );
        let is_head = head.starts_with(b"HEAD ");
        self.buffer.consume(length);
        let request = match parsed {
            Ok(request) => request,
            Err((reject, storage)) => {
                self.thread.give_storage(Some(storage));
                self.refuse(&reject, is_head).await;
                return false;
            }
        };
        self.serve(&current, index, request, started).await
    }

    /// Serves a request of which the head was read elsewhere, under the listener's newest settings.
    pub(crate) async fn exchange_read(&mut self, request: Request) {
        let started = self.thread.moment();
        let current = self.thread.current();
        match self.listener_index(&current) {
            Some(index) => {
                self.serve(&current, index, request, started).await;
            }
            None => {
                let is_head = request.method_kind() == Method::Head;
                let reject = Reject::new(ErrorKind::DestinationUnavailable, "the listener is gone");
                self.refuse(&reject, is_head).await;
            }
        }
    }
}

/// What a request may be called by: it is shown in logs and searched for.
pub(super) fn is_request_id(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    (1..=64).contains(&id.len()) && id.iter().all(is_plain)
}

/// Whether a request came through so many gateways that it must go round in circles.
pub(super) fn goes_in_circles(request: &Request) -> bool {
    let lines = request.fields().get_all(FieldId::Via);
    let counts = lines.map(|line| line.split(|byte| *byte == b',').count());
    counts.sum::<usize>() > MAX_VIA
}
