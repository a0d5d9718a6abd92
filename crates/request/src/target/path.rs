// SPDX-License-Identifier: Apache-2.0
use crate::Reject;

/// What a byte of a path asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stands as it is: a `pchar` of RFC 3986 §3.3.
    Plain,
    /// Separates segments.
    Slash,
    /// As plain, but a segment that begins with it may be `.`, `..` or nothing but parameters.
    Start,
    /// Begins an escape.
    Percent,
    /// Visible, but no part of a path in RFC 3986; browsers and curl send some of them bare.
    Escape,
    /// Must not occur.
    Refuse,
}

static CLASSES: [Class; 256] = {
    let mut table = [Class::Refuse; 256];
    let mut index = 0x21;
    while index < 0x7f {
        table[index] = match index as u8 {
            b'/' => Class::Slash,
            b'.' | b';' => Class::Start,
            b'%' => Class::Percent,
            b'\\' | b'#' | b'?' => Class::Refuse,
            b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => Class::Escape,
            _ => Class::Plain,
        };
        index += 1;
    }
    table
};

/// Appends the canonical form of `path` to `out`: one pass, and no allocation once `out` has room.
///
/// Escapes of unreserved characters are decoded, other escapes get upper-case digits, characters
/// that RFC 3986 does not allow in a path are escaped, `.` segments go, and with `merge_slashes` so
/// do empty segments but the last. The result begins with `/` and canonicalising it again changes
/// nothing. `%2F` stays data.
///
/// # Errors
/// `http_request_error`, with bytes left behind in `out`: a path that does not begin with `/`;
/// `..` in any spelling as a segment (also between `%2F`, which some origin servers decode before they
/// look for segments), `.` with parameters, and before another segment parameters alone; `\`, `%5C`, `%00`, overlong UTF-8, a broken escape, `#`, a control
/// character, a space or a byte from 0x80.
pub(crate) fn canonical_path(
    path: &[u8],
    merge_slashes: bool,
    out: &mut Vec<u8>,
) -> Result<(), Reject> {
    let [b'/', rest @ ..] = path else {
        return Err(Reject::request("a path that does not begin with /"));
    };
    // Without escapes, only a segment that is empty or begins with `.` or `;` can be changed or refused.
    let mut is_suspect = false;
    let mut is_plain = true;
    let mut before = Class::Slash;
    for &byte in rest {
        let class = CLASSES[usize::from(byte)];
        is_plain &= matches!(class, Class::Plain | Class::Slash | Class::Start);
        is_suspect |= before == Class::Slash && matches!(class, Class::Start | Class::Slash);
        before = class;
    }
    if is_plain && !is_suspect {
        out.extend_from_slice(path);
        return Ok(());
    }
    rewrite(rest, merge_slashes, out)
}

/// `rest` is the path without its first slash.
#[cold]
fn rewrite(rest: &[u8], merge_slashes: bool, out: &mut Vec<u8>) -> Result<(), Reject> {
    out.push(b'/');
    let mut segment = out.len();
    let mut escaped = 0;
    let mut bytes = rest.iter();
    while let Some(&byte) = bytes.next() {
        let before = std::mem::take(&mut escaped);
        match CLASSES[usize::from(byte)] {
            Class::Plain | Class::Start => out.push(byte),
            Class::Escape => push_escape(byte, out),
            Class::Percent => {
                let digits = digit(bytes.next()).zip(digit(bytes.next()));
                let (high, low) = digits.ok_or(Reject::request("a broken escape in the path"))?;
                escaped = high << 4 | low;
                push_decoded(escaped, before, out)?;
            }
            Class::Slash => {
                let is_merged = merge_slashes && out.len() == segment;
                let is_gone = end_segment(segment, false, out)?;
                if !(is_gone || is_merged) {
                    out.push(b'/');
                    segment = out.len();
                }
            }
            Class::Refuse => {
                return Err(Reject::request(
                    "a character in the path that must not stand there",
                ));
            }
        }
    }
    end_segment(segment, true, out).map(drop)
}

/// Appends an escaped `byte`, bare if it is unreserved. `before` is the escaped byte right before.
fn push_decoded(byte: u8, before: u8, out: &mut Vec<u8>) -> Result<(), Reject> {
    match (before, byte) {
        (_, 0) => Err(Reject::request("an escaped NUL in the path")),
        (_, b'\\') => Err(Reject::request("an escaped backslash in the path")),
        // UTF-8 longer than need be: a careless decoder reads `/`, `.` or NUL (RFC 3629 §10).
        (0xc0 | 0xc1, 0x80..=0xbf) | (0xe0, 0x80..=0x9f) | (0xf0, 0x80..=0x8f) => {
            Err(Reject::request("overlong UTF-8 in the path"))
        }
        (_, byte) if is_unreserved(byte) => {
            out.push(byte);
            Ok(())
        }
        (_, byte) => {
            push_escape(byte, out);
            Ok(())
        }
    }
}

/// Judges the segment that begins at `start` of `out` and runs to its end; takes a `.` out again
/// and says so.
fn end_segment(start: usize, is_last: bool, out: &mut Vec<u8>) -> Result<bool, Reject> {
    let segment = out.get(start..).unwrap_or_default();
    if segment == b"." {
        out.truncate(start);
        return Ok(true);
    }
    // Origin servers of the Tomcat kind cut `;parameters` off before they look at segments. Without
    // a name, `/;x/admin` would be `/admin` to them; at the end (`/;jsessionid=1`) it hides nothing.
    let name = name_of(segment);
    if name == b"." || (name.is_empty() && !segment.is_empty() && !is_last) {
        return Err(Reject::request("a segment of parameters alone in the path"));
    }
    let mut rest = segment;
    loop {
        let end = find(rest, b"%2F");
        let (part, after) = rest
            .split_at_checked(end.unwrap_or(rest.len()))
            .unwrap_or_default();
        if name_of(part) == b".." {
            return Err(Reject::request("a .. segment in the path"));
        }
        match (end, after.get(3..)) {
            (Some(_), Some(after)) => rest = after,
            _ => return Ok(false),
        }
    }
}

/// `part` up to its parameters, whether `;` is escaped or not.
fn name_of(part: &[u8]) -> &[u8] {
    let bare = memchr::memchr(b';', part).unwrap_or(part.len());
    let end = find(part, b"%3B").unwrap_or(part.len()).min(bare);
    part.get(..end).unwrap_or_default()
}

fn find(text: &[u8], escape: &[u8; 3]) -> Option<usize> {
    text.windows(escape.len())
        .position(|window| window == escape)
}

fn push_escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[
        b'%',
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]);
}

fn digit(byte: Option<&u8>) -> Option<u8> {
    char::from(*byte?).to_digit(16).map(|digit| digit as u8)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Judges a query, which is kept as it was sent.
///
/// # Errors
/// `http_request_error` for `#`, a control character, a space or a byte from 0x80.
#[inline]
pub(crate) fn check_query(query: &[u8]) -> Result<(), Reject> {
    let mut bad = false;
    for &byte in query {
        bad |= (byte <= b' ') | (byte >= 0x7f) | (byte == b'#');
    }
    if bad {
        Err(Reject::request(
            "a character in the query that must not stand there",
        ))
    } else {
        Ok(())
    }
}
