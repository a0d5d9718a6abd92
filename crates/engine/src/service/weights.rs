// SPDX-License-Identifier: Apache-2.0
//! Effective weights: the configured ones times slow start, reported load and computed weight.
//!
//! They are worked out here, a few times a second and only for backends that ask for it, and left
//! in each endpoint's `factor`. A pick reads that one number, whatever it is made of.
use super::state::Service;
use crate::snapshot::BackendPlan;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidegate_config::{LoadReport, SlowStart};
use tidegate_contract::{Average, Endpoint, EndpointState, Health};
use tidegate_core::Moment;

/// Between two looks, while a backend asks for them.
const EVERY: Duration = Duration::from_millis(200);
/// A factor that would move by less stays: tables are not made again for nothing.
const LEAST_CHANGE: f64 = 0.01;
/// What a load counts as at least: an idle endpoint has no endless capacity.
const LEAST_LOAD: f64 = 0.001;

/// Requests an endpoint gets a second, as an average that forgets like the load it is compared with.
struct Rate {
    state: Arc<EndpointState>,
    requests: u64,
    at: Moment,
    per_second: f64,
}

/// Keeps factors up to date for as long as the node runs.
pub(crate) async fn run(service: Rc<Service>) {
    let mut rates = Rates::default();
    let mut is_first = true;
    loop {
        let changed = service.changed.notified();
        let snapshot = service.snapshot();
        let now = service.node.clock.now();
        let mut moves = false;
        for plan in snapshot.backends.values() {
            let asks = plan.config.slow_start.is_some() || plan.config.load_report.is_some();
            moves |= asks;
            if asks || is_first {
                reweigh(plan, now, &mut rates);
            }
        }
        drop(snapshot);
        is_first = match moves {
            true => tokio::time::timeout(EVERY, changed).await.is_ok(),
            false => {
                changed.await;
                true
            }
        };
        if is_first {
            rates.forget();
        }
    }
}

/// Takes the weights that were computed outside, by backend and address: all there are, so that
/// what is left out is 1 again.
pub(crate) fn set_computed(service: &Service, weights: &HashMap<String, HashMap<String, f64>>) {
    for plan in service.snapshot().backends.values() {
        let of_backend = weights.get(&*plan.name);
        for endpoint in &plan.shared.list.load().endpoints {
            let weight = of_backend.and_then(|of_backend| of_backend.get(&endpoint.address));
            endpoint.state.computed.set(weight.copied().unwrap_or(1.0));
        }
    }
    service.changed.notify_waiters();
}

/// The request rates of endpoints that report their load, by where their state lies.
#[derive(Default)]
pub(crate) struct Rates(HashMap<*const EndpointState, Rate>);

impl Rates {
    /// Drops those that nobody else holds.
    fn forget(&mut self) {
        self.0.retain(|_, rate| Arc::strong_count(&rate.state) > 1);
    }

    /// Requests a second, as of `now`.
    fn of(&mut self, state: &Arc<EndpointState>, smoothing_ms: u64, now: Moment) -> f64 {
        let requests = state.requests.load(Ordering::Relaxed);
        let rate = self.0.entry(Arc::as_ptr(state)).or_insert_with(|| Rate {
            state: state.clone(),
            requests,
            at: now,
            per_second: 0.0,
        });
        let micros = now.micros_since(rate.at);
        if micros > 0 {
            let fresh = requests.saturating_sub(rate.requests) as f64 * 1e6 / micros as f64;
            let kept = Average::kept(rate.at.millis(), now, smoothing_ms);
            rate.per_second = rate.per_second * kept + fresh * (1.0 - kept);
            (rate.requests, rate.at) = (requests, now);
        }
        rate.per_second
    }
}

/// Sets the factors of a backend's endpoints as of `now`.
pub(crate) fn reweigh(plan: &BackendPlan, now: Moment, rates: &mut Rates) {
    let list = plan.shared.list.load();
    let capacities: Vec<Option<f64>> = list
        .endpoints
        .iter()
        .map(|endpoint| {
            let report = plan.config.load_report.as_ref()?;
            capacity(endpoint, report, now, rates)
        })
        .collect();
    let known = capacities.iter().flatten();
    let mean = known.clone().sum::<f64>() / known.count().max(1) as f64;
    let mut is_changed = false;
    for (endpoint, capacity) in list.endpoints.iter().zip(capacities) {
        let state = &endpoint.state;
        let mut factor = state.computed.get();
        if let Some(slow_start) = &plan.config.slow_start {
            factor *= started(state, slow_start, now);
        }
        if let (Some(report), Some(capacity)) = (&plan.config.load_report, capacity) {
            let most = f64::from(report.most);
            factor *= (capacity / mean).clamp(1.0 / most, most);
        }
        let before = state.factor.get();
        let is_far = (factor - before).abs() > LEAST_CHANGE * before;
        if is_far || factor == 1.0 || factor == 0.0 {
            is_changed |= state.factor.set(factor);
        }
    }
    if is_changed {
        plan.shared.weights_changed();
    }
}

/// The part of its weight that slow start gives an endpoint. One that is out begins anew, so that
/// its weight is small when it comes back.
fn started(state: &EndpointState, slow_start: &SlowStart, now: Moment) -> f64 {
    let first = f64::from(slow_start.from_percent) / 100.0;
    if state.health() == Health::Down || state.is_excluded(now) {
        return first;
    }
    let returned = state.excluded_until.load(Ordering::Relaxed);
    let since = state.since.load(Ordering::Relaxed).max(returned);
    if since == 0 {
        return 1.0;
    }
    let age = now.millis().saturating_sub(since) as f64;
    let done = age / slow_start.duration.0.max(1) as f64;
    (first + (1.0 - first) * done).min(1.0)
}

