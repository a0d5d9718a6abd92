// SPDX-License-Identifier: Apache-2.0
use super::page::PagePlan;
use crate::snapshot::{ListenerPlan, RoutePlan};
use tidegate_contract::{Answer, Exchange};
use tidegate_request::{FieldId, Fields, Response};

/// Fields without which a status does not mean what it says, or a session would be lost.
const KEPT: [FieldId; 3] = [
    FieldId::WwwAuthenticate,
    FieldId::RetryAfter,
    FieldId::SetCookie,
];

/// Whether a failure here could be told by a page.
pub(crate) fn is_any(route: &RoutePlan, listener: &ListenerPlan) -> bool {
    !(route.error_pages.is_empty() && listener.error_pages.is_empty())
}

/// The page for `status`, the route's before the listener's, which holds the gateway's behind its own.
pub(crate) fn page_for<'a>(
    route: Option<&'a RoutePlan>,
    listener: &'a ListenerPlan,
    status: u16,
    is_ours: bool,
) -> Option<&'a PagePlan> {
    let of_route = route.and_then(|route| route.error_pages.find(status, is_ours));
    of_route.or_else(|| listener.error_pages.find(status, is_ours))
}

/// What the client gets in the place of an answer of an endpoint or a function; `None` when it gets
/// that answer. Of its fields those stay that the status needs.
pub(crate) fn intercept(
    route: &RoutePlan,
    listener: &ListenerPlan,
    exchange: &Exchange,
    response: &Response,
) -> Option<Answer> {
    let status = response.status();
    if status < 400 || !is_any(route, listener) {
        return None;
    }
    let page = page_for(Some(route), listener, status, false)?;
    let (content_type, body) =
        page.forms
            .fill(Some(&exchange.request), status, &exchange.request_id)?;
    let mut fields = Fields::default();
    for id in KEPT {
        for value in response.fields().get_all(id) {
            let _ = fields.append(id.name().as_bytes(), value);
        }
    }
    if let Some(allow) = response.fields().get_name(b"allow") {
        let _ = fields.append(b"Allow", allow);
    }
    let _ = fields.append(b"Content-Type", content_type.as_bytes());
    let _ = fields.append(b"Cache-Control", b"no-store");
    Some(Answer {
        status: page.status.unwrap_or(status),
        fields,
        body,
        error: None,
    })
}
