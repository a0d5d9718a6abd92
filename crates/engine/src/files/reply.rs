// SPDX-License-Identifier: Apache-2.0
//! What is sent of a file: conditions, coding, ranges.
use super::find::{Body, FileEntry};
use super::plan::{FilesPlan, names_of};
use smallvec::SmallVec;
use std::ops::Range;
use tidegate_config::ContentCoding;
use tidegate_files::accept;
use tidegate_files::condition::{self, Conditions, Verdict};
use tidegate_files::range::{self, Ranges};
use tidegate_request::{FieldId, FieldSet, Fields, Method, Request};

/// Without one of these, and without codings to choose from, a request gets the whole file.
const ASKING: FieldSet = FieldSet::of(&[
    FieldId::IfMatch,
    FieldId::IfNoneMatch,
    FieldId::IfModifiedSince,
    FieldId::Range,
    // `If-Unmodified-Since` is none of the well-known names.
    FieldId::Other,
]);

/// A response without its body.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    /// Whose bytes: an index of the entry's coded forms, or the file itself.
    pub(crate) form: Option<usize>,
    pub(crate) parts: Parts,
    /// Bytes of the body, as a GET gets it.
    pub(crate) length: u64,
}

/// Which bytes.
pub(crate) enum Parts {
    None,
    One(Range<u64>),
    /// Several, each behind its own head; the text is what ends them.
    Several(Vec<(String, Range<u64>)>, String),
}

/// The body that a reply's bytes are of.
pub(crate) fn body_of(entry: &FileEntry, form: Option<usize>) -> &Body {
    let coded = form.and_then(|index| entry.encoded.get(index));
    coded.map_or(&entry.plain, |(_, body)| body)
}

/// What a GET or HEAD of a file is answered by. `wall` is in seconds since 1970; `boundary` parts the
/// ranges of an answer from each other and must not be guessed.
pub(crate) fn reply(
    entry: &FileEntry,
    plan: &FilesPlan,
    request: &Request,
    wall: u64,
    boundary: impl FnOnce() -> String,
) -> Reply {
    let form = choose(entry, request);
    let body = body_of(entry, form);
    let length = body.length();
    let mut reply = Reply {
        status: 200,
        fields: Fields::default(),
        form,
        parts: Parts::One(0..length),
        length,
    };
    let asked = request.fields();
    if asked.may_have(ASKING) {
        match judge(asked, body, wall) {
            Verdict::Proceed => {}
            verdict => {
                let is_same = verdict == Verdict::NotModified;
                (reply.status, reply.length) = (if is_same { 304 } else { 412 }, 0);
                reply.parts = Parts::None;
            }
        }
    }
    let mut content_type = entry.content_type.clone();
    if reply.status == 200 && request.method_kind() == Method::Get {
        apply_range(
            &mut reply,
            plan,
            asked,
            body,
            wall,
            &mut content_type,
            boundary,
        );
    }
    let coding = form.and_then(|index| entry.encoded.get(index));
    describe(
        &mut reply,
        entry,
        plan,
        body,
        coding.map(|(coding, _)| *coding),
        &content_type,
    );
    reply
}

/// The form the client likes best; among equals the first, and any before the file itself.
fn choose(entry: &FileEntry, request: &Request) -> Option<usize> {
    if entry.encoded.is_empty() {
        return None;
    }
    let mut best = (0, None);
    for (index, (coding, _)) in entry.encoded.iter().enumerate() {
        let lines = request.fields().get_all(FieldId::AcceptEncoding);
        let quality = accept::coding(lines, names_of(*coding).1);
        if quality > best.0 {
            best = (quality, Some(index));
        }
    }
    best.1
}

fn judge(asked: &Fields, body: &Body, wall: u64) -> Verdict {
    let if_match: SmallVec<[&[u8]; 2]> = asked.get_all(FieldId::IfMatch).collect();
    let if_none_match: SmallVec<[&[u8]; 2]> = asked.get_all(FieldId::IfNoneMatch).collect();
    let since = asked.get_all(FieldId::IfModifiedSince);
    let unmodified = asked.get_all_name(b"if-unmodified-since");
    let conditions = Conditions {
        if_match: &if_match,
        if_none_match: &if_none_match,
        if_modified_since: only(since),
        if_unmodified_since: only(unmodified),
    };
    condition::judge(&conditions, body.validators(), wall)
}

/// The one line there is.
fn only<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let first = lines.next()?;
    lines.next().is_none().then_some(first)
}

