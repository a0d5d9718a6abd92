// SPDX-License-Identifier: Apache-2.0
//! Conditional requests, RFC 9110 §13.
use crate::date::parse_http_date;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Validators<'a> {
    /// The entity tag as it is sent, quotes and `W/` included; `None` when there is none to go by.
    pub tag: Option<&'a [u8]>,
    /// `Last-Modified` in seconds since 1970, if it is sent.
    pub modified: Option<u64>,
}

/// The fields of a request that make it conditional: each the lines of one field, in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    /// `If-Match`
    pub if_match: &'a [&'a [u8]],
    /// `If-None-Match`
    pub if_none_match: &'a [&'a [u8]],
    /// `If-Modified-Since`; `None` also when it is there twice.
    pub if_modified_since: Option<&'a [u8]>,
    /// `If-Unmodified-Since`; `None` also when it is there twice.
    pub if_unmodified_since: Option<&'a [u8]>,
}

/// What the conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As if there were none.
    Proceed,
    /// A 304: the client has it.
    NotModified,
    /// A 412.
    Failed,
}

/// Judges a GET or HEAD of something that exists, in the order of RFC 9110 §13.2.2. `now` is in
/// seconds since 1970.
///
/// A field that is broken is ignored when it is a date, and matches nothing when it is a list.
pub fn judge(conditions: &Conditions<'_>, validators: Validators<'_>, now: u64) -> Verdict {
    if !conditions.if_match.is_empty() {
        if !any(conditions.if_match, validators.tag, strong) {
            return Verdict::Failed;
        }
    } else if let Some(text) = conditions.if_unmodified_since
        && let (Some(since), Some(modified)) = (parse_http_date(text, now), validators.modified)
        && modified > since
    {
        return Verdict::Failed;
    }
    if !conditions.if_none_match.is_empty() {
        if any(conditions.if_none_match, validators.tag, weak) {
            return Verdict::NotModified;
        }
    } else if let Some(text) = conditions.if_modified_since
        && let (Some(since), Some(modified)) = (parse_http_date(text, now), validators.modified)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether `If-Range` lets `Range` apply: the same strong tag, or exactly the same date (§13.1.5).
///
/// The date has to be strong too (§8.8.2.2): at least a second older than `now`.
pub fn range_applies(if_range: &[u8], validators: Validators<'_>, now: u64) -> bool {
    let if_range = if_range.trim_ascii();
    if if_range.first() == Some(&b'"') || if_range.starts_with(b"W/") {
        return validators.tag.is_some_and(|tag| strong(if_range, tag));
    }
    match (parse_http_date(if_range, now), validators.modified) {
        (Some(date), Some(modified)) => date == modified && modified < now,
        _ => false,
    }
}

fn any(lines: &[&[u8]], tag: Option<&[u8]>, same: fn(&[u8], &[u8]) -> bool) -> bool {
    lines.iter().any(|line| {
        // Only the whole field may be `*`; it asks whether there is anything at all.
        line.trim_ascii() == b"*" || tag.is_some_and(|tag| Tags(line).any(|one| same(one, tag)))
    })
}

/// Strong comparison, §8.8.3.2.
fn strong(one: &[u8], other: &[u8]) -> bool {
    !one.starts_with(b"W/") && one == other
}

/// Weak comparison.
fn weak(one: &[u8], other: &[u8]) -> bool {
    one.strip_prefix(b"W/").unwrap_or(one) == other.strip_prefix(b"W/").unwrap_or(other)
}

/// The entity tags of a list; a broken one ends it.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0;
        let start = rest
            .iter()
            .position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
        let text = rest.get(start..)?;
        let opening = if text.starts_with(b"W/") { 2 } else { 0 };
        if text.get(opening) != Some(&b'"') {
            self.0 = b"";
            return None;
        }
        let length = text
            .get(opening + 1..)?
            .iter()
            .position(|byte| *byte == b'"')?;
        let (tag, after) = text.split_at_checked(opening + 1 + length + 1)?;
        self.0 = after;
        Some(tag)
    }
}
