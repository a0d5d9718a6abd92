// SPDX-License-Identifier: Apache-2.0
//! Where browsers' questions go: whether a page of another site may make a request (CORS).
use crate::snapshot::{Filters, Snapshot, TargetPlan};
use tidegate_policies::cors::asked_method;
use tidegate_request::Request;
use tidegate_routing::{Asked, Ends, Found};

/// Where a request is a browser's question whether a page may make another: the route that would take that one,
/// if a policy of it answers such questions.
///
/// Matches go by what the browser tells; where no such route is found, by less: it tells of no cookies, and of few
/// fields.
pub(crate) fn asked_about(
    snapshot: &Snapshot,
    listener: usize,
    request: &Request,
    ends: Ends,
) -> Option<Found> {
    let method = asked_method(request)?;
    let around = &snapshot.listeners.get(listener)?.filters;
    let headers = request.fields();
    let headers = headers.get_name(b"access-control-request-headers");
    [false, true].into_iter().find_map(|is_lenient| {
        let asked = Asked {
            method,
            headers: headers.unwrap_or_default(),
            is_lenient,
        };
        let found = snapshot.table.find_asked(listener, asked, request, ends)?;
        let route = snapshot.routes.get(found.route)?;
        let backends = match &route.to {
            TargetPlan::Forward { backends, .. } => backends.as_slice(),
            _ => &[],
        };
        let mut behind = backends
            .iter()
            .filter_map(|(name, _)| snapshot.backends.get(name));
        let answers = Filters::answer_questions(&[around, &route.filters])
            || behind
                .any(|plan| Filters::answer_questions(&[around, &route.filters, &plan.filters]));
        answers.then_some(found)
    })
}