/// The requests a second that an endpoint could take at a load of 1, by what it takes now. `None`
/// where nothing is known: no fresh report, or no requests.
fn capacity(
    endpoint: &Endpoint,
    report: &LoadReport,
    now: Moment,
    rates: &mut Rates,
) -> Option<f64> {
    let rate = rates.of(&endpoint.state, report.smoothing.0, now);
    let (load, at) = endpoint.state.load.get()?;
    let is_fresh = now.millis().saturating_sub(at) <= report.expire_after.0;
    (is_fresh && rate > 0.0).then(|| rate / load.max(LEAST_LOAD))
}

#[cfg(test)]
mod tests {
    use super::{Rates, reweigh};
    use crate::snapshot::BackendPlan;
    use crate::tests::with_backend;
    use serde_json::{Value, json};
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use tidegate_config::EndpointSet;
    use tidegate_contract::{Endpoint, Health};
    use tidegate_core::Clock;

    fn set(plan: &BackendPlan, clock: &Clock, sequence: u64, addresses: &[&str]) {
        let endpoints: Vec<Value> = addresses
            .iter()
            .map(|address| json!({"address": address, "zone": null, "priority": 0, "weight": 1, "draining": false, "found_by": "configuration"}))
            .collect();
        let set = json!({"backend": "b", "sequence": sequence, "endpoints": endpoints});
        let set: EndpointSet = serde_json::from_value(set).unwrap();
        assert!(plan.shared.set_endpoints(&set, clock.now()));
    }

    fn endpoints(plan: &BackendPlan) -> Vec<Arc<Endpoint>> {
        plan.shared.list.load().endpoints.clone()
    }

    /// The factors as of now, in percent.
    fn factors(plan: &BackendPlan, clock: &Clock, rates: &mut Rates) -> Vec<i64> {
        reweigh(plan, clock.now(), rates);
        let all = endpoints(plan);
        let each = all.iter().map(|one| one.state.factor.get());
        each.map(|factor| (factor * 100.0).round() as i64).collect()
    }

    #[test]
    fn what_is_new_or_comes_back_starts_slowly() {
        let slow = json!({"duration": 10_000, "from_percent": 20});
        let (clock, plan) = with_backend("slow_start", slow, &["a:1", "b:1"]);
        clock.advance(60_000);
        let mut rates = Rates::default();
        let mut look = || factors(&plan, &clock, &mut rates);
        assert_eq!(look(), [100, 100], "a backend begins with full weights");
        set(&plan, &clock, 2, &["a:1", "b:1", "c:1"]);
        assert_eq!(look(), [100, 100, 20]);
        clock.advance(5_000);
        assert_eq!(look(), [100, 100, 60]);
        clock.advance(5_000);
        assert_eq!(look(), [100, 100, 100]);
        let all = endpoints(&plan);
        all[0].state.set_health(Health::Down);
        assert_eq!(look(), [20, 100, 100], "before it comes back");
        all[0]
            .state
            .since
            .store(clock.now().millis(), Ordering::Relaxed);
        all[0].state.set_health(Health::Up);
        clock.advance(2_500);
        assert_eq!(look(), [40, 100, 100]);
        let until = clock.now().millis() + 1000;
        all[1].state.excluded_until.store(until, Ordering::Relaxed);
        assert_eq!(look(), [40, 20, 100]);
        clock.advance(1_000 + 2_500);
        assert_eq!(look(), [68, 40, 100], "an exclusion that has ended");
    }

    #[test]
    fn reported_load_moves_weight_to_where_capacity_is_left() {
        let report = json!({"header": "load", "metric": "cpu_utilization", "smoothing": 1,
                            "expire_after": 5_000, "most": 4});
        let (clock, plan) = with_backend("load_report", report, &["a:1", "b:1", "c:1"]);
        clock.advance(1_000);
        let mut rates = Rates::default();
        assert_eq!(factors(&plan, &clock, &mut rates), [100, 100, 100]);
        let all = endpoints(&plan);
        let mut second = |loads: [Option<f64>; 3]| {
            clock.advance(1_000);
            for (endpoint, load) in all.iter().zip(loads) {
                endpoint.state.requests.fetch_add(100, Ordering::Relaxed);
                if let Some(load) = load {
                    endpoint.state.load.set(load, clock.now());
                }
            }
            factors(&plan, &clock, &mut rates)
        };
        // As many requests at half the load: twice the capacity, whoever says nothing keeps his.
        assert_eq!(second([Some(0.25), Some(0.5), None]), [133, 67, 100]);
        // Never more than the bound, whatever is claimed.
        assert_eq!(second([Some(0.0), Some(0.5), Some(1e6)])[0], 299);
        assert_eq!(second([Some(0.0), Some(0.5), Some(1e6)])[2], 25);
        assert_eq!(second([None, None, None])[2], 25, "still fresh");
        clock.advance(5_000);
        assert_eq!(second([None, None, None]), [100, 100, 100], "expired");
    }

    #[test]
    fn a_changed_weight_is_a_new_version_and_an_equal_one_is_not() {
        let (clock, plan) = with_backend("slow_start", Value::Null, &["a:1", "b:1"]);
        let version = || plan.shared.list.load().version.load(Ordering::Relaxed);
        let mut rates = Rates::default();
        let first = version();
        factors(&plan, &clock, &mut rates);
        assert_eq!(version(), first);
        endpoints(&plan)[0].state.computed.set(2.5);
        assert_eq!(factors(&plan, &clock, &mut rates), [250, 100]);
        assert!(version() > first);
    }
}
