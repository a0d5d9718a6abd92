// SPDX-License-Identifier: Apache-2.0
use regex::bytes::{Regex, RegexBuilder};

/// Bytes one compiled expression may take; its cache while matching may take as much again.
const SIZE_LIMIT: usize = 256 * 1024;

/// Bytes an expression may be long.
const LENGTH_LIMIT: usize = 4096;

/// An expression that must match the whole of a value.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    source: Box<str>,
    regex: Regex,
}

impl Pattern {
    /// Whether all of `value` is matched.
    #[inline]
    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        self.regex.is_match(value)
    }

    /// The expression as the operator wrote it.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }
}

/// Compiles an expression that must match the whole of a value.
///
/// It works on bytes and `\w`, `\d`, `(?i)` know ASCII only: paths are ASCII, and a field's value
/// need not be UTF-8.
///
/// # Errors
/// What is wrong and what to write instead, in one line.
pub(crate) fn compile(pattern: &str) -> Result<Pattern, String> {
    if pattern.is_empty() {
        return Err(
            "the regular expression is empty; write what the whole value must look like".into(),
        );
    }
    if pattern.len() > LENGTH_LIMIT {
        return Err(format!(
            "the regular expression is {} bytes long and {LENGTH_LIMIT} are allowed; split it into several routes",
            pattern.len()
        ));
    }
    // Alone first: `a)(b` would only become valid by what is put around it.
    build(pattern)?;
    let regex = build(&format!(r"\A(?:{pattern})\z"))
        .map_err(|_| format!("`{pattern}` ends in a comment; write it without comments"))?;
    Ok(Pattern {
        source: pattern.into(),
        regex,
    })
}

fn build(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(SIZE_LIMIT)
        .build()
        .map_err(|error| describe(pattern, &error))
}

/// The crate draws its messages over several lines; the last one says what is wrong.
fn describe(pattern: &str, error: &regex::Error) -> String {
    let regex::Error::Syntax(text) = error else {
        return format!(
            "`{pattern}` takes more than {} KiB when compiled; write smaller repetitions such as `{{1,20}}`",
            SIZE_LIMIT / 1024
        );
    };
    let reason = text
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix("error: "))
        .unwrap_or("it cannot be read");
    let instead = if reason.contains("look-around") || reason.contains("backreference") {
        "write it without look-around and backreferences, which can take exponential time"
    } else if reason.contains("Unicode") {
        "write ASCII classes such as `[A-Za-z0-9]`"
    } else {
        "write a valid one, with `\\` before a sign that stands for itself"
    };
    format!("`{pattern}` is no regular expression: {reason}; {instead}")
}
