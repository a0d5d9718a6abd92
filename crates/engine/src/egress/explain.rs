// SPDX-License-Identifier: Apache-2.0
use super::plan::{EgressPlan, UserPlan};
use super::way::NoWay;
use super::who::Who;
use crate::question::Question;
use crate::snapshot::{ListenerPlan, Snapshot};
use serde_json::{Value, json};
use std::net::IpAddr;
use tidegate_egress::Aim;
use tidegate_passwords::credentials;
use tidegate_request::{FieldId, Method, Request};

impl EgressPlan {
    /// The user whose name the request has: a password is not asked for here.
    fn named(&self, request: &Request, address: IpAddr) -> Who {
        let shown = request.fields().get(FieldId::ProxyAuthorization);
        let name = shown.and_then(credentials).map(|(name, _)| name);
        let name = name.and_then(|name| String::from_utf8(name).ok());
        let index = name.and_then(|name| self.by_name.get(name.as_str()));
        match index.and_then(|index| self.users.get(*index)) {
            Some(user) => Who::User(user.clone()),
            None => self.without_password(address, None),
        }
    }
}

/// What becomes of `request`, which asks a forward proxy for another server, as
/// [`crate::explain::explain`] tells it. Names are not looked up; their addresses would be judged.
pub(crate) fn explain(
    snapshot: &Snapshot,
    listener: &ListenerPlan,
    egress: &EgressPlan,
    question: &Question,
    request: &Request,
) -> Value {
    let client = question.client.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let host = request.host().unwrap_or_default();
    let aim = Aim {
        host,
        port: request.port().unwrap_or(80),
        is_tunnel: request.method_kind() == Method::Connect,
    };
    let mut told = json!({
        "listener": &*listener.name,
        "client": client.to_string(),
        "host": host,
        "port": aim.port,
        "tunnel": aim.is_tunnel,
    });
    let user = match egress.named(request, client.to_canonical()) {
        Who::User(user) => Some(user),
        Who::Anybody => None,
        Who::Unknown => return refused(told, 407, "credentials are asked for"),
        Who::Stranger | Who::Busy => return refused(told, 403, "no user comes from there"),
    };
    let user: Option<&UserPlan> = user.as_deref();
    let name = user.map(|user| &*user.name);
    crate::explain::merge(&mut told, json!({"user": name}));
    let judged = egress.judge_name(user, &aim);
    let judged = match (judged, aim.literal()) {
        (Ok(()), Some(address)) => {
            egress.judge_address(snapshot, user, &aim, address.to_canonical())
        }
        (judged, _) => judged,
    };
    if let Err(why) = judged {
        let status = match why {
            NoWay::Unresolved(_) => 502,
            _ => 403,
        };
        return refused(told, status, &why.detail());
    }
    let parent = egress.parent(host).and_then(|parent| parent.name());
    let more = match aim.literal() {
        _ if parent.is_some() => {
            json!({"then": "the backend's proxies are asked", "backend": parent})
        }
        Some(_) => json!({}),
        None => json!({"then": "the host is looked up, and each of its addresses judged"}),
    };
    crate::explain::merge(&mut told, json!({"outcome": "proxy"}));
    crate::explain::merge(&mut told, more);
    told
}

fn refused(mut told: Value, status: u16, detail: &str) -> Value {
    let verdict = json!({
        "outcome": "reject",
        "status": status,
        "kind": "http_request_denied",
        "detail": detail,
    });
    crate::explain::merge(&mut told, verdict);
    told
}
