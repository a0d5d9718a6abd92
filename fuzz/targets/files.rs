// SPDX-License-Identifier: Apache-2.0
//! What is asked of files: names stay below the root, ranges within the file, whatever is written.
//!
//! The input is lines: path, `Range`, a date, `Accept`, then entity tags.
use tidegate_files::condition::{Conditions, Validators, Verdict, judge, range_applies};
use tidegate_files::date::parse_http_date;
use tidegate_files::range::{Ranges, content_range, parse};
use tidegate_files::{accept, listing, name, pattern};

/// What inputs of this kind are made of.
pub const PIECES: &[&[u8]] = &[
    b"/",
    b"//",
    b"..",
    b"%2e",
    b"%2F",
    b"%00",
    b"%",
    b"\\",
    b".git",
    b"\n",
    b"bytes=",
    b"0-0",
    b"-5",
    b"5-",
    b",",
    b"18446744073709551615-",
    b"-0",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Sun Nov  6 08:49:37 1994",
    b"Feb",
    b"31",
    b"gzip;q=0.5",
    b"*/*;q=1.0001",
    b"text/html",
    b";q=",
    b"W/\"a\"",
    b"\"a\"",
    b"*",
    b"\x80",
];
const LENGTH: u64 = 1000;
const NOW: u64 = 1_800_000_000;

/// Judges `data`; whether it names a file and a part of it.
pub fn run(data: &[u8]) -> bool {
    let mut lines = data.split(|&byte| byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (path, range, date, wanted) = (next(), next(), next(), next());
    let tags: Vec<&[u8]> = lines.collect();
    let is_named = named(path);
    let has_parts = parts(range);
    dated(date);
    preferred(wanted);
    conditions(&tags, date);
    is_named && has_parts
}

fn named(path: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(path) else {
        return false;
    };
    let mut is_named = false;
    for shows_hidden in [false, true] {
        let Ok(found) = name::judge(text, shows_hidden) else {
            continue;
        };
        is_named = true;
        assert!(!found.path.contains(&0) && !found.path.starts_with(b"/"));
        for segment in found.path.split(|byte| *byte == b'/') {
            assert!(segment != b".." && segment != b"." && segment.len() <= 255);
            assert!(found.path.is_empty() || !segment.is_empty());
        }
        // Written as a path again, it is the same name.
        let mut again = String::new();
        for segment in found.path.split(|byte| *byte == b'/') {
            again.push('/');
            name::encode_segment(segment, &mut again);
        }
        let read = name::judge(&again, shows_hidden).map(|name| name.path);
        assert_eq!(read.as_ref(), Ok(&found.path), "{again}");
        pattern::takes("*.{html,css}", &found.path);
    }
    let escaped = listing::escaped(path);
    assert!(!escaped.contains(['<', '>']));
    is_named
}

fn parts(field: &[u8]) -> bool {
    for length in [0, 1, LENGTH, u64::MAX] {
        if let Ranges::Parts(parts) = parse(field, length, 8) {
            assert!(!parts.is_empty() && parts.len() <= 8);
            let mut end = 0;
            for (number, part) in parts.iter().enumerate() {
                assert!(part.start < part.end && part.end <= length);
                assert!(number == 0 || part.start > end, "they overlap or touch");
                end = part.end;
                content_range(part, length);
            }
        }
    }
    matches!(parse(field, LENGTH, 8), Ranges::Parts(_))
}

fn dated(text: &[u8]) {
    if let Some(seconds) = parse_http_date(text, NOW) {
        assert!(seconds < 253_402_300_800, "after the year 9999");
    }
}

fn preferred(field: &[u8]) {
    for coding in ["gzip", "br", "identity"] {
        assert!(accept::coding([field].into_iter(), coding) <= 1000);
    }
    assert!(accept::media([field].into_iter(), "text", "html").quality <= 1000);
}

fn conditions(tags: &[&[u8]], date: &[u8]) {
    let validators = Validators {
        tag: Some(b"\"a\""),
        modified: Some(784_111_777),
    };
    let verdict = |tags: &[&[u8]]| {
        let unless = Conditions {
            if_none_match: tags,
            ..Conditions::default()
        };
        judge(&unless, validators, NOW)
    };
    // A list is over several lines what it is over each: one that names the tag is enough.
    let is_named = tags
        .iter()
        .any(|line| verdict(&[line]) == Verdict::NotModified);
    let expected = if is_named {
        Verdict::NotModified
    } else {
        Verdict::Proceed
    };
    assert_eq!(verdict(tags), expected);
    range_applies(date, validators, NOW);
}
