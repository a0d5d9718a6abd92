// SPDX-License-Identifier: Apache-2.0
use super::plan::Ends;
use crate::decide;
use crate::question::Question;
use crate::snapshot::{ListenerPlan, Snapshot};
use crate::tell;
use serde_json::{Value, json};
use std::net::IpAddr;
use tidegate_config::Carried;
use tidegate_core::{Moment, written_bytes};
use tidegate_net::Hello;

/// What becomes of a connection to `listener`; `None` where it is a request that counts.
///
/// # Errors
/// A text when the question makes no sense here.
pub(crate) fn explain(
    snapshot: &Snapshot,
    listener: &ListenerPlan,
    question: &Question,
    now: Moment,
) -> Result<Option<Value>, String> {
    let is = |scheme: &str| question.url.starts_with(scheme);
    let is_mixed = listener.is_mixed() && (is("tcp://") || is("tls://") || is("https://"));
    if !listener.is_l4() && !is_mixed {
        return Ok(None);
    }
    let told = judge(snapshot, listener, question, now);
    let is_found = told.get("outcome").is_some_and(|told| told != "not_found");
    if is_found || listener.tls.is_none() || listener.is_l4() || is("tcp://") {
        return Ok(Some(told));
    }
    match is("https://") {
        true => Ok(None),
        false => Err(format!(
            "no route passes it on, and TLS ends at listener `{}`; write a method and `https://...`",
            listener.name
        )),
    }
}

/// What becomes of a connection, as [`crate::explain::explain`] tells it of requests.
fn judge(snapshot: &Snapshot, listener: &ListenerPlan, question: &Question, now: Moment) -> Value {
    let client = question.client.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let client = client.to_canonical();
    let local = question.local_address(&listener.config.address);
    // What a client would name: not an address.
    let is_raw = question.url.starts_with("tcp://");
    let carries = match listener.is_datagrams() {
        true => Carried::Udp,
        false => match listener.is_passing() || (listener.is_mixed() && !is_raw) {
            true => Carried::Tls,
            false => Carried::Tcp,
        },
    };
    let is_quic = carries == Carried::Udp && question.url.starts_with("quic://");
    let host = question
        .host()
        .filter(|_| carries == Carried::Tls || is_quic);
    let name = host.filter(|host| host.parse::<IpAddr>().is_err());
    let name = name.map(str::to_ascii_lowercase);
    let mut told = json!({
        "listener": &*listener.name,
        "client": client.to_string(),
        "local_address": local.map(|local| local.to_string()),
        "host": name,
    });
    let hello = Hello {
        name: name.clone(),
        protocols: Vec::new(),
    };
    let first = question.begins.as_deref().map(written_bytes);
    let first = first.and_then(Result::ok).unwrap_or_default();
    let rest = if !listener.admission.admits(client) {
        let detail = "the client's address is not admitted";
        json!({"outcome": "reject", "kind": "connection_refused", "detail": detail})
    } else {
        let ends = Ends {
            client,
            local: &|| local,
            hello: (carries != Carried::Udp || is_quic).then_some(&hello),
            chosen: None,
            first: &first,
        };
        match snapshot.l4.find(&listener.name, carries, &ends) {
            None => json!({"outcome": "not_found"}),
            Some(route) => reach(snapshot, route, client, now),
        }
    };
    crate::explain::merge(&mut told, rest);
    told
}

fn reach(snapshot: &Snapshot, route: &super::L4RoutePlan, client: IpAddr, now: Moment) -> Value {
    let (mut backends, mut endpoints, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (name, weight) in route.backends.iter().filter(|(_, weight)| *weight > 0) {
        let Some(plan) = snapshot.backends.get(name) else {
            continue;
        };
        let share = f64::from(*weight) / route.total.max(1) as f64;
        let key = decide::connection_key(plan, client);
        let mut told = json!({"name": &*plan.name, "share": share});
        if let Some(by) = &plan.key {
            let key = key.hash.map(|key| format!("{key:016x}"));
            crate::explain::merge(&mut told, json!({"hash": {"by": by.tell(), "key": key}}));
        }
        if let Some(session) = tell::session(plan, &key) {
            crate::explain::merge(&mut told, json!({"affinity": session}));
        }
        if let Some(groups) = tell::division(plan, now) {
            crate::explain::merge(&mut told, json!({"groups": groups}));
        }
        backends.push(told);
        match tell::endpoints(plan, share, &key, now) {
            Ok(mut of_backend) => endpoints.append(&mut of_backend),
            Err(why) => problems.push(json!({"backend": &*plan.name, "why": why})),
        }
    }
    let only = |list: &[Value], key: &str| match list {
        [only] => only.get(key).cloned(),
        _ => None,
    };
    json!({
        "outcome": "forward",
        "route": &*route.name,
        "backend": only(&backends, "name"),
        "endpoint": only(&endpoints, "address"),
        "backends": backends,
        "endpoints": endpoints,
        "without_endpoint": problems,
        "timeouts": route.timeouts,
    })
}
