// SPDX-License-Identifier: Apache-2.0
use super::plans::RoutePlan;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_config::Admission;
use tidegate_core::{ErrorKind, Moment, Networks};
use tidegate_policies::cors::is_listed_origin;
use tidegate_request::{FieldId, Framing, Reject, Request};

/// Who may come in, by address.
#[derive(Debug, Default)]
pub(crate) struct AdmissionPlan {
    allow: Networks,
    deny: Networks,
}

impl AdmissionPlan {
    pub(crate) fn build(config: &Admission) -> Result<Self, String> {
        Ok(Self {
            allow: Networks::parse(&config.allow)?,
            deny: Networks::parse(&config.deny)?,
        })
    }

    /// Whether `address` may come in: not denied, and allowed where there is a list of those.
    #[inline]
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        (self.allow.is_empty() || self.allow.contains(address)) && !self.deny.contains(address)
    }
}

impl RoutePlan {
    /// Why the route, though it takes the request, refuses it.
    #[inline]
    pub(crate) fn refuses(&self, request: &Request, client: IpAddr) -> Option<Reject> {
        if !self.admission.admits(client) {
            let detail = "the client's address is not admitted";
            return Some(Reject::new(ErrorKind::HttpRequestDenied, detail));
        }
        if let Some(websocket) = &self.websocket
            && !is_of_origin(&websocket.origins, request)
        {
            let detail = "the page that opens the WebSocket is of an origin that is not listed";
            return Some(Reject::new(ErrorKind::HttpRequestDenied, detail));
        }
        if self.media_types.is_empty()
            || matches!(request.framing(), Framing::None | Framing::Length(0))
        {
            return None;
        }
        // There is one at most: a request with two was refused when it was read.
        let given = request.fields().get(FieldId::ContentType);
        let listed = &mut self.media_types.iter();
        let is_listed = given.is_some_and(|given| listed.any(|one| is_of_type(given, one)));
        let detail = "the body's media type is not taken here";
        (!is_listed).then(|| Reject::new(ErrorKind::MediaTypeUnsupported, detail))
    }
}

/// Whether a request for a WebSocket comes from a page of one of `origins`, or from no page: browsers always
/// say where from (RFC 6455 §10.2), and others could say anything.
fn is_of_origin(origins: &[String], request: &Request) -> bool {
    let is_websocket = request
        .upgrade()
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
    if origins.is_empty() || !is_websocket {
        return true;
    }
    is_listed_origin(origins, request).unwrap_or(true)
}

/// Whether the value of a `Content-Type` is of `listed`: `type/subtype` or `type/*`, in lower case.
/// RFC 9110 §8.3.1: letters of any case, parameters behind `;`.
pub(crate) fn is_of_type(value: &[u8], listed: &str) -> bool {
    let essence = value
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    match listed.strip_suffix('*') {
        Some(start) => {
            essence.len() > start.len()
                && essence
                    .get(..start.len())
                    .is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()))
        }
        None => essence.eq_ignore_ascii_case(listed.as_bytes()),
    }
}

/// A rate with a burst, kept as the time at which all that came so far would have been due.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    due_nanos: AtomicU64,
}

impl Pace {
    /// Whether one more may come at `now`: at most `burst` at once, `rate` a second in the long run.
    pub(crate) fn take(&self, now: Moment, rate: u32, burst: u32) -> bool {
        let now = now.0.saturating_mul(1000);
        let each = 1_000_000_000 / u64::from(rate.max(1));
        let ahead = each.saturating_mul(u64::from(burst.saturating_sub(1)));
        let taken = self
            .due_nanos
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
                let due = due.max(now);
                (due - now <= ahead).then(|| due.saturating_add(each))
            });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_compared_without_case_and_parameters() {
        for (value, listed, is_listed) in [
            ("application/json", "application/json", true),
            ("Application/JSON ; charset=utf-8", "application/json", true),
            ("application/json-seq", "application/json", false),
            ("image/png", "image/*", true),
            ("image/", "image/*", false),
            ("imagery/png", "image/*", false),
            ("", "image/*", false),
        ] {
            assert_eq!(is_of_type(value.as_bytes(), listed), is_listed, "{value}");
        }
    }

    #[test]
    fn a_pace_lets_a_burst_through_and_then_the_rate() {
        let pace = Pace::default();
        let came = |moment| (0..10).filter(|_| pace.take(moment, 2, 3)).count();
        assert_eq!(came(Moment(0)), 3);
        assert_eq!(came(Moment(499_999)), 0);
        assert_eq!(came(Moment(500_000)), 1);
        assert_eq!(came(Moment(60_000_000)), 3);
    }

    #[test]
    fn the_denied_are_out_even_if_allowed() {
        let admission = Admission {
            allow: vec!["10.0.0.0/8".into()],
            deny: vec!["10.1.0.0/16".into()],
        };
        let plan = AdmissionPlan::build(&admission).unwrap();
        let admits = |text: &str| plan.admits(text.parse().unwrap());
        assert!(admits("10.2.0.1") && !admits("10.1.0.1") && !admits("192.0.2.1"));
        assert!(AdmissionPlan::default().admits("192.0.2.1".parse().unwrap()));
    }
}
