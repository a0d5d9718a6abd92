// SPDX-License-Identifier: Apache-2.0
//! What policies would do with a request that nobody sent.
use crate::downstream::begins;
use crate::snapshot::{FilterPlan, Placed};
use serde_json::{Value, json};
use tidegate_contract::{Answer, Exchange, Flow};

/// Runs the request phase of what can be judged from here; says of the rest that it would be asked, and of each where it
/// stands: the kind and name of its scope, and its place there.
pub(crate) fn judge(
    scopes: &[(&str, &str)],
    filters: &[Placed],
    exchange: &mut Exchange,
) -> (Vec<Value>, Option<Answer>) {
    let mut told = Vec::new();
    let mut position = 0;
    for placed in filters {
        let plan = &placed.plan;
        let (effect, answer) = match placed.without {
            Some(_) => ("taken away", None),
            None => effect(plan, exchange, position),
        };
        position += usize::from(placed.without.is_none());
        let mut each = json!({"kind": &*plan.kind, "name": &*plan.name, "effect": effect});
        let told_of = |scope: usize| scopes.get(scope).copied().unwrap_or_default();
        let (scope, name) = told_of(placed.scope);
        each["place"] = format!("{scope} {name} {}", placed.index).into();
        if let Some((scope, name)) = placed.without.map(told_of) {
            each["by"] = format!("{scope} {name}").into();
        }
        if plan.shadow {
            each["shadow"] = true.into();
        }
        told.push(each);
        if let Some(answer) = answer.filter(|_| !plan.shadow) {
            return (told, Some(answer));
        }
    }
    (told, None)
}

/// What one filter does in the request phase, and its answer.
fn effect(
    plan: &FilterPlan,
    exchange: &mut Exchange,
    position: usize,
) -> (&'static str, Option<Answer>) {
    match begins(plan, exchange, position) {
        Err(answer) => return ("its condition can not be told", Some(answer)),
        Ok(false) => return ("left out by its condition", None),
        Ok(true) => {}
    }
    if plan
        .condition
        .as_ref()
        .is_some_and(|condition| condition.is_late)
    {
        return ("depends on the response", None);
    }
    if !plan.phases.request {
        return ("none in the request phase", None);
    }
    if !plan.filter.is_pure() {
        return ("would ask", None);
    }
    let before = plan.shadow.then(|| exchange.keep());
    let outcome = match plan.filter.request(exchange, position) {
        Flow::Continue => ("applied", None),
        Flow::Wait(_) => ("would ask", None),
        Flow::Respond(answer) => ("answers", Some(*answer)),
    };
    if let Some(before) = before {
        exchange.restore(before);
    }
    outcome
}
