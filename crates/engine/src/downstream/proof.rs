// SPDX-License-Identifier: Apache-2.0
use super::connection::Downstream;
use tidegate_contract::Answer;
use tidegate_request::{Fields, Method, Request};

/// Where an authority looks for its proof (RFC 8555 §8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";

impl Downstream {
    /// What this request gets if it is an authority's that has a host name proved.
    pub(super) fn proof(&self, request: &Request) -> Option<Answer> {
        let token = request.path().strip_prefix(CHALLENGES)?;
        let is_read = matches!(request.method_kind(), Method::Get | Method::Head);
        if self.listener.config.named_only || !is_read {
            return None;
        }
        let challenges = &self.thread.node.registry.challenges;
        let body = challenges.answer(request.host()?, token)?;
        let mut fields = Fields::default();
        let _ = fields.append(b"Content-Type", b"application/octet-stream");
        let _ = fields.append(b"Cache-Control", b"no-store");
        Some(Answer {
            status: 200,
            fields,
            body: body.as_bytes().to_vec(),
            error: None,
        })
    }
}
