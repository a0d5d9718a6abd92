// SPDX-License-Identifier: Apache-2.0
//! Which endpoints of a backend a request may go to, as `explain` and `status` tell it.
use crate::decide::{self, Key, NoEndpoint};
use crate::secure;
use crate::snapshot::{ApproachPlan, BackendPlan, ListenerPlan, Snapshot};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tidegate_core::{ErrorKind, Moment};
use tidegate_request::{Reject, Request};

/// Whether clients that want the request's host show a certificate: `required`, `optional`, or null where
/// none is asked for.
pub(crate) fn asked(listener: &ListenerPlan, request: &Request) -> Option<&'static str> {
    let tls = listener.tls.as_ref()?;
    let asked = tls.acceptance.asked(request.host())?;
    Some(match asked.is_required() {
        true => "required",
        false => "optional",
    })
}

/// How a request ends on a listener whose host is served under other terms elsewhere.
pub(crate) fn misdirected(
    snapshot: &Snapshot,
    listener: &ListenerPlan,
    request: &Request,
) -> Option<Value> {
    let host = request.host();
    secure::is_misdirected(snapshot, listener, host, host).then(|| {
        let kind = ErrorKind::Misdirected;
        let detail = "the host is served under other terms of TLS";
        json!({"outcome": "reject", "status": kind.status(), "kind": kind.name(), "detail": detail})
    })
}

/// What becomes of a browser's question that no policy has answered.
pub(crate) fn unanswered() -> Value {
    let kind = ErrorKind::DestinationNotFound;
    json!({"outcome": "reject", "status": kind.status(), "kind": kind.name()})
}

/// What becomes of a request that no route takes.
pub(crate) fn unrouted(listener: &ListenerPlan, request: &Request) -> Value {
    match secure::redirected(listener, request) {
        Some(Ok(answer)) => {
            let location = answer.fields.get_name(b"location");
            let location = location.map(String::from_utf8_lossy);
            json!({"outcome": "redirect", "status": answer.status, "location": location})
        }
        Some(Err(reject)) => json!({
            "outcome": "reject",
            "status": reject.status(),
            "kind": reject.kind.name(),
            "detail": reject.detail,
        }),
        None => json!({"outcome": "not_found", "status": 404}),
    }
}

/// The one endpoint that the key decides on, or all that may take the request with their shares,
/// which sum to `share`.
///
/// # Errors
/// Why there is none.
pub(crate) fn endpoints(
    plan: &BackendPlan,
    share: f64,
    key: &Key,
    now: Moment,
) -> Result<Vec<Value>, &'static str> {
    let list = plan.shared.list.load_full();
    let choices = decide::choices(plan, &list, now, key).map_err(|why| match why {
        NoEndpoint::Nothing => "no endpoint may take it",
        NoEndpoint::NoRoom => "every endpoint is at its limit",
    })?;
    let mut told: BTreeMap<u16, f64> = BTreeMap::new();
    for (of_all, usable) in choices {
        let candidates = decide::candidates(&list, &usable, now);
        let state = &*plan.balancer_state;
        let certain = key
            .hash
            .and_then(|key| plan.balancer.certain(state, &candidates, key));
        let shares = match certain {
            Some(_) => Vec::new(),
            None => plan.balancer.shares(&candidates),
        };
        for (position, index) in usable.iter().enumerate() {
            let own = match certain {
                Some(certain) if certain == position => 1.0,
                Some(_) => continue,
                None => shares.get(position).copied().unwrap_or(0.0),
            };
            *told.entry(*index).or_default() += of_all * own * share;
        }
    }
    let all = told.into_iter().filter_map(|(index, share)| {
        let endpoint = list.endpoints.get(usize::from(index))?;
        Some(json!({
            "backend": &*plan.name,
            "address": endpoint.address,
            "zone": endpoint.zone,
            "source": endpoint.source,
            "share": share,
        }))
    });
    Ok(all.collect())
}

/// What the backend makes of the request's session; `None` where it asks for none.
pub(crate) fn session(plan: &BackendPlan, key: &Key) -> Option<Value> {
    let affinity = plan.affinity.as_ref()?;
    let list = plan.shared.list.load_full();
    let bound = key
        .session
        .and_then(|session| affinity.named(&plan.name, &list, session))
        .and_then(|index| list.endpoints.get(usize::from(index)));
    Some(json!({
        "by": affinity.by(),
        "has_session": key.session.is_some(),
        "bound_to": bound.map(|endpoint| &endpoint.address),
    }))
}

/// How a backend's requests are divided among priorities and zones; `None` where they are not.
pub(crate) fn division(plan: &BackendPlan, now: Moment) -> Option<Value> {
    let list = plan.shared.list.load_full();
    let levels = plan.levels(&list, now)?;
    let groups: Vec<Value> = levels
        .shares()
        .map(|(share, _, group)| {
            json!({
                "priority": group.priority,
                "zone": match group.is_local {
                    true => plan.terms.zone.as_deref(),
                    false => None,
                },
                "panic": group.is_panic,
                "endpoints": group.members.len(),
                "share": share,
            })
        })
        .collect();
    Some(Value::from(groups))
}

/// How TLS is spoken to a backend: `{"verifies": bool, "by": "system" | FILE, "server_name", "names",
/// "certificate"}`; names that are not set are null or empty.
pub(crate) fn tls(plan: &ApproachPlan) -> Value {
    let config = &plan.config;
    let by = match config.ca {
        _ if config.insecure_skip_verification => None,
        Some(_) => Some(config.ca_name.as_str()),
        None => Some("system"),
    };
    let certificate = plan.certificate.as_ref();
    json!({
        "verifies": !config.insecure_skip_verification,
        "by": by,
        "server_name": config.server_name,
        "names": config.subject_alt_names,
        "certificate": certificate.map(|own| json!({
            "file": own.file,
            "not_after": own.validity.not_after,
        })),
    })
}

/// A request that its route refuses.
pub(crate) fn refused(reject: &Reject) -> Value {
    json!({
        "outcome": "reject",
        "status": reject.status(),
        "kind": reject.kind.name(),
        "detail": reject.detail,
    })
}
