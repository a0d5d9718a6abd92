// SPDX-License-Identifier: Apache-2.0
//! The binary form of an Open Request Cost Aggregation report: the message `OrcaLoadReport` of
//! `xds.data.orca.v3` in protocol buffers, base64 in a field, as gRPC writes `endpoint-load-metrics-bin`.
use tidegate_core::base64_decoded;

/// The longest field that is read, as text.
const LONGEST: usize = 4096;

/// A metric of a report: `cpu_utilization` and the like, or `named_metrics.NAME` for a member of a map.
/// A metric that is not there has not been reported; of one that is there twice the last counts, as
/// protocol buffers have it. `None` as well for what is no such message.
pub(super) fn read(value: &[u8], metric: &str) -> Option<f64> {
    let bytes = decoded(value)?;
    let mut rest = bytes.as_slice();
    let mut found = None;
    while !rest.is_empty() {
        let (number, content) = field(&mut rest)?;
        let (name, is_map) = match number {
            1 => ("cpu_utilization", false),
            2 => ("mem_utilization", false),
            4 => ("request_cost", true),
            5 => ("utilization", true),
            6 => ("rps_fractional", false),
            7 => ("eps", false),
            8 => ("named_metrics", true),
            9 => ("application_utilization", false),
            // The old `rps`, a whole number, and what later versions add.
            _ => continue,
        };
        match content {
            Content::Double(value) if !is_map && name == metric => found = Some(value),
            Content::Bytes(entry) if is_map => {
                let wanted = metric
                    .strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix('.'));
                let (key, value) = member(entry)?;
                if wanted.is_some_and(|wanted| wanted.as_bytes() == key) {
                    found = Some(value);
                }
            }
            Content::Double(_) if !is_map => {}
            _ => return None,
        }
    }
    found
}

enum Content<'a> {
    Double(f64),
    Bytes(&'a [u8]),
    /// A number of another kind, which nothing here is.
    Other,
}

/// The next field of a message, and what follows it.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Content<'a>)> {
    let key = varint(rest)?;
    let content = match key & 7 {
        0 => {
            varint(rest)?;
            Content::Other
        }
        1 => {
            let (bytes, after) = rest.split_first_chunk::<8>()?;
            *rest = after;
            Content::Double(f64::from_le_bytes(*bytes))
        }
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            let (bytes, after) = rest.split_at_checked(length)?;
            *rest = after;
            Content::Bytes(bytes)
        }
        5 => {
            *rest = rest.split_first_chunk::<4>()?.1;
            Content::Other
        }
        _ => return None,
    };
    Some((key >> 3, content))
}

/// Key and value of an entry of a map; what is left out is empty and 0.
fn member(mut entry: &[u8]) -> Option<(&[u8], f64)> {
    let (mut key, mut value): (&[u8], f64) = (b"", 0.0);
    while !entry.is_empty() {
        match field(&mut entry)? {
            (1, Content::Bytes(bytes)) => key = bytes,
            (2, Content::Double(number)) => value = number,
            (1 | 2, _) => return None,
            _ => {}
        }
    }
    Some((key, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            return Some(number);
        }
    }
    None
}

/// Base64, with or without padding: gRPC leaves it out, Envoy writes it.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    let end = text
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |at| at + 1);
    if text.len() > LONGEST || text.len() - end > 2 {
        return None;
    }
    base64_decoded(text.get(..end)?, *b"+/")
}

#[cfg(test)]
mod tests {
    use super::read;
    use tidegate_core::Draw;

    // cpu_utilization 0.5, mem_utilization 0.25, rps 7, named_metrics {"queue": 12.0}.
    const WHOLE: &[u8] = b"CQAAAAAAAOA/EQAAAAAAANA/GAdCEAoFcXVldWURAAAAAAAAKEA=";

    #[test]
    fn metrics_are_read_with_and_without_padding() {
        let bare = WHOLE.strip_suffix(b"=").unwrap();
        for value in [WHOLE, bare] {
            for (metric, load) in [
                ("cpu_utilization", Some(0.5)),
                ("mem_utilization", Some(0.25)),
                ("named_metrics.queue", Some(12.0)),
                ("named_metrics.other", None),
                ("named_metrics", None),
                ("utilization.queue", None),
                ("eps", None),
                ("rps", None),
            ] {
                assert_eq!(read(value, metric), load, "{metric}");
            }
        }
    }

    #[test]
    fn what_is_no_report_is_none_and_nothing_panics() {
        let long = [b"A".as_slice(); 5000].concat();
        for value in [
            b"".as_slice(),
            b"=",
            b"A",
            b"CQ",
            b"====",
            b"CQAA!",
            b"CQAAAAAAAOA",
            b"////",
            &long,
        ] {
            assert_eq!(read(value, "cpu_utilization"), None);
        }
        let mut draw = Draw::from_seed(20_260_101);
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
        for _ in 0..20_000 {
            let mut value = WHOLE.to_vec();
            for _ in 0..=draw.below(4) {
                let at = draw.below(value.len() as u64) as usize;
                value[at] = digits[draw.below(65) as usize];
            }
            value.truncate(draw.below(value.len() as u64 + 1) as usize);
            let _ = read(&value, "named_metrics.queue");
        }
    }
}
