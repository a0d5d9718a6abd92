// SPDX-License-Identifier: Apache-2.0
//! What an explanation says of an error's page.
use super::page_for;
use crate::explain::merge;
use crate::snapshot::Snapshot;
use serde_json::{Value, json};

/// Puts the status of an error's page in the place of the error's own.
pub(crate) fn tell(snapshot: &Snapshot, listener: Option<&str>, told: &mut Value) {
    let text = |key: &str| told.get(key).and_then(Value::as_str);
    let is_error = match text("outcome") {
        Some("not_found" | "reject") => true,
        Some("respond") => text("kind").is_some(),
        _ => false,
    };
    let status = told.get("status").and_then(Value::as_u64);
    let name = text("listener").or(listener);
    let mut listeners = snapshot.listeners.iter();
    let listener = match name {
        Some(name) => listeners.find(|plan| *plan.name == *name),
        None => listeners.next(),
    };
    let (true, Some(status), Some(listener)) = (is_error, status, listener) else {
        return;
    };
    let route = text("route").and_then(|name| {
        let mut routes = snapshot.routes.iter();
        routes.find(|plan| *plan.name == *name)
    });
    let status = u16::try_from(status).unwrap_or_default();
    let page = page_for(route.map(|route| &**route), listener, status, true);
    if let Some(page) = page {
        let shown = page.status.unwrap_or(status);
        merge(told, json!({"page": true, "status": shown}));
    }
}
