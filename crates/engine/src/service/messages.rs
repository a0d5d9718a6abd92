// SPDX-License-Identifier: Apache-2.0
//! What each message of the control protocol does.
use super::state::Service;
use super::status;
use crate::explain;
use crate::snapshot::Problem;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tidegate_config::{Delta, EndpointSet, SCHEMA};
use tidegate_net::{Frame, MAX_DESCRIPTORS};

type Reply = (Value, Vec<OwnedFd>);
type Answer = Result<Value, Vec<Problem>>;

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum Message {
    #[serde(rename = "hello")]
    Hello { id: u64 },
    #[serde(rename = "sockets.put")]
    SocketsPut { id: u64, keys: Vec<String> },
    #[serde(rename = "sockets.get")]
    SocketsGet { id: u64 },
    #[serde(rename = "sockets.drop")]
    SocketsDrop { id: u64, keys: Vec<String> },
    #[serde(rename = "start")]
    Start { id: u64 },
    #[serde(rename = "snapshot.delta")]
    SnapshotDelta { id: u64, delta: Box<Delta> },
    #[serde(rename = "endpoints.set")]
    EndpointsSet { id: u64, sets: Vec<EndpointSet> },
    #[serde(rename = "status")]
    Status { id: u64 },
    #[serde(rename = "decide")]
    Decide { id: u64, request: explain::Question },
    #[serde(rename = "why")]
    Why { id: u64, request_id: String },
    #[serde(rename = "logs.reopen")]
    LogsReopen { id: u64 },
    #[serde(rename = "drain")]
    Drain { id: u64, grace_ms: Option<u64> },
}

/// The replies to one frame: one, or several where descriptors do not fit into one.
pub(crate) async fn answer(service: &Rc<Service>, frame: Frame) -> Vec<Reply> {
    let message: Message = match serde_json::from_slice(&frame.bytes) {
        Ok(message) => message,
        Err(error) => {
            let id = serde_json::from_slice::<Value>(&frame.bytes)
                .ok()
                .and_then(|value| value.get("id").cloned())
                .unwrap_or(Value::Null);
            let problem = Problem::new("message", error.to_string());
            return vec![(
                json!({"id": id, "ok": false, "problems": [problem]}),
                Vec::new(),
            )];
        }
    };
    let (id, answer) = match message {
        Message::SocketsGet { id } => return sockets(service, id),
        Message::Hello { id } => (id, Ok(hello(service))),
        Message::SocketsPut { id, keys } => (id, put(service, keys, frame.descriptors)),
        Message::SocketsDrop { id, keys } => {
            service
                .sockets
                .borrow_mut()
                .retain(|key, _| !keys.contains(key));
            (id, Ok(json!({})))
        }
        Message::Start { id } => (
            id,
            service
                .start()
                .await
                .map(|number| json!({"snapshot": number})),
        ),
        Message::SnapshotDelta { id, delta } => (id, take(service, &delta).await),
        Message::EndpointsSet { id, sets } => {
            for set in &sets {
                service.set_endpoints(set);
            }
            super::resolve::settle(&service.snapshot()).await;
            service.changed.notify_waiters();
            service.save();
            (id, Ok(json!({})))
        }
        Message::Status { id } => (id, Ok(status::status(service))),
        Message::Decide { id, request } => (id, decide(service, &request)),
        Message::Why { id, request_id } => (id, why(service, &request_id)),
        Message::LogsReopen { id } => {
            service.node.log.reopen();
            (id, Ok(json!({})))
        }
        Message::Drain { id, grace_ms } => {
            service.ask_drain(grace_ms.map(Duration::from_millis));
            (id, Ok(json!({})))
        }
    };
    vec![(reply(service, id, answer), Vec::new())]
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

fn hello(service: &Service) -> Value {
    let snapshot = service.snapshot();
    let hashes: Vec<&str> = snapshot
        .resources
        .values()
        .map(|resource| resource.hash.as_str())
        .collect();
    json!({
        "version": service.node.config.version,
        "pid": std::process::id(),
        "instance": service.node.config.instance,
        "schema": SCHEMA,
        "snapshot": snapshot.number,
        "hashes": hashes.join(""),
        "started": *service.is_started.borrow(),
        "threads": service.node.config.threads,
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
    Ok(json!({"number": taken.number, "build_us": taken.build_us, "swap_us": taken.swap_us}))
}

fn decide(service: &Service, question: &explain::Question) -> Answer {
    let snapshot = service.snapshot();
    let decision = explain::explain(&snapshot, question, service.node.clock.now())
        .map_err(|message| vec![Problem::new("request", message)])?;
    Ok(json!({"decision": decision}))
}

fn why(service: &Service, request_id: &str) -> Answer {
    let found = service.node.log.find(request_id);
    let entry: Option<Map<String, Value>> = found.and_then(|line| serde_json::from_str(&line).ok());
    match entry {
        Some(entry) => Ok(json!({"entry": entry})),
        None => {
            let message = "no such request among the last 20,000: the access log may still have it";
            Err(vec![Problem::new(request_id, message)])
        }
    }
}