fn apply_range(
    reply: &mut Reply,
    plan: &FilesPlan,
    asked: &Fields,
    body: &Body,
    wall: u64,
    content_type: &mut String,
    boundary: impl FnOnce() -> String,
) {
    let Some(field) = only(asked.get_all(FieldId::Range)) else {
        return;
    };
    if asked.get(FieldId::IfRange).is_some() {
        let applies = only(asked.get_all(FieldId::IfRange))
            .is_some_and(|value| condition::range_applies(value, body.validators(), wall));
        if !applies {
            return;
        }
    }
    let whole = body.length();
    match range::parse(field, whole, usize::from(plan.settings.ranges)) {
        Ranges::Whole => {}
        Ranges::Unsatisfiable => {
            (reply.status, reply.parts, reply.length) = (416, Parts::None, 0);
            let value = format!("bytes */{whole}");
            put(&mut reply.fields, b"Content-Range", value.as_bytes());
        }
        Ranges::Parts(parts) => {
            reply.status = 206;
            if let [only] = parts.as_slice() {
                let value = range::content_range(only, whole);
                put(&mut reply.fields, b"Content-Range", value.as_bytes());
                reply.length = only.end - only.start;
                reply.parts = Parts::One(only.clone());
                return;
            }
            let boundary = boundary();
            let parts: Vec<(String, Range<u64>)> = parts
                .into_iter()
                .map(|part| {
                    (
                        range::part_head(&boundary, content_type, &part, whole),
                        part,
                    )
                })
                .collect();
            let end = range::multipart_end(&boundary);
            let bytes = parts
                .iter()
                .map(|(head, part)| head.len() as u64 + (part.end - part.start));
            reply.length = bytes.sum::<u64>() + end.len() as u64;
            reply.parts = Parts::Several(parts, end);
            *content_type = format!("multipart/byteranges; boundary={boundary}");
        }
    }
}

fn describe(
    reply: &mut Reply,
    entry: &FileEntry,
    plan: &FilesPlan,
    body: &Body,
    coding: Option<ContentCoding>,
    content_type: &str,
) {
    let fields = &mut reply.fields;
    if let Some(tag) = body.tag() {
        put(fields, b"ETag", tag);
    }
    if !plan.settings.precompressed.is_empty() {
        put(fields, b"Vary", b"Accept-Encoding");
    }
    if let Some(value) = &entry.cache_control
        && !matches!(reply.status, 412 | 416)
    {
        put(fields, b"Cache-Control", value.as_bytes());
    }
    if matches!(reply.status, 200 | 206) {
        put(fields, b"Content-Type", content_type.as_bytes());
        put(fields, b"X-Content-Type-Options", b"nosniff");
        put(fields, b"Accept-Ranges", b"bytes");
        if let Some(value) = body.last_modified() {
            put(fields, b"Last-Modified", value);
        }
        if let Some(coding) = coding {
            put(fields, b"Content-Encoding", names_of(coding).1.as_bytes());
        }
    }
}

/// Names here are constants, values were checked when the configuration was read or made here.
fn put(fields: &mut Fields, name: &[u8], value: &[u8]) {
    let _ = fields.append(name, value);
}

/// Whether a path that names no file is answered by the fallback: when a page is asked for.
pub(crate) fn wants_page(request: &Request) -> bool {
    let html = accept::media(request.fields().get_all(FieldId::Accept), "text", "html");
    let last = request.path().rsplit('/').next().unwrap_or_default();
    html.quality > 0 && (html.is_named || !last.contains('.'))
}

/// Whether a listing goes out as JSON: the client likes that better than a page.
pub(crate) fn wants_json(request: &Request) -> bool {
    let weigh = |top, sub| accept::media(request.fields().get_all(FieldId::Accept), top, sub);
    weigh("application", "json").quality > weigh("text", "html").quality
}

/// The fields of a listing.
pub(crate) fn listing_fields(is_json: bool) -> Fields {
    let mut fields = Fields::default();
    let content_type: &[u8] = match is_json {
        true => b"application/json",
        false => b"text/html; charset=utf-8",
    };
    put(&mut fields, b"Content-Type", content_type);
    put(&mut fields, b"X-Content-Type-Options", b"nosniff");
    put(
        &mut fields,
        b"Content-Security-Policy",
        b"default-src 'none'; style-src 'unsafe-inline'",
    );
    put(&mut fields, b"Cache-Control", b"no-cache");
    put(&mut fields, b"Vary", b"Accept");
    fields
}
