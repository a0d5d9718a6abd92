// SPDX-License-Identifier: Apache-2.0
//! Active health checks.
use super::state::Service;
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidegate_contract::{Check, Endpoint, Health, Probe, Verdict};
use tidegate_core::{Clock, Draw, Moment};
use tidegate_http::{HeadLimits, HeadScanner, parse_response};
use tidegate_net::{Stream, Target, connect};
use tidegate_request::Method;
use tokio::task::JoinHandle;

/// What a check may send as the head of its answer.
const LIMITS: HeadLimits = HeadLimits {
    header_size: 32 << 10,
    header_fields: 100,
    target_size: 32 << 10,
};

struct Running {
    check: Arc<dyn Check>,
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
        let Some(check) = &plan.check else { continue };
        let list = plan.shared.list.load();
        for (endpoint, targets) in list.endpoints.iter().zip(&list.targets) {
            let key = (plan.name.to_string(), endpoint.address.clone());
            wanted.insert(key, (check.clone(), endpoint.clone(), targets.clone()));
        }
    }
    running.retain(|key, old| {
        let stays = wanted.get(key).is_some_and(|(check, endpoint, _)| {
            Arc::ptr_eq(check, &old.check) && Arc::ptr_eq(&endpoint.state, &old.endpoint.state)
        });
        if !stays {
            old.task.abort();
            if !wanted.contains_key(key) {
                old.endpoint.state.set_health(Health::Unchecked);
            }
        }
        stays
    });
    for (key, (check, endpoint, targets)) in wanted {
        running.entry(key).or_insert_with(|| {
            let clock = service.node.clock.clone();
            let watched = watch(clock, check.clone(), endpoint.clone(), targets);
            let task = tokio::task::spawn_local(watched);
            Running {
                check,
                endpoint,
                task,
            }
        });
    }
}

type Targets = Arc<arc_swap::ArcSwap<Vec<Target>>>;

/// Checks one endpoint for as long as it is wanted.
async fn watch(clock: Clock, check: Arc<dyn Check>, endpoint: Arc<Endpoint>, targets: Targets) {
    let mut draw = Draw::from_entropy();
    let mut exclusion = Exclusion::default();
    let (mut passed, mut failed) = (0u32, 0u32);
    let interval = check.interval_ms();
    // Many endpoints begin at once: the first checks are spread over a tenth of the interval.
    tokio::time::sleep(Duration::from_millis(draw.below(interval / 10 + 1))).await;
    loop {
        exclusion.look(&endpoint);
        let limit = Duration::from_millis(check.timeout_ms());
        let verdict = match tokio::time::timeout(limit, probe(&*check, &endpoint, &targets)).await {
            Ok(verdict) => verdict,
            Err(_) => Verdict::Unhealthy("no answer in time".into()),
        };
        match verdict {
            Verdict::Healthy => (passed, failed) = (passed.saturating_add(1), 0),
            Verdict::Unhealthy(_) => (passed, failed) = (0, failed.saturating_add(1)),
        }
        let has_passed = matches!(verdict, Verdict::Healthy);
        if exclusion.is_over(&endpoint, has_passed, check.healthy_after(), clock.now()) {
            super::say(&format!(
                "endpoint {} is taken in again: its checks pass",
                endpoint.address
            ));
        }
        let before = endpoint.state.health();
        if passed >= check.healthy_after() && before != Health::Up {
            endpoint.state.set_health(Health::Up);
            super::say(&format!("endpoint {} is up", endpoint.address));
        } else if failed >= check.unhealthy_after() && before != Health::Down {
            endpoint.state.set_health(Health::Down);
            let why = match verdict {
                Verdict::Unhealthy(why) => why,
                Verdict::Healthy => String::new(),
            };
            super::say(&format!("endpoint {} is down: {why}", endpoint.address));
        }
        // A tenth of jitter, so that checkers do not fall into step.
        let jitter = draw.below(interval / 10 + 1);
        tokio::time::sleep(Duration::from_millis(interval - interval / 20 + jitter)).await;
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

async fn probe(check: &dyn Check, endpoint: &Endpoint, targets: &Targets) -> Verdict {
    let Some(target) = targets.load().first().cloned() else {
        return Verdict::Unhealthy("the name has no address".into());
    };
    let stream = match connect(&target).await {
        Ok(stream) => stream,
        Err(error) => return Verdict::Unhealthy(format!("connecting failed: {error}")),
    };
    match check.probe(&endpoint.address) {
        Probe::Connect => check.judge(None),
        Probe::Http { bytes } => match ask(&stream, &bytes).await {
            Ok(status) => check.judge(Some(status)),
            Err(why) => Verdict::Unhealthy(why),
        },
    }
}

/// The status of the response to `bytes`.
async fn ask(stream: &Stream, bytes: &[u8]) -> Result<u16, String> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let sent = poll_fn(|cx| stream.poll_write(cx, rest))
            .await
            .map_err(|error| error.to_string())?;
        rest = rest.get(sent..).unwrap_or_default();
    }
    let mut received = vec![0; 4096];
    let mut end = 0;
    let mut scanner = HeadScanner::for_response();
    loop {
        let data = received.get(..end).unwrap_or_default();
        if let Some(length) = scanner
            .scan(data, &LIMITS)
            .map_err(|reject| reject.detail.to_owned())?
        {
            let head = data.get(..length).unwrap_or_default();
            let response = parse_response(head, Default::default(), &LIMITS, Method::Get)
                .map_err(|(reject, _)| reject.detail.to_owned())?;
            // What announces a response is none (RFC 9110 §15.2); the check's timeout bounds them.
            if !response.is_informational() {
                return Ok(response.status());
            }
            received.copy_within(length..end, 0);
            end -= length;
            continue;
        }
        if end == received.len() {
            received.resize(received.len() * 2, 0);
        }
        let room = received.get_mut(end..).unwrap_or_default();
        match poll_fn(|cx| stream.poll_read(cx, room)).await {
            Ok(0) => return Err("closed before a response".into()),
            Ok(count) => end += count,
            Err(error) => return Err(error.to_string()),
        }
    }
}
