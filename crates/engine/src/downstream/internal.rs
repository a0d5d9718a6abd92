// SPDX-License-Identifier: Apache-2.0
use crate::node::Node;
use crate::snapshot::{BackendPlan, Snapshot};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_config::InternalPage;
use tidegate_contract::{Answer, Health, Source};
use tidegate_request::Fields;
use tidegate_telemetry::{Gauge, Scrape, ThreadStats, render};
use tidegate_tls::Refusal;

/// A page about the node itself.
pub(crate) fn page(node: &Node, snapshot: &Snapshot, page: InternalPage) -> Answer {
    let (content_type, body) = match page {
        InternalPage::Metrics => (
            "text/plain; version=0.0.4; charset=utf-8",
            metrics_text(node, snapshot),
        ),
        InternalPage::Health => ("text/plain; charset=utf-8", "ok\n".to_owned()),
    };
    let mut fields = Fields::default();
    let _ = fields.append(b"Content-Type", content_type.as_bytes());
    let _ = fields.append(b"Cache-Control", b"no-store");
    Answer {
        status: 200,
        fields,
        body: body.into_bytes(),
        error: None,
    }
}

/// What `/metrics` says.
pub(crate) fn metrics_text(node: &Node, snapshot: &Snapshot) -> String {
    let mut gauges = vec![
        Gauge {
            name: "tidegate_snapshot_number",
            labels: vec![],
            value: snapshot.number as f64,
        },
        Gauge {
            name: "tidegate_log_dropped_entries",
            labels: vec![],
            value: node.log.dropped() as f64,
        },
        Gauge {
            name: "tidegate_otlp_lost_spans",
            labels: vec![],
            value: node.log.lost_spans() as f64,
        },
    ];
    if let Some(reading) = node.memory.reading() {
        for (name, value) in [
            ("tidegate_memory_used_bytes", reading.used),
            ("tidegate_memory_limit_bytes", reading.limit),
        ] {
            gauges.push(Gauge {
                name,
                labels: vec![],
                value: value as f64,
            });
        }
    }
    for listener in &snapshot.listeners {
        gauges.push(Gauge {
            name: "tidegate_listener_connections",
            labels: vec![("listener", listener.name.to_string())],
            value: f64::from(listener.counted.all.load(Ordering::Relaxed)),
        });
    }
    let threads = node.all_thread_stats();
    let resting = |thread: &Arc<ThreadStats>| thread.resting.load(Ordering::Relaxed);
    gauges.push(Gauge {
        name: "tidegate_connections_resting",
        labels: vec![],
        value: threads.iter().map(resting).sum::<u64>() as f64,
    });
    tls_gauges(&threads, snapshot, &mut gauges);
    endpoint_gauges(node, snapshot, &mut gauges);
    backend_gauges(snapshot, &mut gauges);
    policy_gauges(node, &mut gauges);
    document_gauges(node, &mut gauges);
    crate::l4::gauges(snapshot, &mut gauges);
    crate::egress::gauges(snapshot, &mut gauges);
    let sources = &node.registry.sources;
    sources.gauges(snapshot, node.clock.now(), &mut gauges);
    let routes = snapshot
        .routes
        .iter()
        .map(|route| (route.name.clone(), route.stats.clone()))
        .collect();
    render(&Scrape {
        routes,
        threads,
        gauges,
    })
}

/// Handshakes, and until when certificates are good.
fn tls_gauges(threads: &[Arc<ThreadStats>], snapshot: &Snapshot, gauges: &mut Vec<Gauge>) {
    let plans = || {
        let listeners = snapshot.listeners.iter();
        listeners.filter_map(|listener| Some((listener, listener.tls.as_ref()?)))
    };
    // Those that pass on what they read the beginning of have failures as well.
    let mut listeners = snapshot.listeners.iter();
    let is_read = listeners.any(|listener| {
        listener.is_passing() || listener.is_mixed() || snapshot.l4.reads_quic(&listener.name)
    });
    if plans().next().is_none() && !is_read {
        return;
    }
    let sum = |counter: &dyn Fn(&ThreadStats) -> u64| {
        threads.iter().map(|thread| counter(thread)).sum::<u64>() as f64
    };
    let mut add = |name, labels, value| {
        gauges.push(Gauge {
            name,
            labels,
            value,
        })
    };
    let full = sum(&|thread| thread.handshakes_full.load(Ordering::Relaxed));
    let resumed = sum(&|thread| thread.handshakes_resumed.load(Ordering::Relaxed));
    for (session, value) in [("new", full), ("resumed", resumed)] {
        let labels = vec![("session", session.to_owned())];
        add("tidegate_tls_handshakes_total", labels, value);
    }
    for reason in Refusal::ALL {
        let labels = vec![("reason", reason.name().to_owned())];
        let value = sum(&|thread| thread.refusals(reason as usize));
        add("tidegate_tls_handshakes_failed_total", labels, value);
    }
    for (listener, tls) in plans() {
        for each in &tls.certificates {
            let name = each.names.first().cloned().unwrap_or_default();
            let labels = vec![
                ("listener", listener.name.to_string()),
                ("certificate", each.file.clone()),
                ("name", name),
            ];
            let value = each.validity.not_after as f64;
            add(
                "tidegate_certificate_expiry_timestamp_seconds",
                labels,
                value,
            );
        }
    }
}

