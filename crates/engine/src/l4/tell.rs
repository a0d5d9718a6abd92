// SPDX-License-Identifier: Apache-2.0
//! Routes of connections in metrics and in `top`.
use super::plan::L4RoutePlan;
use crate::snapshot::Snapshot;
use serde_json::{Value, json};
use tidegate_telemetry::Gauge;

/// Routes that get a label of their own, as those of requests do.
const MAX_ROUTES: usize = 1000;

/// What a route has counted.
struct Counts {
    opened: u64,
    closed: u64,
    failed: u64,
    retries: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Counts {
    fn of(route: &L4RoutePlan) -> Self {
        // What is over first: one that ends in between must not be counted as over and not begun.
        let closed = route.stats.sum(|stats| &stats.closed);
        Self {
            closed,
            opened: route.stats.sum(|stats| &stats.opened),
            failed: route.stats.sum(|stats| &stats.failed),
            retries: route.stats.sum(|stats| &stats.retries),
            bytes_in: route.stats.sum(|stats| &stats.bytes_in),
            bytes_out: route.stats.sum(|stats| &stats.bytes_out),
        }
    }

    fn open(&self) -> u64 {
        self.opened.saturating_sub(self.closed)
    }
}

/// For `/metrics`, those of one name together.
pub(crate) fn gauges(snapshot: &Snapshot, gauges: &mut Vec<Gauge>) {
    let routes = snapshot.l4.routes.iter().take(MAX_ROUTES);
    let counts: Vec<_> = routes
        .map(|route| (&route.name, Counts::of(route)))
        .collect();
    for (name, extra, value) in [
        (
            "tidegate_l4_connections",
            None,
            Counts::open as fn(&Counts) -> u64,
        ),
        ("tidegate_l4_connections_total", None, |c| c.opened),
        ("tidegate_l4_connections_failed_total", None, |c| c.failed),
        ("tidegate_l4_retries_total", None, |c| c.retries),
        ("tidegate_l4_bytes_total", Some("in"), |c| c.bytes_in),
        ("tidegate_l4_bytes_total", Some("out"), |c| c.bytes_out),
    ] {
        for (route, counts) in &counts {
            let mut labels = vec![("route", route.to_string())];
            labels.extend(extra.map(|way| ("direction", way.to_owned())));
            gauges.push(Gauge {
                name,
                labels,
                value: value(counts) as f64,
            });
        }
    }
}

/// Rows for `top`: those of routes that ever took a connection.
pub(crate) fn route_rows(snapshot: &Snapshot) -> Vec<Value> {
    let routes = snapshot.l4.routes.iter();
    let rows = routes.map(|route| (route, Counts::of(route)));
    let rows = rows.filter(|(_, counts)| counts.opened > 0);
    rows.map(|(route, counts)| {
        json!({
            "name": &*route.name,
            "connections": counts.opened,
            "open": counts.open(),
            "failed": counts.failed,
            "retries": counts.retries,
            "bytes_in": counts.bytes_in,
            "bytes_out": counts.bytes_out,
        })
    })
    .collect()
}
