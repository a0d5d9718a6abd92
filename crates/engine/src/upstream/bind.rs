// SPDX-License-Identifier: Apache-2.0
//! Keeping a session at the endpoint that has its data.
use super::open::Place;
use crate::decide;
use crate::downstream::Downstream;
use crate::snapshot::BackendPlan;
use tidegate_contract::Exchange;
use tidegate_request::Response;

/// Has the client bring a session back to the endpoint that answered.
pub(super) fn bind(
    downstream: &Downstream,
    exchange: &Exchange,
    plan: &BackendPlan,
    place: &Place,
    key: &decide::Key,
    response: &mut Response,
) {
    let Some(affinity) = &plan.affinity else {
        return;
    };
    let draw = &mut downstream.thread.draw.borrow_mut();
    let request = &exchange.request;
    let cookie = affinity.binding(plan, &place.list, place.index, key.session, request, draw);
    if let Some(cookie) = cookie {
        // Without room for one more field the session is bound by a later response.
        let _ = response
            .fields_mut()
            .append(b"Set-Cookie", cookie.as_bytes());
    }
}
