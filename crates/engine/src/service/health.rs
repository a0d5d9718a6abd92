// SPDX-License-Identifier: Apache-2.0
//! Active health checks.
use super::asking::Asker;
use super::state::Service;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidegate_config::Room;
use tidegate_contract::{Check, Endpoint, Health, Verdict};
use tidegate_core::{Draw, Moment};
use tidegate_net::Target;
use tokio::task::JoinHandle;

struct Running {
    /// The check as it was configured: a change of anything else of the backend leaves it alone.
    room: Room,
    endpoint: Arc<Endpoint>,
    task: JoinHandle<()>,
}

/// Keeps one task for each endpoint that is to be checked.
pub(crate) async fn run(service: Rc<Service>) {
    let mut running: HashMap<(String, String), Running> = HashMap::new();
    loop {
        let changed = service.changed.notified();
        reconcile(&service, &mut running);
        changed.await;
    }
}

fn reconcile(service: &Rc<Service>, running: &mut HashMap<(String, String), Running>) {
    let snapshot = service.snapshot();
    let mut wanted = HashMap::new();
    for plan in snapshot.backends.values() {
        let (Some(check), Some(room)) = (&plan.check, &plan.config.health_check) else {
            continue;
        };
        let list = plan.shared.list.load();
        for (endpoint, targets) in list.endpoints.iter().zip(&list.targets) {
            let key = (plan.name.to_string(), endpoint.address.clone());
            wanted.insert(
                key,
                (room, check.clone(), endpoint.clone(), targets.clone()),
            );
        }
    }
    running.retain(|key, old| {
        let stays = wanted.get(key).is_some_and(|(room, _, endpoint, _)| {
            **room == old.room && Arc::ptr_eq(&endpoint.state, &old.endpoint.state)
        });
        if !stays {
            old.task.abort();
            if !wanted.contains_key(key) {
                old.endpoint.state.set_health(Health::Unchecked);
                old.endpoint.state.note_failing("");
            }
        }
        stays
    });
    for (key, (room, check, endpoint, targets)) in wanted {
        let backend = key.0.clone();
        running.entry(key).or_insert_with(|| {
            let asker = Asker {
                service: service.clone(),
            };
            let watching = watch(asker, backend, check, endpoint.clone(), targets);
            let task = tokio::task::spawn_local(watching);
            Running {
                room: room.clone(),
                endpoint,
                task,
            }
        });
    }
    let functions = &snapshot.functions;
    let workers = functions
        .values()
        .flat_map(|function| &function.config.workers);
    let workers: HashSet<&str> = workers.map(String::as_str).collect();
    service.checkers.retain(|path| workers.contains(path));
}

type Targets = Arc<arc_swap::ArcSwap<Vec<Target>>>;

