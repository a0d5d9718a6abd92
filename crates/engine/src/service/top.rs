// SPDX-License-Identifier: Apache-2.0
use super::state::Service;
use super::status;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use tidegate_core::GrpcCode;
use tidegate_telemetry::Text;

/// How long threads may take to hand over what they hold of the log.
const HAND_OVER: Duration = Duration::from_millis(200);

/// Microseconds of exchanges, by route and by backend and endpoint.
#[derive(Default)]
struct Times {
    routes: HashMap<Vec<u8>, Vec<u64>>,
    endpoints: HashMap<(Vec<u8>, Vec<u8>), Vec<u64>>,
}

/// What `status` says, with the counters of every route that was ever asked for, and for routes and
/// endpoints the percentiles of the last `window`.
///
/// They are those of the exchanges that `why` remembers, so that a request pays nothing for them: where
/// there are more than 20,000 in a window, those of its end. An endpoint's time is that from
/// having a connection to its first byte, a route's that of the whole exchange.
pub(crate) async fn top(service: &Service, window: Duration) -> Value {
    service.flush_log(HAND_OVER).await;
    let clock = &service.node.clock;
    let now = clock.wall_micros(clock.now());
    let mut times = times(service, now.saturating_sub(window.as_micros() as u64));
    let mut told = status::status(service);
    let snapshot = service.snapshot();
    let routes = snapshot.routes.iter().filter_map(|route| {
        let sum = |class: usize| route.stats.sum(|stats| &stats.by_class[class]);
        let by_class: [u64; 6] = std::array::from_fn(sum);
        let requests: u64 = by_class.iter().sum();
        let calls = GrpcCode::all().zip(0..).filter_map(|(code, at)| {
            let sum = route.stats.sum(|stats| &stats.calls[at]);
            (sum > 0).then(|| (code.name().to_owned(), sum.into()))
        });
        let calls: serde_json::Map<String, Value> = calls.collect();
        let recent = times.routes.remove(route.name.as_bytes());
        let (p50, p99) = percentiles(recent);
        (requests > 0).then(|| {
            json!({
                "name": &*route.name,
                "requests": requests,
                "by_class": by_class,
                "grpc_calls": calls,
                "retries": route.stats.sum(|stats| &stats.retries),
                "bytes_in": route.stats.sum(|stats| &stats.bytes_in),
                "bytes_out": route.stats.sum(|stats| &stats.bytes_out),
                "p50_us": p50,
                "p99_us": p99,
            })
        })
    });
    let routes: Vec<Value> = routes.collect();
    if let Some(told) = told.as_object_mut() {
        told.insert("routes".into(), routes.into());
        told.insert("l4_routes".into(), crate::l4::route_rows(&snapshot).into());
        told.insert("time_us".into(), now.into());
        for backend in told.get_mut("backends").into_iter().flat_map(members) {
            let name = text(backend, "name");
            for endpoint in backend.get_mut("endpoints").into_iter().flat_map(members) {
                let key = (name.clone(), text(endpoint, "address"));
                let (p50, p99) = percentiles(times.endpoints.remove(&key));
                if let Some(endpoint) = endpoint.as_object_mut() {
                    endpoint.insert("p50_us".into(), p50.into());
                    endpoint.insert("p99_us".into(), p99.into());
                }
            }
        }
    }
    told
}

fn times(service: &Service, since: u64) -> Times {
    let mut times = Times::default();
    service.node.log.recent(since, |batch, entry| {
        let route = batch.text(entry, Text::Route);
        if !route.is_empty() {
            let all = times.routes.entry(route.to_vec()).or_default();
            all.push(entry.duration_us);
        }
        if entry.connected_us > 0 && entry.first_byte_us >= entry.connected_us {
            let backend = batch.text(entry, Text::Backend).to_vec();
            let endpoint = batch.text(entry, Text::Endpoint).to_vec();
            let all = times.endpoints.entry((backend, endpoint)).or_default();
            all.push(entry.first_byte_us - entry.connected_us);
        }
    });
    times
}

fn members(list: &mut Value) -> impl Iterator<Item = &mut Value> {
    list.as_array_mut().into_iter().flatten()
}

fn text(object: &Value, key: &str) -> Vec<u8> {
    let text = object.get(key).and_then(Value::as_str);
    text.unwrap_or_default().as_bytes().to_vec()
}

/// The median and the 99th percentile; none of nothing.
fn percentiles(times: Option<Vec<u64>>) -> (Option<u64>, Option<u64>) {
    let mut times = times.unwrap_or_default();
    times.sort_unstable();
    let at = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied()
    };
    (at(50), at(99))
}
