// SPDX-License-Identifier: Apache-2.0
//! From a path below a route to a name below a folder.

/// The longest name of one file or folder that Linux takes, in bytes.
const LONGEST: usize = 255;

/// What stands for a resource below `/.well-known/` (RFC 8615) and is never hidden.
const WELL_KNOWN: &[u8] = b".well-known";

/// A file's or folder's name below a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Decoded segments with `/` between them: none is empty, `.` or `..`, none holds a NUL, another
    /// control character or `/`. Empty for the root itself.
    pub path: Vec<u8>,
    /// Whether the request path ended with `/`.
    pub is_folder: bool,
}

/// Reads `rest`, what is left of a canonical path (`/a/b%20c`) behind what its route matched.
///
/// # Errors
/// Why nothing can have this name, for the log: an empty segment, `.` or `..`, a `/`, `\` or control
/// character that was escaped, a broken escape, a segment of more than 255 bytes, or, unless
/// `shows_hidden`, one that begins with a dot and is not `.well-known`.
pub fn judge(rest: &str, shows_hidden: bool) -> Result<Name, &'static str> {
    let trimmed = rest.strip_prefix('/').unwrap_or(rest);
    let is_folder = rest.ends_with('/');
    let inner = match trimmed.strip_suffix('/') {
        Some(inner) => inner,
        None => trimmed,
    };
    let mut path = Vec::with_capacity(inner.len());
    if !inner.is_empty() || trimmed == "/" {
        for segment in inner.split('/') {
            if !path.is_empty() {
                path.push(b'/');
            }
            let start = path.len();
            decode(segment.as_bytes(), &mut path)?;
            judge_segment(path.get(start..).unwrap_or_default(), shows_hidden)?;
        }
    }
    Ok(Name { path, is_folder })
}

fn judge_segment(segment: &[u8], shows_hidden: bool) -> Result<(), &'static str> {
    match segment {
        b"" => Err("an empty segment"),
        b"." | b".." => Err("a dot segment"),
        [b'.', ..] if !shows_hidden && segment != WELL_KNOWN => Err("a hidden name"),
        _ if segment.len() > LONGEST => Err("a name that is too long"),
        _ => Ok(()),
    }
}

fn decode(segment: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut bytes = segment.iter();
    while let Some(&byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let digits = digit(bytes.next()).zip(digit(bytes.next()));
                let (high, low) = digits.ok_or("a broken escape")?;
                high << 4 | low
            }
            byte => byte,
        };
        if matches!(byte, b'/' | b'\\' | 0..=0x1f | 0x7f) {
            return Err("a character that no name here has");
        }
        out.push(byte);
    }
    Ok(())
}

fn digit(byte: Option<&u8>) -> Option<u8> {
    char::from(*byte?).to_digit(16).map(|digit| digit as u8)
}

/// Appends `name` as one segment of a path: all but unreserved characters escaped (RFC 3986 §2.3).
pub fn encode_segment(name: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in name {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}
