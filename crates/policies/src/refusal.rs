// SPDX-License-Identifier: Apache-2.0
use serde_json::json;
use tidegate_contract::Answer;
use tidegate_core::ErrorKind;
use tidegate_http::reason;
use tidegate_request::Fields;

/// The answer of a policy that refuses, in the form of RFC 9457. `detail` is told to the client as well as to the log.
pub(crate) fn refusal(status: u16, detail: &'static str) -> Answer {
    let mut fields = Fields::new();
    // There is room for two.
    let _ = fields.append(b"Content-Type", b"application/problem+json");
    let _ = fields.append(b"Cache-Control", b"no-store");
    let body = json!({ "title": reason(status), "status": status, "detail": detail });
    Answer {
        status,
        fields,
        body: body.to_string().into_bytes(),
        error: Some((ErrorKind::HttpRequestDenied, detail)),
    }
}
