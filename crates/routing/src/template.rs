// SPDX-License-Identifier: Apache-2.0
use crate::pattern::{check_form, check_path};
use smallvec::SmallVec;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Segments a template may have: what bounds the depth of the tree it is put into.
const SEGMENT_LIMIT: usize = 128;

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// This text.
    Literal(Arc<str>),
    /// Any one segment that is not empty.
    Parameter,
    /// All that follows the slash, slashes included; may be empty. The last segment only.
    Rest,
}

/// Parameters of a template, as ranges of the path, in the order they are written.
pub type Parameters = SmallVec<[(usize, Range<usize>); 4]>;

/// A path such as `/users/{id}/files/{rest*}`.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    segments: Vec<Segment>,
    names: Vec<String>,
}

impl Template {
    /// Reads a template.
    ///
    /// `{name}` is one whole segment, `{name*}` the rest of the path and only the last segment.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub(crate) fn parse(value: &str) -> Result<Self, String> {
        check_form(value)?;
        if value.contains("//") {
            return Err(format!(
                "`{value}` holds `//`, which requests have merged; write one `/`"
            ));
        }
        let mut segments = Vec::new();
        let mut names = Vec::new();
        for text in value.split('/').skip(1) {
            if segments.last() == Some(&Segment::Rest) {
                return Err(format!(
                    "`{value}` goes on after `{{name*}}`, which takes all that follows; write it last"
                ));
            }
            segments.push(parse_segment(value, text, &mut names)?);
        }
        if names.is_empty() {
            return Err(format!(
                "`{value}` has no parameter; write `{{name}}` as a segment, or match it as `exact`"
            ));
        }
        if segments.len() > SEGMENT_LIMIT {
            return Err(format!(
                "`{value}` has more than {SEGMENT_LIMIT} segments; end it with `{{rest*}}` earlier"
            ));
        }
        Ok(Self { segments, names })
    }

    /// The segments, from the left.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The parameters' names, from the left.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether `path` has this form.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let Some(mut left) = path.strip_prefix('/').map(Some) else {
            return false;
        };
        for segment in &self.segments {
            let Some(rest) = left else { return false };
            let (text, after) = next_segment(rest);
            match segment {
                Segment::Literal(literal) if **literal == *text => {}
                Segment::Parameter if !text.is_empty() => {}
                Segment::Rest => return true,
                Segment::Literal(_) | Segment::Parameter => return false,
            }
            left = after;
        }
        left.is_none()
    }

    /// The values of the parameters in a path that has this form.
    pub(crate) fn parameters(&self, path: &str) -> Parameters {
        let mut found = Parameters::new();
        let mut start = 1;
        for segment in &self.segments {
            let Some(rest) = path.get(start..) else { break };
            let (text, _) = next_segment(rest);
            let end = if *segment == Segment::Rest {
                path.len()
            } else {
                start + text.len()
            };
            if !matches!(segment, Segment::Literal(_)) {
                found.push((found.len(), start..end));
            }
            start = end + 1;
        }
        found
    }
}

impl fmt::Display for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.names.iter();
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(out, "/{text}")?,
                Segment::Parameter => {
                    write!(out, "/{{{}}}", names.next().map_or("", String::as_str))?
                }
                Segment::Rest => write!(out, "/{{{}*}}", names.next().map_or("", String::as_str))?,
            }
        }
        Ok(())
    }
}

/// Splits off the first segment; what follows its slash is `None` when there is no slash.
#[inline]
pub(crate) fn next_segment(path: &str) -> (&str, Option<&str>) {
    match path.split_once('/') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (path, None),
    }
}

fn parse_segment(value: &str, text: &str, names: &mut Vec<String>) -> Result<Segment, String> {
    if !text.contains(['{', '}']) {
        check_path(&format!("/{text}"))?;
        return Ok(Segment::Literal(text.into()));
    }
    let Some(inner) = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
    else {
        return Err(format!(
            "`{text}` in `{value}` mixes text and a parameter; make the parameter a whole segment, or match it as `regex`"
        ));
    };
    let (name, segment) = match inner.strip_suffix('*') {
        Some(name) => (name, Segment::Rest),
        None => (inner, Segment::Parameter),
    };
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !starts_well
        || !name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    {
        return Err(format!(
            "`{text}` in `{value}` has no valid name; write letters, digits and `_`, such as `{{user_id}}`"
        ));
    }
    if names.iter().any(|taken| taken == name) {
        return Err(format!(
            "`{value}` has two parameters named `{name}`; give each a name of its own"
        ));
    }
    names.push(name.into());
    Ok(segment)
}
