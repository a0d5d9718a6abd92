// SPDX-License-Identifier: Apache-2.0
//! What a listener asks of requests before a route takes them, and says with every response, about
//! TLS: pure functions, as in `decide`.
use crate::snapshot::ListenerPlan;
use tidegate_contract::Answer;
use tidegate_core::ErrorKind;
use tidegate_request::{Fields, Reject, Request, Response};

/// Told with every response inside of TLS, where the listener has it (RFC 6797 §7.1).
const HSTS: &[u8] = b"Strict-Transport-Security";

/// Says it, in the place of whatever an endpoint says: browsers heed the first field alone, and the
/// connection that is judged by it ends here.
pub(crate) fn tell(response: &mut Response, hsts: Option<&str>) {
    if let Some(value) = hsts {
        // Its fields may have no room for one more.
        let _ = response.fields_mut().set(HSTS, value.as_bytes());
    }
}

/// The answer to a request that no route takes, on a listener that sends clients to HTTPS; `None`
/// on others.
///
/// # Errors
/// `http_request_error` without a host, which HTTP/1.0 allows: there is no URL to go to.
pub(crate) fn redirected(
    listener: &ListenerPlan,
    request: &Request,
) -> Option<Result<Answer, Reject>> {
    let redirect = listener.config.redirect.as_ref()?;
    if request.is_asterisk() {
        // It asks for nothing that is elsewhere.
        return None;
    }
    let Some(host) = request.host() else {
        let detail = "no host, so that there is nowhere to redirect to";
        return Some(Err(Reject::new(ErrorKind::HttpRequestError, detail)));
    };
    // The port of this listener is not the other's: it is not kept.
    let mut target = match redirect.port {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    };
    target.push_str(request.path());
    if let Some(query) = request.query() {
        target.push('?');
        target.push_str(&String::from_utf8_lossy(query));
    }
    let mut fields = Fields::default();
    let _ = fields.append(b"Location", target.as_bytes());
    Some(Ok(Answer {
        status: redirect.status,
        fields,
        body: Vec::new(),
        error: None,
    }))
}
