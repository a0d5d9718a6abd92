// SPDX-License-Identifier: Apache-2.0
use super::plan::Ends;
use crate::decide;
use crate::question::Question;
use crate::snapshot::{ListenerPlan, Snapshot};
use crate::tell;
use serde_json::{Value, json};
use std::net::IpAddr;
use tidegate_core::Moment;
use tidegate_net::Hello;

/// What becomes of a connection to `listener`, as [`crate::explain::explain`] tells it of requests.
pub(crate) fn explain(
    snapshot: &Snapshot,
    listener: &ListenerPlan,
    question: &Question,
    now: Moment,
) -> Value {
    let client = question.client.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let client = client.to_canonical();
    let local = question.local_address(&listener.config.address);
    // What a client would name: not an address.
    let host = question.host().filter(|_| listener.is_passing());
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
    let rest = if !listener.admission.admits(client) {
        let detail = "the client's address is not admitted";
        json!({"outcome": "reject", "kind": "connection_refused", "detail": detail})
    } else {
        let ends = Ends {
            client,
            local: &|| local,
            hello: Some(&hello),
        };
        match snapshot.l4.find(&listener.name, &ends) {
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
