// SPDX-License-Identifier: Apache-2.0
//! The same decision as on the live path, told instead of carried out.
use crate::decide::{self, Mapping, Routed};
use crate::files;
use crate::judge::judge;
use crate::l4;
use crate::pages;
pub(crate) use crate::question::Question;
use crate::snapshot::{
    BackendPlan, Filters, ListenerPlan, Problem, Registry, RoutePlan, Snapshot, TargetPlan,
};
use crate::tell;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use tidegate_config::{Delta, HostField};
use tidegate_contract::{Client, Exchange};
use tidegate_core::{Clock, Draw, Moment};
use tidegate_http::{Forwarding, encode_request};
use tidegate_request::{Options, Request, Scheme};
use tidegate_routing::Ends;

/// What becomes of a request, or of each of an array of them, under a snapshot given as a delta on
/// nothing: JSON in, JSON out. All endpoints count as healthy.
///
/// # Errors
/// A text that says what is wrong with the snapshot or a question.
pub fn decide_json(delta: &str, questions: &str) -> Result<String, String> {
    let clock = Clock::fake();
    let snapshot = offline(delta, &clock).map_err(|problems| {
        let texts: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {}", problem.place, problem.message))
            .collect();
        texts.join("\n")
    })?;
    let now = clock.now();
    if !questions.trim_start().starts_with('[') {
        let question = serde_json::from_str(questions).map_err(|error| error.to_string())?;
        return Ok(explain(&snapshot, &question, now)?.to_string());
    }
    let questions: Vec<Question> =
        serde_json::from_str(questions).map_err(|error| error.to_string())?;
    let answers: Result<Vec<Value>, String> = questions
        .iter()
        .map(|question| explain(&snapshot, question, now))
        .collect();
    Ok(Value::from(answers?).to_string())
}

/// The problems of a delta on nothing, as pairs of place and message; empty when it is sound.
pub fn check_json(delta: &str) -> Vec<(String, String)> {
    match offline(delta, &Clock::fake()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .into_iter()
            .map(|problem| (problem.place, problem.message))
            .collect(),
    }
}

fn offline(delta: &str, clock: &Clock) -> Result<Snapshot, Vec<Problem>> {
    let delta: Delta = serde_json::from_str(delta)
        .map_err(|error| vec![Problem::new("delta", error.to_string())])?;
    let registry = Registry::new(clock.clone(), 1);
    let snapshot = Snapshot::apply(None, &delta, &registry)?;
    for set in &delta.endpoints {
        registry
            .backend(&set.backend)
            .set_endpoints(set, clock.now());
    }
    Ok(snapshot)
}

/// What becomes of `question` under `snapshot` at `now`.
///
/// # Errors
/// A text when the question itself makes no sense.
pub(crate) fn explain(
    snapshot: &Snapshot,
    question: &Question,
    now: Moment,
) -> Result<Value, String> {
    let mut told = judge_question(snapshot, question, now)?;
    pages::tell(snapshot, question.listener.as_deref(), &mut told);
    Ok(told)
}

/// The request id of what is only asked about.
const NO_ID: &str = "00000000000000000000000000";

fn judge_question(snapshot: &Snapshot, question: &Question, now: Moment) -> Result<Value, String> {
    let index = match &question.listener {
        None if question.url.starts_with("https://") => snapshot
            .listeners
            .iter()
            .position(|plan| plan.tls.is_some())
            .unwrap_or(0),
        None => snapshot
            .listeners
            .iter()
            .position(|plan| !plan.is_l4())
            .unwrap_or(0),
        Some(name) => snapshot
            .listeners
            .iter()
            .position(|plan| *plan.name == **name)
            .ok_or_else(|| format!("there is no listener `{name}`"))?,
    };
    let listener = snapshot
        .listeners
        .get(index)
        .ok_or("the configuration has no listeners")?;
    if let Some(told) = l4::explain(snapshot, listener, question, now)? {
        return Ok(told);
    }
    if question.url.starts_with("tcp://") || question.url.starts_with("tls://") {
        let name = &listener.name;
        return Err(format!(
            "listener `{name}` takes requests; write a method and a URL"
        ));
    }
    let limits = crate::downstream::head_limits(&listener.config.limits);
    let peer = question.client.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let is_trusted = snapshot.settings.is_trusted(peer);
    let options = Options {
        merge_slashes: listener.config.merge_slashes,
        is_trusted: is_trusted && listener.egress.is_none(),
        is_proxy: listener.egress.is_some(),
    };
    let scheme = match listener.tls {
        Some(_) => Scheme::Https,
        None => Scheme::Http,
    };
    let request = match question.canonical(&options, &limits, scheme)? {
        Ok(request) => request,
        Err(refused) => return Ok(refused),
    };
    if let Some(egress) = listener.egress.as_ref().filter(|_| request.is_proxied()) {
        return Ok(crate::egress::explain(
            snapshot, listener, egress, question, &request,
        ));
    }
    let client = decide::client(&snapshot.settings, peer, 0, is_trusted, &request);
    let ends = Ends {
        client: client.address,
        local: question.local_address(&listener.config.address),
    };
    let considered: Vec<Value> = snapshot
        .table
        .explain(index, &request, ends)
        .into_iter()
        .map(|considered| {
            let name = snapshot
                .routes
                .get(considered.route)
                .map(|route| route.name.to_string());
            json!({"route": name, "verdict": considered.verdict})
        })
        .collect();
    let mut told = json!({
        "listener": &*listener.name,
        "scheme": scheme.name(),
        "client": client.address.to_string(),
        "local_address": ends.local.map(|local| local.to_string()),
        "path": request.path(),
        "considered": considered,
        "client_certificates": tell::asked(listener, &request),
        "hsts": listener.tls.as_ref().and_then(|tls| tls.hsts.as_deref()),
    });
    if let Some(reject) = tell::misdirected(snapshot, listener, &request) {
        merge(&mut told, reject);
        return Ok(told);
    }
    let routed = decide::route(snapshot, index, &request, ends);
    let rest = match routed.filter(|routed| listener.serves(routed.route)) {
        None => tell::unrouted(listener, &request),
        Some(routed) => Way {
            snapshot,
            listener,
            routed: &routed,
            client,
            now,
        }
        .tell(request),
    };
    merge(&mut told, rest);
    Ok(told)
}

