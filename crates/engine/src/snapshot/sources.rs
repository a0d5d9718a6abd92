// SPDX-License-Identifier: Apache-2.0
//! What control says of the sources that backends find endpoints by: only for those who watch.
use super::Snapshot;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tidegate_core::Moment;
use tidegate_telemetry::Gauge;

/// One source, as of `sources.set`.
#[derive(Debug, Deserialize)]
pub(crate) struct SourceState {
    /// The room, such as `dns`.
    kind: String,
    /// What it found last.
    endpoints: u32,
    /// How often it found nothing, since control started.
    failures: u64,
    is_failing: bool,
    /// Milliseconds since it worked last; none while it never has.
    age_ms: Option<u64>,
}

/// By backend; and when it was said.
#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<(BTreeMap<String, SourceState>, Moment)>);

impl Sources {
    pub(crate) fn set(&self, told: BTreeMap<String, SourceState>, now: Moment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (told, now);
    }

    /// Metrics of the backends there are, so that labels are those of the configuration. An age grows
    /// on while control says nothing.
    pub(crate) fn gauges(&self, snapshot: &Snapshot, now: Moment, gauges: &mut Vec<Gauge>) {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (sources, at) = &*told;
        let since = now.micros_since(*at) as f64 / 1e6;
        let of_now =
            |(name, _): &(&String, &SourceState)| snapshot.backends.contains_key(name.as_str());
        type Value = fn(&SourceState, f64) -> Option<f64>;
        let values: [(&'static str, Value); 4] = [
            ("tidegate_discovery_up", |source, _| {
                Some(f64::from(u8::from(
                    !source.is_failing && source.age_ms.is_some(),
                )))
            }),
            ("tidegate_discovery_endpoints", |source, _| {
                Some(f64::from(source.endpoints))
            }),
            ("tidegate_discovery_failures_total", |source, _| {
                Some(source.failures as f64)
            }),
            ("tidegate_discovery_success_age_seconds", |source, since| {
                source.age_ms.map(|age| age as f64 / 1e3 + since)
            }),
        ];
        for (name, value) in values {
            for (backend, source) in sources.iter().filter(of_now) {
                let Some(value) = value(source, since) else {
                    continue;
                };
                let labels = vec![("backend", backend.clone()), ("kind", source.kind.clone())];
                gauges.push(Gauge {
                    name,
                    labels,
                    value,
                });
            }
        }
    }
}
