// SPDX-License-Identifier: Apache-2.0
use super::page::Forms;
use crate::snapshot::{ListenerPlan, RoutePlan};
use std::net::IpAddr;
use tidegate_contract::Answer;
use tidegate_core::Networks;
use tidegate_request::{Fields, Request};

/// The status of what is in maintenance.
pub(crate) const STATUS: u16 = 503;

/// What one scope says of maintenance.
pub(crate) struct Maintenance {
    enabled: bool,
    retry_after: Option<u64>,
    allow: Networks,
    forms: Forms,
}

impl Maintenance {
    pub(crate) fn build(config: tidegate_config::Maintenance) -> Result<Self, String> {
        Ok(Self {
            enabled: config.enabled,
            retry_after: config.retry_after.map(|limit| limit.0.div_ceil(1000)),
            allow: Networks::parse(&config.allow)?,
            forms: Forms::build(config.bodies),
        })
    }
}

/// The answer to this client while the route, or else the listener, is in maintenance.
pub(crate) fn answer(
    route: &RoutePlan,
    listener: &ListenerPlan,
    client: IpAddr,
    request: &Request,
    request_id: &str,
) -> Option<Answer> {
    let says = route
        .maintenance
        .as_ref()
        .or(listener.maintenance.as_ref())?;
    if !says.enabled || says.allow.contains(client) {
        return None;
    }
    let own = says.forms.fill(Some(request), STATUS, request_id);
    let page = super::page_for(Some(route), listener, STATUS, true);
    let of_page = || page.and_then(|page| page.forms.fill(Some(request), STATUS, request_id));
    let is_own = own.is_some();
    let plain = || {
        let text = b"503 Service Unavailable\n".to_vec();
        ("text/plain; charset=utf-8", text)
    };
    let (content_type, body) = own.or_else(of_page).unwrap_or_else(plain);
    let mut fields = Fields::default();
    let _ = fields.append(b"Content-Type", content_type.as_bytes());
    let _ = fields.append(b"Cache-Control", b"no-store");
    if let Some(seconds) = says.retry_after {
        let _ = fields.append(b"Retry-After", seconds.to_string().as_bytes());
    }
    let changed = page.filter(|_| !is_own).and_then(|page| page.status);
    Some(Answer {
        status: changed.unwrap_or(STATUS),
        fields,
        body,
        error: None,
    })
}
