// SPDX-License-Identifier: Apache-2.0
//! The text of `/metrics` as OTLP: so both always have the same.
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Labels = Vec<(String, String)>;

/// Buckets and sum of one histogram's series.
#[derive(Default)]
struct Histogram {
    /// Upper bound and how many are at or below it.
    buckets: Vec<(f64, u64)>,
    sum: f64,
    count: u64,
}

/// The list `metrics` of a scope. Counters are monotonic sums since `started`, both times in
/// nanoseconds since 1970.
pub(super) fn metrics(text: &str, started: u64, now: u64) -> Value {
    let mut kinds = BTreeMap::new();
    let mut points = BTreeMap::<&str, Vec<Value>>::new();
    let mut histograms = BTreeMap::<(&str, Labels), Histogram>::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            kinds.extend(declared.split_once(' '));
            continue;
        }
        let Some((name, labels, value)) = sample(line) else {
            continue;
        };
        let part = ["_bucket", "_sum", "_count"].into_iter().find_map(|part| {
            let base = name.strip_suffix(part)?;
            (kinds.get(base) == Some(&"histogram")).then_some((base, part))
        });
        match part {
            Some((base, part)) => add(&mut histograms, base, part, labels, value),
            None => points.entry(name).or_default().push(json!({
                "attributes": attributes(&labels),
                "startTimeUnixNano": started.to_string(),
                "timeUnixNano": now.to_string(),
                "asDouble": value,
            })),
        }
    }
    let mut out: Vec<Value> = points
        .into_iter()
        .map(|(name, points)| match kinds.get(name) {
            Some(&"counter") => json!({"name": name, "sum": {
                "dataPoints": points, "aggregationTemporality": 2, "isMonotonic": true,
            }}),
            _ => json!({"name": name, "gauge": {"dataPoints": points}}),
        })
        .collect();
    let mut by_name = BTreeMap::<&str, Vec<Value>>::new();
    for ((name, labels), histogram) in &histograms {
        let points = by_name.entry(name).or_default();
        points.push(histogram_point(labels, histogram, started, now));
    }
    out.extend(by_name.into_iter().map(|(name, points)| {
        json!({"name": name, "unit": "s", "histogram": {
            "dataPoints": points, "aggregationTemporality": 2,
        }})
    }));
    Value::Array(out)
}

fn add<'a>(
    histograms: &mut BTreeMap<(&'a str, Labels), Histogram>,
    base: &'a str,
    part: &str,
    mut labels: Labels,
    value: f64,
) {
    let bound = labels.iter().position(|(name, _)| name == "le");
    let bound = bound.map(|at| labels.remove(at).1);
    let histogram = histograms.entry((base, labels)).or_default();
    match (part, bound) {
        ("_sum", _) => histogram.sum = value,
        ("_count", _) => histogram.count = value as u64,
        (_, Some(bound)) => {
            // `+Inf` is the count.
            if let Some(bound) = bound.parse::<f64>().ok().filter(|bound| bound.is_finite()) {
                histogram.buckets.push((bound, value as u64));
            }
        }
        _ => {}
    }
}

fn histogram_point(labels: &Labels, histogram: &Histogram, started: u64, now: u64) -> Value {
    let mut below = 0;
    let mut counts = Vec::new();
    let ends = histogram.buckets.iter().map(|(_, count)| *count);
    for count in ends.chain([histogram.count]) {
        counts.push(count.saturating_sub(below).to_string());
        below = count;
    }
    let bounds: Vec<f64> = histogram.buckets.iter().map(|(bound, _)| *bound).collect();
    json!({
        "attributes": attributes(labels),
        "startTimeUnixNano": started.to_string(),
        "timeUnixNano": now.to_string(),
        "count": histogram.count.to_string(),
        "sum": histogram.sum,
        "bucketCounts": counts,
        "explicitBounds": bounds,
    })
}

fn attributes(labels: &Labels) -> Value {
    let all = labels.iter();
    all.map(|(name, value)| json!({"key": name, "value": {"stringValue": value}}))
        .collect()
}

/// `name{label="value",...} number`.
fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return (!series.starts_with('#')).then_some((series, Vec::new(), value));
    };
    let mut labels = Vec::new();
    let mut rest = rest.strip_suffix('}')?;
    while let Some((label, after)) = rest.split_once("=\"") {
        let (mut text, mut letters) = (String::new(), after.char_indices());
        rest = loop {
            match letters.next()? {
                (at, '"') => break after.get(at + 1..)?,
                (_, '\\') => match letters.next()?.1 {
                    'n' => text.push('\n'),
                    other => text.push(other),
                },
                (_, other) => text.push(other),
            }
        };
        labels.push((label.trim_start_matches(',').to_owned(), text));
    }
    Some((name, labels, value))
}

#[cfg(test)]
mod tests {
    use super::metrics;

    #[test]
    fn the_text_becomes_sums_gauges_and_histograms() {
        let text = "# HELP c Help.\n# TYPE c counter\nc{a=\"x\\\"y, z=1\",b=\"2\"} 3\n# TYPE g gauge\ng 1.5\n\
                    # TYPE h histogram\nh_bucket{r=\"r\",le=\"0.5\"} 1\nh_bucket{r=\"r\",le=\"+Inf\"} 3\n\
                    h_sum{r=\"r\"} 2.25\nh_count{r=\"r\"} 3\n";
        let all = metrics(text, 1, 2);
        let counter = &all[0]["sum"];
        assert_eq!(counter["isMonotonic"], true);
        assert_eq!(counter["dataPoints"][0]["asDouble"], 3.0);
        assert_eq!(
            counter["dataPoints"][0]["attributes"][0]["value"]["stringValue"],
            "x\"y, z=1"
        );
        assert_eq!(all[1]["gauge"]["dataPoints"][0]["asDouble"], 1.5);
        let point = &all[2]["histogram"]["dataPoints"][0];
        assert_eq!(point["bucketCounts"], serde_json::json!(["1", "2"]));
        assert_eq!(point["explicitBounds"], serde_json::json!([0.5]));
        assert_eq!(
            (&point["count"], &point["sum"]),
            (&"3".into(), &2.25.into())
        );
    }
}