/// Seconds from 1970.
fn seconds() -> u64 {
    let elapsed = std::time::SystemTime::UNIX_EPOCH.elapsed();
    elapsed.map_or(0, |elapsed| elapsed.as_secs())
}

/// The way from the route on.
struct Way<'a> {
    snapshot: &'a Snapshot,
    listener: &'a ListenerPlan,
    routed: &'a Routed<'a>,
    client: Client,
    now: Moment,
}

impl Way<'_> {
    fn tell(&self, mut request: Request) -> Value {
        let parameters = self.routed.parameters.iter();
        let parameters: serde_json::Map<String, Value> = parameters
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        let mut told = json!({"route": &*self.routed.route.name, "parameters": parameters});
        let tried = self.routed.route.try_files.as_ref();
        let file = tried.and_then(|plan| files::tell_tried(plan, &request, self.routed.prefix_len));
        let rest = match self.admit(&mut request) {
            Ok(mapping) => self.pass_policies(request, mapping, file),
            Err(outcome) => outcome,
        };
        merge(&mut told, rest);
        told
    }

    /// What comes before the policies: the rewrite, or how the request ends here.
    fn admit(&self, request: &mut Request) -> Result<Option<Mapping>, Value> {
        let (route, address) = (self.routed.route, self.client.address);
        let question = route.web.as_ref().and_then(|web| web.explain(request));
        if let Some(reject) = route.refuses(request, address) {
            return Err(tell::refused(&reject));
        }
        if let Some(told) = question {
            return Err(told);
        }
        if let Some(answer) =
            pages::maintenance_answer(route, self.listener, address, request, NO_ID)
        {
            let status = answer.status;
            return Err(json!({"outcome": "respond", "status": status, "by": "maintenance"}));
        }
        decide::rewrite(self.routed, request).map_err(|reject| {
            json!({"outcome": "reject", "status": reject.status(), "kind": reject.kind.name()})
        })
    }

    /// The policies, and the target where none of them answers.
    fn pass_policies(
        &self,
        request: Request,
        mapping: Option<Mapping>,
        file: Option<Value>,
    ) -> Value {
        let route = self.routed.route;
        // Any draw will do: what depends on it is shown as shares.
        let backend = match file {
            Some(_) => None,
            None => decide::backend(self.snapshot, route, &mut Draw::from_seed(0)),
        };
        let (listener, name) = (&self.listener.filters, &route.name);
        let mut scopes = vec![(("listener", &*self.listener.name), listener)];
        scopes.push((("route", name), &route.filters));
        if let Some(backend) = backend {
            scopes.push((("backend", &backend.name), &backend.filters));
        }
        let (scopes, filters): (Vec<_>, Vec<_>) = scopes.into_iter().unzip();
        let filters = Filters::placed(&filters);
        let tls = match request.scheme() {
            // What is spoken where nobody holds it back.
            "https" => "TLSv1.3",
            _ => "",
        };
        let mut exchange = Exchange {
            request,
            client: self.client,
            listener: Some(self.listener.name.clone()),
            tls,
            certificate: None,
            identity: None,
            route: route.name.clone(),
            parameters: self.routed.parameters.clone(),
            request_id: NO_ID.into(),
            received: seconds(),
            body: None,
            left_out: Vec::new(),
            would_answer: Vec::new(),
            kept: filters.iter().map(|_| None).collect(),
        };
        let (policies, answer) = judge(&scopes, &filters, &mut exchange);
        let mut told = json!({"policies": policies});
        let rest = match answer {
            Some(answer) => json!({
                "outcome": "respond",
                "status": answer.status,
                "by": "policy",
                "kind": answer.error.map(|(kind, _)| kind.name()),
            }),
            None if self.routed.is_question => tell::unanswered(),
            None => file.unwrap_or_else(|| self.reach(&mut exchange, mapping)),
        };
        merge(&mut told, rest);
        told
    }

    /// Where the route leads.
    fn reach(&self, exchange: &mut Exchange, mapping: Option<Mapping>) -> Value {
        let route = self.routed.route;
        if let Some(answer) = crate::downstream::fixed_answer(route, &exchange.request) {
            let location = answer
                .fields
                .get_name(b"location")
                .map(String::from_utf8_lossy);
            let outcome = if location.is_some() {
                "redirect"
            } else {
                "respond"
            };
            return json!({"outcome": outcome, "status": answer.status, "location": location});
        }
        if let TargetPlan::Files(plan) = &route.to {
            return files::tell(plan, &exchange.request, self.routed.prefix_len);
        }
        if let TargetPlan::Internal(page) = &route.to {
            return json!({"outcome": "respond", "status": 200, "page": page});
        }
        let mut backends: Vec<Value> = Vec::new();
        let mut endpoints: Vec<Value> = Vec::new();
        let mut problems: Vec<Value> = Vec::new();
        let mut draining: Vec<Value> = Vec::new();
        for (plan, share) in self.shares(route) {
            let list = plan.shared.list.load();
            let leaving = list.endpoints.iter().filter(|each| each.is_draining);
            draining.extend(leaving.map(|each| Value::from(each.address.as_str())));
            let key = decide::key(plan, &exchange.request, self.client.address);
            let mut told = json!({"name": &*plan.name, "share": share});
            if let Some(by) = &plan.key {
                // With the key written down, a gateway that chooses otherwise can be told apart.
                let key = key.hash.map(|key| format!("{key:016x}"));
                merge(&mut told, json!({"hash": {"by": by.tell(), "key": key}}));
            }
            if let Some(session) = tell::session(plan, &key) {
                merge(&mut told, json!({"affinity": session}));
            }
            if let Some(groups) = tell::division(plan, self.now) {
                merge(&mut told, json!({"groups": groups}));
            }
            if let Some(tls) = &plan.tls {
                merge(&mut told, json!({"tls": tell::tls(tls)}));
            }
            backends.push(told);
            match tell::endpoints(plan, share, &key, self.now) {
                Ok(mut of_backend) => endpoints.append(&mut of_backend),
                Err(why) => problems.push(json!({"backend": &*plan.name, "why": why})),
            }
        }
        let certain = match endpoints.as_slice() {
            [only] => only.get("address").cloned(),
            _ => None,
        };
        if let [only] = self.shares(route).as_slice()
            && only.0.config.host == HostField::Endpoint
            && let Some(address) = certain.as_ref().and_then(Value::as_str)
        {
            let _ = exchange
                .request
                .set_authority(only.0.authority(address).as_bytes());
        }
        json!({
            "outcome": "forward",
            "backend": if let [only] = backends.as_slice() { only.get("name").cloned() } else { None },
            "backends": backends,
            "endpoint": certain,
            "endpoints": endpoints,
            "without_endpoint": problems,
            "draining": draining,
            "upstream": self.upstream(exchange, mapping.as_ref()),
            "mirror": mirror(route, exchange),
            "timeouts": route.timeouts,
            "retries": route.retries,
        })
    }

    /// The route's backends with their shares of the requests.
    fn shares(&self, route: &RoutePlan) -> Vec<(&Arc<BackendPlan>, f64)> {
        let TargetPlan::Forward { backends, total } = &route.to else {
            return Vec::new();
        };
        let found = backends
            .iter()
            .filter(|(_, weight)| *weight > 0)
            .filter_map(|(name, weight)| {
                let plan = self.snapshot.backends.get(name)?;
                Some((plan, f64::from(*weight) / (*total).max(1) as f64))
            });
        found.collect()
    }

    /// The head as it would be sent.
    fn upstream(&self, exchange: &Exchange, mapping: Option<&Mapping>) -> Value {
        let mut out = Vec::new();
        let peer = self.client.peer.to_string();
        let forwarding = Forwarding {
            client: &peer,
            pseudonym: &self.snapshot.settings.config.name,
            is_anonymous: false,
            to_proxy: None,
            prefix: mapping
                .map(|mapping| mapping.outer.as_str())
                .filter(|outer| !outer.is_empty()),
            request_id: &exchange.request_id,
            framing: exchange.request.framing(),
            passes_expect: false,
        };
        encode_request(&mut out, &exchange.request, &forwarding);
        let text = String::from_utf8_lossy(&out);
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let secrets = &self.snapshot.secrets;
        let headers: Vec<(&str, &str)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name, secrets.shown(value)))
            .collect();
        json!({"method": first.next(), "target": first.next(), "headers": headers})
    }
}

/// Where a copy goes, in how many of a hundred cases, and up to which size of body; null where none
/// does.
fn mirror(route: &RoutePlan, exchange: &Exchange) -> Value {
    match &route.mirror {
        Some(plan) if exchange.request.upgrade().is_none() => json!({
            "backend": plan.config.to,
            "percent": plan.config.percent,
            "body_size": plan.config.body_size.0,
        }),
        _ => Value::Null,
    }
}

pub(crate) fn merge(told: &mut Value, more: Value) {
    if let (Value::Object(told), Value::Object(more)) = (told, more) {
        told.extend(more);
    }
}
