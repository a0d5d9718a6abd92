// SPDX-License-Identifier: Apache-2.0
use crate::{DURATION_BUCKETS_US, Mirrored, SharedRouteStats, ThreadStats};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_core::{ErrorKind, GrpcCode};

/// Routes that get a label of their own; the rest are summed under `_other`, so that no
/// configuration can blow up whoever stores the metrics.
const MAX_ROUTES: usize = 1000;

/// A number as it is now, with its labels.
#[derive(Debug)]
pub struct Gauge {
    /// The metric's name.
    pub name: &'static str,
    /// Names and values of labels.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// Everything one scrape shows.
#[derive(Debug, Default)]
pub struct Scrape {
    /// Routes by name.
    pub routes: Vec<(Arc<str>, Arc<SharedRouteStats>)>,
    /// Every thread.
    pub threads: Vec<Arc<ThreadStats>>,
    /// Numbers as they are now, those of one name together.
    pub gauges: Vec<Gauge>,
}

/// The text exposition format of Prometheus, version 0.0.4.
pub fn render(scrape: &Scrape) -> String {
    let mut out = String::with_capacity(16 << 10);
    let threads = &scrape.threads;
    for (name, help, counter) in [
        (
            "tidegate_connections_accepted_total",
            "Connections accepted.",
            (|t| &t.accepted) as fn(&ThreadStats) -> &AtomicU64,
        ),
        (
            "tidegate_connections_delayed_total",
            "Connections that had to wait, since others from their address had come to nothing.",
            |t| &t.delayed,
        ),
        (
            "tidegate_connections_ended_total",
            "Connections ended in the middle for want of memory.",
            |t| &t.ended,
        ),
        (
            "tidegate_exchanges_total",
            "Requests finished, refused ones included.",
            |t| &t.requests,
        ),
        ("tidegate_panics_total", "Tasks that panicked.", |t| {
            &t.panics
        }),
    ] {
        let sum: u64 = threads
            .iter()
            .map(|thread| counter(thread).load(Ordering::Relaxed))
            .sum();
        let _ = writeln!(
            out,
            "# HELP {name} {help}\n# TYPE {name} counter\n{name} {sum}"
        );
    }
    render_refused(&mut out, threads);
    out.push_str("# HELP tidegate_errors_total Failures by kind (RFC 9209).\n# TYPE tidegate_errors_total counter\n");
    for kind in ErrorKind::ALL {
        let sum: u64 = threads.iter().map(|thread| thread.errors(*kind)).sum();
        if sum > 0 {
            let _ = writeln!(
                out,
                "tidegate_errors_total{{kind=\"{}\"}} {sum}",
                kind.name()
            );
        }
    }
    render_routes(&mut out, &scrape.routes);
    let mut last = "";
    for gauge in &scrape.gauges {
        if gauge.name != last {
            let kind = match gauge.name.ends_with("_total") {
                true => "counter",
                false => "gauge",
            };
            let _ = writeln!(out, "# TYPE {} {kind}", gauge.name);
            last = gauge.name;
        }
        let labels: Vec<String> = gauge
            .labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
            .collect();
        let _ = match labels.is_empty() {
            true => writeln!(out, "{} {}", gauge.name, gauge.value),
            false => writeln!(
                out,
                "{}{{{}}} {}",
                gauge.name,
                labels.join(","),
                gauge.value
            ),
        };
    }
    out
}

fn render_refused(out: &mut String, threads: &[Arc<ThreadStats>]) {
    let name = "tidegate_connections_refused_total";
    let _ = writeln!(
        out,
        "# HELP {name} Connections refused, by why.\n# TYPE {name} counter"
    );
    for (reason, counter) in [
        ("limit", (|t| &t.refused) as fn(&ThreadStats) -> &AtomicU64),
        ("descriptors", |t| &t.refused_descriptors),
        ("memory", |t| &t.refused_memory),
        ("client", |t| &t.refused_client),
        ("rate", |t| &t.refused_rate),
        ("proxy_protocol", |t| &t.refused_proxy),
    ] {
        let all = threads.iter();
        let sum: u64 = all
            .map(|thread| counter(thread).load(Ordering::Relaxed))
            .sum();
        let _ = writeln!(out, "{name}{{reason=\"{reason}\"}} {sum}");
    }
}

fn render_routes(out: &mut String, routes: &[(Arc<str>, Arc<SharedRouteStats>)]) {
    let (named, other) = routes.split_at(routes.len().min(MAX_ROUTES));
    let mut groups: Vec<(String, Vec<&SharedRouteStats>)> = named
        .iter()
        .map(|(name, stats)| (escape(name), vec![&**stats]))
        .collect();
    if !other.is_empty() {
        groups.push((
            "_other".into(),
            other.iter().map(|(_, stats)| &**stats).collect(),
        ));
    }
    out.push_str("# HELP tidegate_requests_total Requests by route and status class.\n# TYPE tidegate_requests_total counter\n");
    for (route, stats) in &groups {
        for class in 0..6usize {
            let sum: u64 = stats.iter().map(|s| s.sum(|r| &r.by_class[class])).sum();
            if sum > 0 {
                let _ = writeln!(
                    out,
                    "tidegate_requests_total{{route=\"{route}\",status=\"{class}xx\"}} {sum}"
                );
            }
        }
    }
    for (name, help, counter) in [
        (
            "tidegate_retries_total",
            "Tries beyond the first.",
            (|r| &r.retries) as fn(&crate::RouteStats) -> &AtomicU64,
        ),
        (
            "tidegate_request_bytes_total",
            "Body bytes from clients.",
            |r| &r.bytes_in,
        ),
        (
            "tidegate_response_bytes_total",
            "Body bytes to clients.",
            |r| &r.bytes_out,
        ),
    ] {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
        for (route, stats) in &groups {
            let sum: u64 = stats.iter().map(|s| s.sum(counter)).sum();
            if sum > 0 {
                let _ = writeln!(out, "{name}{{route=\"{route}\"}} {sum}");
            }
        }
    }
    render_calls(out, &groups);
    render_mirrored(out, &groups);
    render_durations(out, &groups);
}

fn render_calls(out: &mut String, groups: &[(String, Vec<&SharedRouteStats>)]) {
    let name = "tidegate_grpc_calls_total";
    let _ = writeln!(
        out,
        "# HELP {name} Calls of gRPC by route and what they ended with.\n# TYPE {name} counter"
    );
    for (route, stats) in groups {
        for (code, at) in GrpcCode::all().zip(0..) {
            let sum: u64 = stats.iter().map(|s| s.sum(|r| &r.calls[at])).sum();
            if sum > 0 {
                let _ = writeln!(out, "{name}{{route=\"{route}\",code=\"{code}\"}} {sum}");
            }
        }
    }
}

fn render_mirrored(out: &mut String, groups: &[(String, Vec<&SharedRouteStats>)]) {
    let name = "tidegate_mirrored_total";
    let _ = writeln!(
        out,
        "# HELP {name} Copies of requests by what became of them.\n# TYPE {name} counter"
    );
    for (route, stats) in groups {
        for (outcome, label) in Mirrored::NAMES {
            let counter = |s: &&SharedRouteStats| s.sum(|r| &r.mirrored[outcome as usize]);
            let sum: u64 = stats.iter().map(counter).sum();
            if sum > 0 {
                let _ = writeln!(out, "{name}{{route=\"{route}\",outcome=\"{label}\"}} {sum}");
            }
        }
    }
}

fn render_durations(out: &mut String, groups: &[(String, Vec<&SharedRouteStats>)]) {
    let name = "tidegate_request_duration_seconds";
    let _ = writeln!(
        out,
        "# HELP {name} From the complete head to the last byte sent.\n# TYPE {name} histogram"
    );
    for (route, stats) in groups {
        let mut below = 0;
        let count =
            |bucket: usize| -> u64 { stats.iter().map(|s| s.sum(|r| &r.durations[bucket])).sum() };
        let total: u64 = (0..=DURATION_BUCKETS_US.len()).map(count).sum();
        if total == 0 {
            continue;
        }
        for (bucket, bound) in DURATION_BUCKETS_US.iter().enumerate() {
            below += count(bucket);
            let _ = writeln!(
                out,
                "{name}_bucket{{route=\"{route}\",le=\"{}\"}} {below}",
                *bound as f64 / 1e6
            );
        }
        let sum: u64 = stats.iter().map(|s| s.sum(|r| &r.duration_sum_us)).sum();
        let _ = writeln!(
            out,
            "{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {total}"
        );
        let _ = writeln!(out, "{name}_sum{{route=\"{route}\"}} {}", sum as f64 / 1e6);
        let _ = writeln!(out, "{name}_count{{route=\"{route}\"}} {total}");
    }
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
