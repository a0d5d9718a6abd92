// SPDX-License-Identifier: Apache-2.0
//! What becomes of a connection after its response.
use super::carrier::Carrier;
use crate::downstream::Downstream;
use crate::snapshot::BackendPlan;
use tidegate_request::{FieldId, Response};

/// Keeps the connection for the next request, for as long as both sides are willing.
pub(super) fn give_back(
    downstream: &Downstream,
    plan: &BackendPlan,
    carrier: Carrier,
    response: &Response,
) {
    // A stream goes, and its connection stays.
    let Carrier::Whole(connection) = carrier else {
        return;
    };
    let thread = &downstream.thread;
    let now = thread.moment();
    let pool = &plan.config.pool;
    let announced = response
        .fields()
        .get(FieldId::KeepAlive)
        .and_then(announced_timeout_ms);
    // A second less than announced: it closes on its clock, not on ours.
    let idle_ms = announced.map_or(pool.idle_time.0, |ms| {
        ms.saturating_sub(1000).min(pool.idle_time.0)
    });
    if idle_ms > 0 && plan.config.proxy_protocol.is_none() {
        thread.pool.give(
            connection,
            now,
            now.after_millis(idle_ms),
            pool.idle as usize,
        );
    }
}

/// `timeout=N` of a `Keep-Alive` field, in milliseconds.
fn announced_timeout_ms(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let parts = text
        .split(',')
        .filter_map(|part| part.trim().split_once('='));
    let seconds: u64 = parts
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))
        .find_map(|(_, value)| value.trim().parse().ok())?;
    Some(seconds.saturating_mul(1000))
}
