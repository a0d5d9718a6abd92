// SPDX-License-Identifier: Apache-2.0
use super::state::Service;
use crate::snapshot::BackendPlan;
use crate::tell;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use tidegate_contract::{Endpoint, Health};
use tidegate_core::Moment;

/// What the node is doing, for `tidegate status`.
pub(crate) fn status(service: &Service) -> Value {
    let node = &service.node;
    let snapshot = service.snapshot();
    let now = node.clock.now();
    let listeners: Vec<Value> = snapshot
        .listeners
        .iter()
        .map(|plan| {
            let connections = plan.counted.all.load(Ordering::Relaxed);
            let certificates = plan.tls.as_ref().map(|tls| {
                let each = tls.certificates.iter();
                let told = each.map(|each| {
                    let not_after = each.validity.not_after;
                    json!({"file": each.file, "names": each.names, "not_after": not_after})
                });
                told.collect::<Vec<_>>()
            });
            json!({
                "name": &*plan.name,
                "address": plan.key,
                "protocol": plan.config.protocol,
                "connections": connections,
                "certificates": certificates,
            })
        })
        .collect();
    let mut plans: Vec<_> = snapshot.backends.values().collect();
    plans.sort_by(|a, b| a.name.cmp(&b.name));
    let backends: Vec<Value> = plans.into_iter().map(|plan| backend(plan, now)).collect();
    let departed = node
        .registry
        .departed(|name| snapshot.backends.contains_key(name));
    let departed: Vec<Value> = departed
        .into_iter()
        .map(|(backend, address, in_flight)| {
            json!({"backend": backend, "address": address, "in_flight": in_flight})
        })
        .collect();
    let documents: Vec<Value> = node
        .registry
        .documents()
        .iter()
        .map(|document| {
            let fetches = document.fetches();
            json!({
                "kind": document.source.kind,
                "url": document.source.url,
                "age_s": fetches.taken_at_ms.map(|at| now.millis().saturating_sub(at) / 1000),
                "fetches": fetches.taken,
                "failures": fetches.failed,
                "error": fetches.error,
            })
        })
        .collect();
    let threads = node.all_thread_stats();
    let sum = |counter: fn(&tidegate_telemetry::ThreadStats) -> u64| -> u64 {
        threads.iter().map(|thread| counter(thread)).sum()
    };
    json!({
        "instance": node.config.instance,
        "version": node.config.version,
        "pid": std::process::id(),
        "threads": node.config.threads,
        "snapshot": snapshot.number,
        "routes": snapshot.routes.len() + snapshot.l4.routes.len(),
        "uptime_s": now.micros_since(node.started) / 1_000_000,
        "requests": sum(|thread| thread.requests.load(Ordering::Relaxed)),
        "connections_accepted": sum(|thread| thread.accepted.load(Ordering::Relaxed)),
        "connections_resting": sum(|thread| thread.resting.load(Ordering::Relaxed)),
        "connections_refused": sum(|thread| {
            [
                &thread.refused,
                &thread.refused_descriptors,
                &thread.refused_memory,
                &thread.refused_client,
                &thread.refused_rate,
                &thread.refused_proxy,
            ]
                .map(|counter| counter.load(Ordering::Relaxed))
                .iter()
                .sum()
        }),
        "connections_delayed": sum(|thread| thread.delayed.load(Ordering::Relaxed)),
        "connections_ended": sum(|thread| thread.ended.load(Ordering::Relaxed)),
        "memory": node.memory.reading().map(|reading| json!({
            "used": reading.used,
            "limit": reading.limit,
            "source": reading.source,
            "state": node.memory.level().words(),
        })),
        "panics": sum(|thread| thread.panics.load(Ordering::Relaxed)),
        "drain": service.drain_status(),
        "log_dropped": node.log.dropped(),
        "zone": snapshot.settings.config.zone,
        "drained_zones": &*node.registry.drained_zones(),
        "listeners": listeners,
        "backends": backends,
        "departed": departed,
        "documents": documents,
    })
}

fn backend(plan: &BackendPlan, now: Moment) -> Value {
    let list = plan.shared.list.load();
    let endpoints: Vec<Value> = (0u16..)
        .zip(&list.endpoints)
        .map(|(index, each)| {
            let is_draining =
                each.is_draining || (list.is_drained(index) && !list.is_all_drained());
            endpoint(each, is_draining, now)
        })
        .collect();
    json!({
        "name": &*plan.name,
        "endpoints": endpoints,
        "in_flight": list.in_flight(),
        "pending": plan.shared.pending.load(Ordering::Relaxed),
        "refused": {
            "queue_full": plan.shared.refused_full.load(Ordering::Relaxed),
            "queue_late": plan.shared.refused_late.load(Ordering::Relaxed),
        },
        "adaptive": plan.adaptive.as_ref().map(|own| json!({
            "limit": own.limit(),
            "idle_us": own.idle_us(),
        })),
        "groups": tell::division(plan, now),
        "tls": plan.tls.as_ref().map(|own| {
            let handshakes = &plan.shared.handshakes;
            let failed = handshakes.failed().filter(|(_, count)| *count > 0);
            let failed: BTreeMap<&str, u64> =
                failed.map(|(reason, count)| (reason.name(), count)).collect();
            json!({
                "terms": tell::tls(own),
                "handshakes": {
                    "new": handshakes.new.load(Ordering::Relaxed),
                    "resumed": handshakes.resumed.load(Ordering::Relaxed),
                    "failed": failed,
                },
            })
        }),
    })
}

fn endpoint(endpoint: &Endpoint, is_draining: bool, now: Moment) -> Value {
    let state = &endpoint.state;
    let health = match state.health() {
        _ if state.is_excluded(now) => "excluded",
        Health::Unchecked => "unchecked",
        Health::Up => "up",
        Health::Down => "down",
    };
    json!({
        "address": endpoint.address,
        "zone": endpoint.zone,
        "priority": endpoint.priority,
        "weight": endpoint.weight,
        "weight_now": f64::from(endpoint.weight) * state.factor.get(),
        "source": endpoint.source,
        "draining": is_draining,
        "health": health,
        "check_failed": state.failing(),
        "in_flight": state.in_flight.load(Ordering::Relaxed),
        "connections": state.connections.load(Ordering::Relaxed),
        "requests": state.requests.load(Ordering::Relaxed),
        "exclusions": state.excluded_total.load(Ordering::Relaxed),
        "failures": state.failures_total.load(Ordering::Relaxed),
    })
}
