// SPDX-License-Identifier: Apache-2.0
//! Endpoints that stand out from the others: judged once per interval, from what traffic counted. And the word
//! on those that traffic has excluded by itself.
use super::state::Service;
use crate::exclusion::{Tally, by_latency, by_rate, exclude};
use crate::snapshot::BackendPlan;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tidegate_contract::EndpointState;
use tidegate_core::Moment;

/// How often backends are looked at, while any wants to be judged.
const EVERY: Duration = Duration::from_millis(100);

/// What a backend had done when its interval began.
struct Interval {
    ends: Moment,
    before: Vec<(Arc<EndpointState>, Tally)>,
}

/// How often it is told whom traffic has excluded.
const TELLS: Duration = Duration::from_millis(500);

/// Tells of exclusions, and of endpoints that TLS fails with, for as long as the node runs.
pub(crate) async fn tell(service: Rc<Service>) {
    loop {
        for plan in service.snapshot().backends.values() {
            let excluded = plan.shared.excluded.lock();
            let excluded = std::mem::take(&mut *excluded.unwrap_or_else(PoisonError::into_inner));
            for (address, millis, failures) in excluded {
                say_out(&address, &plan.name, millis, &failed(failures));
            }
            for (address, why) in plan.shared.handshakes.take_told() {
                super::warn(&format!(
                    "no TLS with endpoint {address} of {}: {why}",
                    plan.name
                ));
            }
        }
        tokio::time::sleep(TELLS).await;
    }
}

fn failed(times: u32) -> String {
    match times {
        1 => "it failed".into(),
        _ => format!("it failed {times} times in a row"),
    }
}

fn say_out(address: &str, backend: &str, millis: u64, why: &str) {
    let seconds = millis as f64 / 1000.0;
    super::warn(&format!(
        "endpoint {address} of {backend} is left out for {seconds} s: {why}"
    ));
}

/// Judges for as long as the node runs.
pub(crate) async fn run(service: Rc<Service>) {
    let mut intervals: HashMap<Arc<str>, Interval> = HashMap::new();
    loop {
        let changed = service.changed.notified();
        let snapshot = service.snapshot();
        let now = service.node.clock.now();
        let wants = |plan: &&Arc<BackendPlan>| {
            let settings = &plan.config.passive_health;
            settings.enabled && (settings.success_rate.is_some() || settings.latency.is_some())
        };
        let wanted: Vec<_> = snapshot.backends.values().filter(wants).cloned().collect();
        drop(snapshot);
        intervals.retain(|name, _| wanted.iter().any(|plan| plan.name == *name));
        for plan in &wanted {
            let interval = intervals.get(&plan.name);
            if interval.is_none_or(|interval| now >= interval.ends) {
                let fresh = judge(plan, interval, now);
                intervals.insert(plan.name.clone(), fresh);
            }
        }
        match wanted.is_empty() {
            true => changed.await,
            false => tokio::time::sleep(EVERY).await,
        }
    }
}

/// Ends an interval: excludes who stood out in it, and begins the next one.
fn judge(plan: &BackendPlan, interval: Option<&Interval>, now: Moment) -> Interval {
    let settings = &plan.config.passive_health;
    let list = plan.shared.list.load_full();
    let states = list.endpoints.iter().map(|endpoint| &endpoint.state);
    let after: Vec<_> = states
        .map(|state| (state.clone(), Tally::of(state)))
        .collect();
    if let Some(interval) = interval {
        let tallies: Vec<Tally> = after
            .iter()
            .map(|(state, tally)| {
                let known = interval.before.iter();
                let mut known = known.filter(|(before, _)| Arc::ptr_eq(before, state));
                let before = known.next().map(|(_, before)| *before);
                tally.since(before.unwrap_or(*tally))
            })
            .collect();
        let rate = settings.success_rate.as_ref();
        let latency = settings.latency.as_ref();
        let mut found = rate.map_or_else(Vec::new, |rate| by_rate(&tallies, rate));
        found.extend(latency.map_or_else(Vec::new, |latency| by_latency(&tallies, latency)));
        for (index, why) in found {
            let Some(endpoint) = list.endpoints.get(index) else {
                continue;
            };
            if let Some(millis) = exclude(plan, &list, &endpoint.state, now) {
                say_out(&endpoint.address, &plan.name, millis, &why);
            }
        }
    }
    Interval {
        ends: now.after_millis(settings.interval.0),
        before: after,
    }
}