/// Checks one endpoint for as long as it is wanted.
async fn watch(
    asker: Asker,
    backend: String,
    check: Arc<dyn Check>,
    endpoint: Arc<Endpoint>,
    targets: Targets,
) {
    let named = format!("endpoint {} of {backend}", endpoint.address);
    let mut draw = Draw::from_entropy();
    let mut pauses = Pauses::default();
    let clock = asker.service.node.clock.clone();
    let mut exclusion = Exclusion::default();
    let (mut passed, mut failed) = (0u32, 0u32);
    let interval = check.interval_ms();
    // Many endpoints begin at once: the first checks are spread over a tenth of the interval.
    tokio::time::sleep(Duration::from_millis(draw.below(interval / 10 + 1))).await;
    loop {
        exclusion.look(&endpoint);
        let limit = Duration::from_millis(check.timeout_ms());
        let target = targets.load().first().cloned();
        let asked = asker.ask(&backend, &*check, &endpoint.address, target);
        let verdict = match tokio::time::timeout(limit, asked).await {
            Ok(verdict) => verdict,
            Err(_) => Verdict::Unhealthy("no answer in time".into()),
        };
        let why = match verdict {
            Verdict::Healthy => None,
            Verdict::Unhealthy(why) => Some(why),
        };
        let has_passed = why.is_none();
        (passed, failed) = match has_passed {
            true => (passed.saturating_add(1), 0),
            false => (0, failed.saturating_add(1)),
        };
        let why = why.unwrap_or_default();
        endpoint.state.note_failing(&why);
        let now = clock.now();
        if exclusion.is_over(&endpoint, has_passed, check.healthy_after(), now) {
            endpoint.state.returned(now);
            super::say(&format!("{named} is taken in again: its checks pass"));
        }
        let before = endpoint.state.health();
        if passed >= check.healthy_after() && before != Health::Up {
            if before == Health::Down {
                endpoint.state.returned(now);
            }
            endpoint.state.set_health(Health::Up);
            super::say(&format!("{named} is up"));
        } else if failed >= check.unhealthy_after() && before != Health::Down {
            endpoint.state.set_health(Health::Down);
            super::warn(&format!("{named} is down: {why}"));
        }
        let is_settled = match endpoint.state.health() {
            Health::Up => failed == 0,
            Health::Down | Health::Unchecked => false,
        };
        let pause = pauses.next(&*check, is_settled, &mut draw);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// How long to wait between two probes.
#[derive(Default)]
struct Pauses {
    is_spread: bool,
}

impl Pauses {
    /// Milliseconds to the next probe. An endpoint that is down or in doubt is asked at the quick pace.
    fn next(&mut self, check: &dyn Check, is_settled: bool, draw: &mut Draw) -> u64 {
        let interval = match is_settled {
            true => check.interval_ms(),
            false => check.quick_interval_ms(),
        };
        // Many endpoints that came up together are spread over a whole interval, once ...
        if is_settled && !std::mem::replace(&mut self.is_spread, true) {
            return draw.below(interval) + 1;
        }
        // ... and a tenth of jitter keeps them, and other nodes, from falling into step.
        interval - interval / 20 + draw.below(interval / 10 + 1)
    }
}

/// What the checks say of an endpoint that passive health keeps out: as many passes as bring one
/// up that was down end its exclusion. Only those count that began after it.
#[derive(Default)]
struct Exclusion {
    /// Its end as it was before the check; 0 is none.
    until: u64,
    passed: u32,
}

impl Exclusion {
    fn look(&mut self, endpoint: &Endpoint) {
        let until = endpoint.state.excluded_until.load(Ordering::Relaxed);
        if until != self.until {
            (self.until, self.passed) = (until, 0);
        }
    }

    /// Judges one check that began after [`Self::look`]; true when it takes the endpoint in again.
    fn is_over(&mut self, endpoint: &Endpoint, has_passed: bool, enough: u32, now: Moment) -> bool {
        self.passed = match has_passed {
            true => self.passed.saturating_add(1),
            false => 0,
        };
        self.until > now.millis()
            && self.passed >= enough
            && endpoint.state.readmit(std::mem::take(&mut self.until))
    }
}

#[cfg(test)]
mod tests {
    use super::Pauses;
    use std::collections::HashSet;
    use tidegate_contract::{Check, Heard, Probe, Verdict};
    use tidegate_core::Draw;

    struct EverySecond;

    impl Check for EverySecond {
        fn interval_ms(&self) -> u64 {
            1000
        }
        fn quick_interval_ms(&self) -> u64 {
            200
        }
        fn timeout_ms(&self) -> u64 {
            100
        }
        fn healthy_after(&self) -> u32 {
            1
        }
        fn unhealthy_after(&self) -> u32 {
            1
        }
        fn probe(&self, _address: &str) -> Probe {
            Probe::Connect
        }
        fn judge(&self, _heard: Heard<'_>) -> Verdict {
            Verdict::Healthy
        }
    }

    #[test]
    fn pauses_are_a_twentieth_longer_or_shorter_and_the_first_is_anywhere() {
        let draw = &mut Draw::from_seed(1);
        let mut many = |is_settled: bool| {
            let mut pauses = Pauses::default();
            let first = pauses.next(&EverySecond, is_settled, draw);
            let rest: HashSet<u64> = (0..500)
                .map(|_| pauses.next(&EverySecond, is_settled, draw))
                .collect();
            let least = rest.iter().min().copied().unwrap_or_default();
            let most = rest.iter().max().copied().unwrap_or_default();
            (first, least, most, rest.len())
        };
        let (_, least, most, different) = many(true);
        assert!((950..960).contains(&least) && (1040..=1050).contains(&most));
        assert!(different > 90, "{different} of 101");
        let (_, least, most, _) = many(false);
        assert_eq!((least, most), (190, 210), "in doubt at the quick pace");
        let firsts: HashSet<u64> = (0..100).map(|_| many(true).0 / 100).collect();
        assert!(firsts.len() >= 10, "first pauses are all over the interval");
    }
}
