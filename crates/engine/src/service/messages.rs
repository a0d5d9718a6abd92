// SPDX-License-Identifier: Apache-2.0
//! What each message of the control protocol does.
use super::Wish;
use super::state::Service;
use super::status;
use super::top;
use crate::explain;
use crate::snapshot::{ChallengeSet, Problem, SourceState};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tidegate_config::{Delta, EndpointSet, SCHEMA, SecretSet};
use tidegate_contract::Health;
use tidegate_net::{Frame, MAX_DESCRIPTORS};

type Reply = (Value, Vec<OwnedFd>);
type Answer = Result<Value, Vec<Problem>>;

/// What every message has. The rest is read by kind, straight from the text: a tagged enum would
/// copy a whole snapshot first, and could not hold its raw values.
#[derive(Deserialize)]
struct Head {
    id: u64,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct WithDelta {
    delta: Delta,
}

#[derive(Deserialize)]
struct WithSets {
    sets: Vec<EndpointSet>,
}

#[derive(Deserialize)]
struct WithSecrets {
    secrets: Vec<SecretSet>,
}

#[derive(Deserialize)]
struct WithWeights {
    /// By backend and address; whatever is left out is 1.
    weights: HashMap<String, HashMap<String, f64>>,
}

#[derive(Deserialize)]
struct WithSources {
    /// By backend.
    sources: BTreeMap<String, SourceState>,
}

#[derive(Deserialize)]
struct WithQuestion {
    request: explain::Question,
}

#[derive(Deserialize)]
struct WithId {
    request_id: String,
}

/// What to look back on, in milliseconds.
#[derive(Deserialize)]
struct WithWindow {
    window_ms: u64,
}

/// How to end; without `idle_ms`, as at the end of the whole gateway.
#[derive(Deserialize)]
struct WithWish {
    grace_ms: Option<u64>,
    idle_ms: Option<u64>,
    has_heir: Option<bool>,
}

#[derive(Deserialize)]
struct WithZone {
    zone: String,
    drained: bool,
}

/// How to start: from the disk unless told not to, with the health of endpoints as
/// `[backend, address, "up" or "down"]`.
#[derive(Deserialize)]
struct WithStart {
    from_disk: Option<bool>,
    /// Whether another node reads the sockets of UDP until `datagrams.take`.
    without_datagrams: Option<bool>,
    health: Option<Vec<(String, String, String)>>,
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Vec<Problem>> {
    serde_json::from_slice(bytes).map_err(|error| vec![Problem::new("message", error.to_string())])
}

/// The replies to one frame: one, or several where descriptors do not fit into one.
pub(crate) async fn answer(service: &Rc<Service>, frame: Frame) -> Vec<Reply> {
    let head: Head = match read(&frame.bytes) {
        Ok(head) => head,
        Err(problems) => {
            let told = json!({"id": Value::Null, "ok": false, "problems": problems});
            return vec![(told, Vec::new())];
        }
    };
    if head.kind == "sockets.get" {
        return sockets(service, head.id);
    }
    let answer = carry_out(service, &head.kind, frame).await;
    vec![(reply(service, head.id, answer), Vec::new())]
}

async fn carry_out(service: &Rc<Service>, kind: &str, frame: Frame) -> Answer {
    let bytes = &frame.bytes;
    match kind {
        "hello" => Ok(hello(service)),
        "sockets.put" => put(service, read::<Keys>(bytes)?.keys, frame.descriptors),
        "sockets.drop" => {
            let keys = read::<Keys>(bytes)?.keys;
            service
                .sockets
                .borrow_mut()
                .retain(|key, _| !keys.contains(key));
            Ok(json!({}))
        }
        "start" => start(service, read::<WithStart>(bytes)?).await,
        "snapshot.delta" => take(service, &read::<WithDelta>(bytes)?.delta).await,
        "secrets.compare" => Ok(compare(service, &read::<WithSecrets>(bytes)?.secrets)),
        "endpoints.set" => {
            for set in &read::<WithSets>(bytes)?.sets {
                service.set_endpoints(set);
            }
            super::resolve::settle(&service.snapshot()).await;
            service.changed.notify_waiters();
            service.save();
            service.until_saved().await;
            Ok(json!({}))
        }
        "zone.set" => {
            let asked = read::<WithZone>(bytes)?;
            super::zones::set(service, &asked.zone, asked.drained)
        }
        "challenges.set" => {
            let told = read::<ChallengeSet>(bytes)?;
            let challenges = &service.node.registry.challenges;
            challenges
                .set(&told)
                .map_err(|message| vec![Problem::new("challenges", message)])?;
            Ok(json!({}))
        }
        "weights.set" => {
            super::weights::set_computed(service, &read::<WithWeights>(bytes)?.weights);
            Ok(json!({}))
        }
        "sources.set" => {
            let now = service.node.clock.now();
            let told = read::<WithSources>(bytes)?.sources;
            service.node.registry.sources.set(told, now);
            Ok(json!({}))
        }
        "status" => Ok(status::status(service)),
        "decide" => decide(service, &read::<WithQuestion>(bytes)?.request),
        "top" => {
            let window = read::<WithWindow>(bytes)?.window_ms;
            Ok(top::top(service, Duration::from_millis(window)).await)
        }
        "slow" => Ok(slow(service).await),
        "why" => why(service, &read::<WithId>(bytes)?.request_id).await,
        "logs.reopen" => {
            service.node.log.reopen();
            Ok(json!({}))
        }
        "datagrams.leave" => {
            service.leave_datagrams(frame.descriptors).await;
            Ok(json!({}))
        }
        "datagrams.take" => {
            service.take_datagrams(frame.descriptors).await;
            Ok(json!({}))
        }
        "drain" => {
            service.drain.ask(wish(service, &read::<WithWish>(bytes)?));
            Ok(json!({}))
        }
        "drain.status" => Ok(json!({"drain": service.drain_status()})),
        other => Err(vec![Problem::new(
            "message",
            format!("there is no message `{other}`"),
        )]),
    }
}

fn reply(service: &Service, id: u64, answer: Answer) -> Value {
    match answer {
        Ok(Value::Object(mut fields)) => {
            fields.insert("id".into(), id.into());
            fields.insert("ok".into(), true.into());
            Value::Object(fields)
        }
        Ok(other) => json!({"id": id, "ok": true, "value": other}),
        Err(problems) => {
            let number = service.snapshot().number;
            json!({"id": id, "ok": false, "problems": problems, "snapshot": number})
        }
    }
}

async fn start(service: &Service, how: WithStart) -> Answer {
    let health = how.health.unwrap_or_default().into_iter();
    service.learn(health.filter_map(|(backend, address, word)| {
        let health = match word.as_str() {
            "up" => Health::Up,
            "down" => Health::Down,
            _ => return None,
        };
        Some(((backend, address), health))
    }));
    let waits = how.without_datagrams.unwrap_or(false);
    service.waits_for_datagrams.set(waits);
    let snapshot = service.start(how.from_disk.unwrap_or(true)).await?;
    Ok(json!({"snapshot": snapshot}))
}

fn wish(service: &Service, asked: &WithWish) -> Wish {
    let usual = Wish::stop(service.graceful_stop());
    Wish {
        grace: asked.grace_ms.map_or(usual.grace, Duration::from_millis),
        idle: asked.idle_ms.map_or(usual.idle, Duration::from_millis),
        has_heir: asked.has_heir.unwrap_or(usual.has_heir),
    }
}

fn hello(service: &Service) -> Value {
    let snapshot = service.snapshot();
    let hashes: Vec<&str> = snapshot
        .resources
        .values()
        .map(|resource| resource.hash.as_str())
        .collect();
    json!({
        "version": service.node.config.version,
        "build": service.node.config.build,
        "pid": std::process::id(),
        "instance": service.node.config.instance,
        "schema": SCHEMA,
        "snapshot": snapshot.number,
        "hashes": hashes.join(""),
        "started": *service.is_started.borrow(),
        "threads": service.node.config.threads,
        "without_datagrams": service.waits_for_datagrams.get(),
    })
}

fn put(service: &Service, keys: Vec<String>, descriptors: Vec<OwnedFd>) -> Answer {
    if keys.len() != descriptors.len() {
        let message = format!(
            "{} keys came with {} descriptors",
            keys.len(),
            descriptors.len()
        );
        return Err(vec![Problem::new("sockets.put", message)]);
    }
    let mut fresh = std::collections::BTreeMap::<String, Vec<OwnedFd>>::new();
    for (key, descriptor) in keys.into_iter().zip(descriptors) {
        fresh.entry(key).or_default().push(descriptor);
    }
    // The same key again replaces: it is the same socket, or one that was bound anew.
    service.sockets.borrow_mut().append(&mut fresh);
    Ok(json!({}))
}

/// All sockets, in as many frames as their descriptors need.
fn sockets(service: &Service, id: u64) -> Vec<Reply> {
    let sockets = service.sockets.borrow();
    let all: Vec<(&String, &OwnedFd)> = sockets
        .iter()
        .flat_map(|(key, fds)| fds.iter().map(move |fd| (key, fd)))
        .collect();
    let mut parts: Vec<&[(&String, &OwnedFd)]> = all.chunks(MAX_DESCRIPTORS).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let last = parts.len() - 1;
    let replies = parts.iter().enumerate().map(|(index, part)| {
        let (keys, fds): (Vec<&String>, Vec<OwnedFd>) = part
            .iter()
            .filter_map(|(key, fd)| Some((*key, fd.as_fd().try_clone_to_owned().ok()?)))
            .unzip();
        (
            json!({"id": id, "ok": true, "keys": keys, "more": index < last}),
            fds,
        )
    });
    replies.collect()
}

async fn take(service: &Service, delta: &Delta) -> Answer {
    let taken = service.take(delta).await?;
    service.until_saved().await;
    Ok(json!({"number": taken.number, "build_us": taken.build_us, "swap_us": taken.swap_us}))
}

/// Which of these resources have other secrets here: their hashes do not tell.
fn compare(service: &Service, sets: &[SecretSet]) -> Value {
    let snapshot = service.snapshot();
    let differ = sets.iter().filter(|set| {
        let own = snapshot.secrets.of(&(set.kind, set.name.clone()));
        own != Some(&set.values)
    });
    let differ: Vec<_> = differ.map(|set| (set.kind, &set.name)).collect();
    json!({"differ": differ})
}

fn decide(service: &Service, question: &explain::Question) -> Answer {
    let snapshot = service.snapshot();
    let decision = explain::explain(&snapshot, question, service.node.clock.now())
        .map_err(|message| vec![Problem::new("request", message)])?;
    Ok(json!({"decision": decision}))
}

/// How long a request is looked for: its account is written when its exchange is over, which may
/// be a little after the client has its answer.
const LOOK_FOR: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The slow requests that are remembered, oldest first, in the form of the access log with `timing`.
async fn slow(service: &Service) -> Value {
    service.flush_log(LOOK_FOR).await;
    let lines = service.node.log.slow();
    let entries = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok());
    let limit = service.snapshot().settings.config.slow_request;
    json!({"limit_ms": limit.map(|limit| limit.0), "entries": entries.collect::<Vec<Value>>()})
}

async fn why(service: &Service, request_id: &str) -> Answer {
    let clock = &service.node.clock;
    let until = clock.now().after_millis(LOOK_FOR.as_millis() as u64);
    loop {
        service.flush_log(LOOK_FOR).await;
        let found = service.node.log.find(request_id);
        let entry: Option<Map<String, Value>> =
            found.and_then(|line| serde_json::from_str(&line).ok());
        if let Some(entry) = entry {
            return Ok(json!({"entry": entry}));
        }
        if clock.now() >= until {
            let message = "no such request among the last 20,000 that are over: it may still be \
                           under way, or the access log has it";
            return Err(vec![Problem::new(request_id, message)]);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
