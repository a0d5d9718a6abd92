// SPDX-License-Identifier: Apache-2.0
//! What a client takes: codings and media types with their weights (RFC 9110 §12).

/// A weight of 0 to 1 in thousandths.
pub type Quality = u16;

/// The weight of content coding `name` under the lines of `Accept-Encoding` (§12.5.3): 0 is refused.
/// Without the field nothing but the file itself is sent, so that every coding weighs 0.
pub fn coding<'a>(lines: impl Iterator<Item = &'a [u8]>, name: &str) -> Quality {
    let mut star = 0;
    for (item, quality) in lines.flat_map(items) {
        if item.eq_ignore_ascii_case(name.as_bytes()) {
            return quality;
        }
        // An old name of gzip that recipients are to take for it (§8.4.1.3).
        if name == "gzip" && item.eq_ignore_ascii_case(b"x-gzip") {
            return quality;
        }
        if item == b"*" {
            star = quality;
        }
    }
    star
}

/// How well a media type suits the lines of `Accept`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suits {
    /// The weight of the most precise range that takes it; 1000 without the field.
    pub quality: Quality,
    /// Whether a range names it, or its top-level type; `*/*` and a missing field do not.
    pub is_named: bool,
}

/// The weight of the media type `top`/`sub` (§12.5.1); parameters of ranges are not looked at.
pub fn media<'a>(lines: impl Iterator<Item = &'a [u8]>, top: &str, sub: &str) -> Suits {
    let mut best = (0, Suits::default());
    let mut is_there = false;
    for (item, quality) in lines.flat_map(items) {
        is_there = true;
        let Some(slash) = item.iter().position(|byte| *byte == b'/') else {
            continue;
        };
        let (range_top, range_sub) = item.split_at_checked(slash).unwrap_or_default();
        let range_sub = range_sub.get(1..).unwrap_or_default();
        let is_top = range_top.eq_ignore_ascii_case(top.as_bytes());
        let precision = match () {
            () if is_top && range_sub.eq_ignore_ascii_case(sub.as_bytes()) => 3,
            () if is_top && range_sub == b"*" => 2,
            () if range_top == b"*" && range_sub == b"*" => 1,
            () => continue,
        };
        if precision > best.0 {
            let is_named = precision > 1;
            best = (precision, Suits { quality, is_named });
        }
    }
    match is_there {
        true => best.1,
        false => Suits {
            quality: 1000,
            is_named: false,
        },
    }
}

/// Items of a list with their weights; a broken weight is 0.
fn items(line: &[u8]) -> impl Iterator<Item = (&[u8], Quality)> {
    line.split(|byte| *byte == b',').filter_map(|item| {
        let mut parts = item.split(|byte| *byte == b';');
        let name = parts.next()?.trim_ascii();
        if name.is_empty() {
            return None;
        }
        let mut quality = 1000;
        for part in parts {
            if let [b'q' | b'Q', b'=', value @ ..] = part.trim_ascii() {
                quality = weight(value.trim_ascii());
                break;
            }
        }
        Some((name, quality))
    })
}

/// `0`, `1`, `0.5`, with up to three digits behind the point (§12.4.2).
fn weight(text: &[u8]) -> Quality {
    let (whole, rest) = match text {
        [b'0', rest @ ..] => (0, rest),
        [b'1', rest @ ..] => (1000, rest),
        _ => return 0,
    };
    let digits = match rest {
        [] => return whole,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return 0,
    };
    let mut sum = 0;
    for place in 0..3 {
        let digit = match digits.get(place) {
            Some(byte) if byte.is_ascii_digit() => Quality::from(byte - b'0'),
            Some(_) => return 0,
            None => 0,
        };
        sum = sum * 10 + digit;
    }
    (whole + sum).min(1000)
}