/// How fetching went of what policies work with, and how old it is.
fn document_gauges(node: &Node, gauges: &mut Vec<Gauge>) {
    let now = node.clock.now().millis();
    let all: Vec<_> = node
        .registry
        .documents()
        .into_iter()
        .map(|document| (document.source.clone(), document.fetches()))
        .collect();
    let mut add = |name, source: &Source, outcome: Option<&str>, value: f64| {
        let mut labels = vec![
            ("kind", source.kind.to_owned()),
            ("url", source.url.clone()),
        ];
        labels.extend(outcome.map(|outcome| ("outcome", outcome.to_owned())));
        gauges.push(Gauge {
            name,
            labels,
            value,
        });
    };
    for (source, own) in &all {
        let name = "tidegate_document_fetches_total";
        add(name, source, Some("taken"), own.taken as f64);
        add(name, source, Some("failed"), own.failed as f64);
    }
    for (source, own) in &all {
        if let Some(at) = own.taken_at_ms {
            let age = now.saturating_sub(at) as f64 / 1000.0;
            add("tidegate_document_age_seconds", source, None, age);
        }
    }
}

/// How full backends are, and whom they refused.
fn policy_gauges(node: &Node, gauges: &mut Vec<Gauge>) {
    let policies = node.registry.policies();
    let mut add = |name, policy: &str, shadow: Option<&str>, value: f64| {
        let mut labels = vec![("policy", policy.to_owned())];
        labels.extend(shadow.map(|shadow| ("shadow", shadow.to_owned())));
        gauges.push(Gauge {
            name,
            labels,
            value,
        });
    };
    let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    for (policy, own) in &policies {
        let name = "tidegate_policy_answers_total";
        add(name, policy, Some("false"), number(&own.answered));
        add(name, policy, Some("true"), number(&own.would_answer));
    }
    for (policy, own) in &policies {
        let name = "tidegate_policy_failures_total";
        add(name, policy, Some("false"), number(&own.failed));
        add(name, policy, Some("true"), number(&own.would_fail));
    }
    for (policy, own) in &policies {
        add(
            "tidegate_policy_calls_total",
            policy,
            None,
            number(&own.calls),
        );
    }
    for (policy, own) in &policies {
        let seconds = number(&own.micros) / 1e6;
        add("tidegate_policy_call_seconds_total", policy, None, seconds);
    }
}

fn backend_gauges(snapshot: &Snapshot, gauges: &mut Vec<Gauge>) {
    let each = || snapshot.backends.values();
    let label = |plan: &BackendPlan| vec![("backend", plan.name.to_string())];
    gauges.extend(each().map(|plan| Gauge {
        name: "tidegate_backend_pending",
        labels: label(plan),
        value: f64::from(plan.shared.pending.load(Ordering::Relaxed)),
    }));
    for plan in each() {
        let shared = &plan.shared;
        for (reason, counter) in [
            ("queue_full", &shared.refused_full),
            ("queue_late", &shared.refused_late),
        ] {
            let mut labels = label(plan);
            labels.push(("reason", reason.to_owned()));
            gauges.push(Gauge {
                name: "tidegate_backend_refused_total",
                labels,
                value: counter.load(Ordering::Relaxed) as f64,
            });
        }
    }
    for plan in each() {
        let Some(tls) = &plan.tls else { continue };
        let handshakes = &plan.shared.handshakes;
        let mut add = |name, label_name, word: &str, value| {
            let mut labels = label(plan);
            labels.push((label_name, word.to_owned()));
            gauges.push(Gauge {
                name,
                labels,
                value,
            });
        };
        for (session, counter) in [("new", &handshakes.new), ("resumed", &handshakes.resumed)] {
            let value = counter.load(Ordering::Relaxed) as f64;
            add(
                "tidegate_backend_tls_handshakes_total",
                "session",
                session,
                value,
            );
        }
        for (reason, count) in handshakes.failed() {
            let name = "tidegate_backend_tls_handshakes_failed_total";
            add(name, "reason", reason.name(), count as f64);
        }
        if let Some(own) = &tls.certificate {
            let name = "tidegate_backend_certificate_expiry_timestamp_seconds";
            add(
                name,
                "certificate",
                &own.file,
                own.validity.not_after as f64,
            );
        }
    }
    let adaptive = each().filter_map(|plan| Some((plan, plan.adaptive.as_ref()?)));
    gauges.extend(adaptive.map(|(plan, adaptive)| Gauge {
        name: "tidegate_backend_concurrency_limit",
        labels: label(plan),
        value: f64::from(adaptive.limit()),
    }));
}

fn endpoint_gauges(node: &Node, snapshot: &Snapshot, gauges: &mut Vec<Gauge>) {
    let now = node.clock.now();
    for name in [
        "tidegate_endpoint_up",
        "tidegate_endpoint_in_flight",
        "tidegate_endpoint_connections",
        "tidegate_endpoint_exclusions_total",
    ] {
        for plan in snapshot.backends.values() {
            for endpoint in &plan.shared.list.load().endpoints {
                let state = &endpoint.state;
                let value = match name {
                    "tidegate_endpoint_up" => {
                        let is_up = state.health() != Health::Down && !state.is_excluded(now);
                        f64::from(u8::from(is_up))
                    }
                    "tidegate_endpoint_in_flight" => {
                        f64::from(state.in_flight.load(Ordering::Relaxed))
                    }
                    "tidegate_endpoint_exclusions_total" => {
                        state.excluded_total.load(Ordering::Relaxed) as f64
                    }
                    _ => f64::from(state.connections.load(Ordering::Relaxed)),
                };
                let labels = vec![
                    ("backend", plan.name.to_string()),
                    ("endpoint", endpoint.address.clone()),
                ];
                gauges.push(Gauge {
                    name,
                    labels,
                    value,
                });
            }
        }
    }
}
