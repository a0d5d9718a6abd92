// SPDX-License-Identifier: Apache-2.0
//! What a request for a file would come to, for `explain`.
use super::find::{Entry, Search};
use super::open::Patience;
use super::plan::FilesPlan;
use super::reply;
use super::serve::{Found, below_route, judge, of_trouble, other_method};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;
use tidegate_request::{Method, Request};

/// Looks at the file system as a request would, and waits for it.
pub(crate) fn tell(plan: &FilesPlan, request: &Request, prefix_len: usize) -> Value {
    // The files' own time, whatever clock the rest of the explanation runs on.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let wall = since.map_or(0, |since| since.as_secs());
    let status = |status: u16| json!({"outcome": "respond", "status": status});
    if let Some(answer) = other_method(request) {
        return status(answer.status);
    }
    let look = |path: &str| {
        let patience = Patience::Any;
        Search {
            path,
            wall,
            patience,
        }
        .run(plan)
    };
    let path = below_route(request.path(), prefix_len);
    let mut found = look(path);
    let mut is_fallback = false;
    if let Ok(Entry::Missing(_)) = &found
        && let Some(fallback) = &plan.settings.fallback
        && reply::wants_page(request)
    {
        found = look(fallback);
        is_fallback = true;
    }
    let found = match found {
        Ok(entry) => judge(Arc::new(entry), request),
        Err(trouble) => {
            let (kind, why) = of_trouble(trouble);
            Found::Failed(kind, why)
        }
    };
    match found {
        Found::File(entry) => {
            let Entry::File(file) = &*entry else {
                return status(500);
            };
            let reply = reply::reply(file, plan, request, wall, || "0".repeat(32));
            let coding = reply.form.and_then(|index| file.encoded.get(index));
            let end = coding.map_or("", |(coding, _)| super::plan::names_of(*coding).0);
            let name = String::from_utf8_lossy(&file.name);
            json!({
                "outcome": "file",
                "status": reply.status,
                "file": format!("{}/{name}{end}", plan.settings.root.trim_end_matches('/')),
                "content_type": file.content_type,
                "fallback": is_fallback,
            })
        }
        Found::Redirect(location) => {
            json!({"outcome": "redirect", "status": 301, "location": location})
        }
        Found::Listing(_) => json!({"outcome": "respond", "status": 200, "listing": true}),
        Found::Answer(answer) => status(answer.status),
        Found::Failed(kind, why) => {
            json!({"outcome": "respond", "status": kind.status(), "kind": kind.name(), "detail": why})
        }
    }
}

/// The same where files go before a backend; `None` is for the backend.
pub(crate) fn tell_tried(plan: &FilesPlan, request: &Request, prefix_len: usize) -> Option<Value> {
    if !matches!(request.method_kind(), Method::Get | Method::Head) {
        return None;
    }
    let told = tell(plan, request, prefix_len);
    (told["outcome"] == "file" || told["status"] == 500).then_some(told)
}
