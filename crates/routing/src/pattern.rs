// SPDX-License-Identifier: Apache-2.0
use crate::regular::{self, Pattern};
use crate::template::Template;
use std::sync::Arc;
use tidegate_config::{PathKind, PathMatch};
use tidegate_request::{Options, Parts, Request, Scheme, Storage, Version};

/// What a route asks of the path, ready to be put into a table.
#[derive(Clone, Debug)]
pub(crate) enum PathPattern {
    /// The whole path, byte for byte.
    Exact(Arc<str>),
    /// Segments from the left, without a slash at the end; empty takes every path.
    Prefix(Arc<str>),
    /// Segments, some of them parameters.
    Template(Template),
    /// The whole path.
    Regex(Pattern),
}

impl PathPattern {
    /// Reads the pattern of a route.
    ///
    /// A prefix may end in a slash, which says nothing: `/x/` is `/x`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub(crate) fn compile(path: &PathMatch) -> Result<Self, String> {
        let value = path.value.as_str();
        match path.kind {
            PathKind::Exact => {
                check_path(value)?;
                Ok(Self::Exact(value.into()))
            }
            PathKind::Prefix => {
                check_path(value)?;
                Ok(Self::Prefix(
                    value.strip_suffix('/').unwrap_or(value).into(),
                ))
            }
            PathKind::Template => Template::parse(value).map(Self::Template),
            PathKind::Regex => regular::compile(value).map(Self::Regex),
        }
    }

    /// Whether `path` is taken, judged alone and not through a table: for what `explain` says of
    /// routes that the tables never came across.
    pub(crate) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(value) => **value == *path,
            Self::Prefix(value) => path
                .strip_prefix(&**value)
                .is_some_and(|rest| value.is_empty() || rest.is_empty() || rest.starts_with('/')),
            Self::Template(template) => template.matches(path),
            Self::Regex(regex) => regex.is_match(path.as_bytes()),
        }
    }
}

/// Checks that `value` is a path that a canonical request can have: by making such a request, so
/// that patterns and requests cannot be spelled by different rules.
///
/// # Errors
/// What is wrong, with the canonical spelling when there is one.
pub(crate) fn check_path(value: &str) -> Result<(), String> {
    check_form(value)?;
    let escaped: String = value.bytes().map(bare_or_escaped).collect();
    // HTTP/1.0 needs no Host.
    let parts = Parts {
        method: b"GET",
        target: escaped.as_bytes(),
        version: Version::Http10,
        scheme: Scheme::Http,
    };
    match Request::build(Storage::new(), parts, Options::default()) {
        Ok(request) if request.path() == value => Ok(()),
        Ok(request) => Err(format!(
            "`{value}` is not spelled as requests are; write `{}`",
            request.path()
        )),
        Err((reject, _)) => Err(format!(
            "`{value}` is refused in every request ({}); write the path without it",
            reject.detail
        )),
    }
}

/// Checks that `value` is a path at all and not another part of a URL.
///
/// # Errors
/// What is wrong, and what to write instead.
pub(crate) fn check_form(value: &str) -> Result<(), String> {
    if !value.starts_with('/') {
        return Err(format!(
            "`{value}` does not begin with `/`; write `/{}`",
            value.trim_start()
        ));
    }
    if value.contains('?') {
        return Err(format!(
            "`{value}` holds a query; give the path alone and match the query under `query`"
        ));
    }
    if value.contains('#') {
        return Err(format!(
            "`{value}` holds a fragment, which never reaches a server; leave it out"
        ));
    }
    Ok(())
}

/// Escapes what a target cannot hold at all; the rest is for the canonical request to judge.
fn bare_or_escaped(byte: u8) -> String {
    if byte.is_ascii_graphic() {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}
