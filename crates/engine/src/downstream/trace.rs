// SPDX-License-Identifier: Apache-2.0
use crate::thread::Current;
use std::cell::RefCell;
use tidegate_core::Draw;
use tidegate_request::{FieldId, Request};

/// Bytes of `00-TRACE-PARENT-FLAGS`.
const LENGTH: usize = 55;

/// Makes this exchange a span of the request's trace, or of a new one, and tells the endpoint.
///
/// A `traceparent` that is well-formed keeps its trace and its sampled flag; without one, one trace in
/// `one_in` is sampled. Returns `TRACE-SPAN-PARENT` of a span that is sampled, the parent empty where
/// there is none, and nothing of others or where nobody takes spans. W3C Trace Context §3.2, §4.3.
#[inline]
pub(super) fn begin(request: &mut Request, current: &Current, draw: &RefCell<Draw>) -> String {
    match &current.snapshot.settings.config.otlp {
        Some(otlp) if otlp.traces => join(request, otlp.one_in, &mut draw.borrow_mut()),
        _ => String::new(),
    }
}

fn join(request: &mut Request, one_in: u32, draw: &mut Draw) -> String {
    let given = request.fields().get(FieldId::Traceparent).and_then(parse);
    let span = format!("{:016x}", draw.bits().max(1));
    let (trace, parent, is_sampled) = match given {
        Some((trace, parent, is_sampled)) => (trace, parent, is_sampled),
        None => {
            let trace = format!("{:016x}{:016x}", draw.bits().max(1), draw.bits());
            (
                trace,
                String::new(),
                draw.below(u64::from(one_in.max(1))) == 0,
            )
        }
    };
    let flags = if is_sampled { "01" } else { "00" };
    let told = format!("00-{trace}-{span}-{flags}");
    let mut fields = request.fields_mut();
    if parent.is_empty() {
        // What came with a trace that cannot be read must not go on with a new one.
        let _ = fields.remove(b"tracestate");
    }
    // A request with no room for one more field goes on as it came.
    let _ = fields.set(b"traceparent", told.as_bytes());
    match is_sampled {
        true => format!("{trace}-{span}-{parent}"),
        false => String::new(),
    }
}

/// Draws the span of a try, and names it to the endpoint as what its own spans belong to, unless a
/// policy has taken the field away or put something else there.
pub(super) fn next(request: &mut Request, trace: &str, draw: &mut Draw) -> String {
    let span = format!("{:016x}", draw.bits().max(1));
    let trace = trace.split('-').next().unwrap_or_default();
    let given = request.fields().get(FieldId::Traceparent).and_then(parse);
    if given.is_some_and(|(given, _, is_sampled)| given == trace && is_sampled) {
        let told = format!("00-{trace}-{span}-01");
        let _ = request.fields_mut().set(b"traceparent", told.as_bytes());
    }
    span
}

/// Trace, parent and whether it is sampled.
fn parse(value: &[u8]) -> Option<(String, String, bool)> {
    let text = std::str::from_utf8(value).ok()?;
    let (head, rest) = text.split_at_checked(LENGTH)?;
    let parts: Vec<&str> = head.split('-').collect();
    let [version, trace, parent, flags] = parts.as_slice() else {
        return None;
    };
    let is_hex = |part: &str, length: usize| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    // A later version may say more, behind another dash.
    let is_whole = rest.is_empty() || (*version != "00" && rest.starts_with('-'));
    let is_good = is_whole
        && is_hex(version, 2)
        && *version != "ff"
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && [trace, parent]
            .iter()
            .all(|id| id.bytes().any(|byte| byte != b'0'));
    let flags = u8::from_str_radix(flags, 16).ok()?;
    is_good.then(|| ((*trace).to_owned(), (*parent).to_owned(), flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_a_well_formed_parent_is_believed() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(parse(good.as_bytes()).is_some_and(|(_, _, is_sampled)| is_sampled));
        let later = format!("cc{}-more", &good[2..]);
        assert!(parse(later.as_bytes()).is_some());
        for bad in [
            good.to_uppercase(),
            format!("ff{}", &good[2..]),
            format!("{good}-more"),
            format!("{good}0"),
            good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            good[..54].to_owned(),
            String::new(),
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
