// SPDX-License-Identifier: Apache-2.0
//! The load that an endpoint reports with a response.
//!
//! Half trusted: a number out of bounds, or what is no number, changes nothing, and what a report
//! may do to a weight is bounded where weights are worked out.
use super::orca;
use serde_json::Value;
use tidegate_config::LoadReport;
use tidegate_contract::{Average, EndpointState};
use tidegate_core::Moment;
use tidegate_request::Fields;

/// The longest report that is read.
const LONGEST: usize = 4096;
/// The greatest load that is believed.
const MOST: f64 = 1e6;

/// Takes the report out of the fields of a response, or of its trailers, and says what it comes to.
///
/// A report is in the field of the configured name, or in binary form in that name and `-bin`. Of two
/// reports neither is believed: they may contradict each other.
pub(crate) fn take(report: &LoadReport, fields: &mut Fields) -> Option<f64> {
    let binary = format!("{}-bin", report.header);
    let mut reports = fields.get_all_name(report.header.as_bytes());
    let mut binaries = fields.get_all_name(binary.as_bytes());
    let (text, bytes) = (reports.next(), binaries.next());
    let is_one = reports.next().is_none() && binaries.next().is_none();
    let load = match (text, bytes) {
        (Some(value), None) if is_one => read(value, &report.metric),
        (None, Some(value)) if is_one => orca::read(value, &report.metric).filter(is_load),
        _ => None,
    };
    let is_there = (text.is_some(), bytes.is_some());
    drop((reports, binaries));
    if is_there.0 {
        fields.remove(report.header.as_bytes());
    }
    if is_there.1 {
        fields.remove(binary.as_bytes());
    }
    load
}

/// Takes a load into the endpoint's average.
pub(crate) fn note(report: &LoadReport, load: f64, state: &EndpointState, now: Moment) {
    let next = match state.load.get() {
        Some((old, at)) => {
            let kept = Average::kept(at, now, report.smoothing.0);
            old * kept + load * (1.0 - kept)
        }
        None => load,
    };
    state.load.set(next, now);
}

fn is_load(load: &f64) -> bool {
    (0.0..=MOST).contains(load)
}

/// The load in a field's value: a number, `TEXT name=number, ...` or `JSON {"name": number}`.
///
/// The two forms are those of Open Request Cost Aggregation (the `endpoint-load-metrics` field of
/// Envoy); `named_metrics.NAME` and the like are members of an object in JSON.
pub(crate) fn read(value: &[u8], metric: &str) -> Option<f64> {
    let text = std::str::from_utf8(value)
        .ok()
        .filter(|text| text.len() <= LONGEST)?
        .trim();
    let load = if let Some(json) = text.strip_prefix("JSON ") {
        let json: Value = serde_json::from_str(json).ok()?;
        match metric.split_once('.') {
            Some((outer, inner)) => json.get(outer)?.get(inner)?.as_f64()?,
            None => json.get(metric)?.as_f64()?,
        }
    } else if let Some(pairs) = text.strip_prefix("TEXT ") {
        let mut pairs = pairs.split(',').filter_map(|pair| pair.split_once('='));
        let (_, number) = pairs.find(|(name, _)| name.trim() == metric)?;
        number.trim().parse().ok()?
    } else {
        text.parse().ok()?
    };
    is_load(&load).then_some(load)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn each_form_is_read() {
        for (value, metric, load) in [
            ("0.25", "cpu_utilization", 0.25),
            (" 7 ", "anything", 7.0),
            (
                "TEXT cpu_utilization=0.3, mem_utilization=0.8",
                "cpu_utilization",
                0.3,
            ),
            (
                "TEXT cpu_utilization=0.3,mem_utilization=0.8",
                "mem_utilization",
                0.8,
            ),
            ("TEXT named_metrics.queue=12", "named_metrics.queue", 12.0),
            (r#"JSON {"cpu_utilization": 0.5}"#, "cpu_utilization", 0.5),
            (
                r#"JSON {"named_metrics": {"a.b": 2}}"#,
                "named_metrics.a.b",
                2.0,
            ),
        ] {
            assert_eq!(read(value.as_bytes(), metric), Some(load), "{value}");
        }
    }

    #[test]
    fn what_is_no_load_is_ignored() {
        let deep = format!("JSON {}", "[".repeat(4000));
        let long = format!("0.{}", "1".repeat(5000));
        for value in [
            "",
            "-1",
            "nan",
            "NaN",
            "inf",
            "1e7",
            "1e999",
            "0x1",
            "half",
            "1 2",
            "TEXT",
            "TEXT ",
            "TEXT cpu_utilization",
            "TEXT cpu_utilization=",
            "TEXT other=1",
            "JSON",
            "JSON 1",
            "JSON {",
            "JSON {}",
            r#"JSON {"cpu_utilization": "1"}"#,
            r#"JSON {"cpu_utilization": -1}"#,
            "BIN AAAA",
            &deep,
            &long,
        ] {
            assert_eq!(read(value.as_bytes(), "cpu_utilization"), None, "{value}");
        }
        assert_eq!(read(b"\xff0.5", "cpu_utilization"), None);
    }
}
