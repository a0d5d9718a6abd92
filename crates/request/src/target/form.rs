// SPDX-License-Identifier: Apache-2.0
use crate::{Method, Reject, Scheme};

/// The parts of a request target, not yet judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form<'a> {
    /// `*`: the server as a whole (RFC 9112 §3.2.4), from `OPTIONS *` or `OPTIONS http://host`.
    Asterisk { authority: Option<&'a [u8]> },
    /// Origin-form (§3.2.1), or absolute-form (§3.2.2) with its authority.
    Path {
        authority: Option<&'a [u8]>,
        path: &'a [u8],
        query: Option<&'a [u8]>,
    },
}

impl<'a> Form<'a> {
    /// The authority of an absolute-form.
    pub(crate) fn authority(self) -> Option<&'a [u8]> {
        match self {
            Self::Asterisk { authority } | Self::Path { authority, .. } => authority,
        }
    }
}

/// Splits `target` by its form.
///
/// # Errors
/// `http_request_error`: an empty target, authority-form, another scheme than the connection's,
/// `*` with another method than OPTIONS.
pub(crate) fn split<'a>(
    target: &'a [u8],
    method: Method,
    scheme: Scheme,
) -> Result<Form<'a>, Reject> {
    match target {
        [b'/', ..] => {
            let (path, query) = split_query(target);
            Ok(Form::Path {
                authority: None,
                path,
                query,
            })
        }
        b"*" if method == Method::Options => Ok(Form::Asterisk { authority: None }),
        b"*" => Err(Reject::request("* is a target for OPTIONS only")),
        _ => absolute(target, method, scheme),
    }
}

/// Splits the target of a request to a forward proxy: `host:port` for CONNECT, else a URL of `http`. The
/// scheme is that of the target from here on.
///
/// # Errors
/// `http_request_error`: another scheme, or no port.
pub(crate) fn of_proxy<'a>(
    target: &'a [u8],
    method: Method,
    scheme: &mut Scheme,
) -> Result<Form<'a>, Reject> {
    *scheme = Scheme::Http;
    if method != Method::Connect {
        return absolute(target, method, Scheme::Http);
    }
    // The port that a URL of `http` would imply has to be written as well.
    let colon = memchr::memrchr(b':', target).ok_or(Reject::request("CONNECT without a port"))?;
    if target.len() == colon + 1 || target.ends_with(b"]") {
        return Err(Reject::request("CONNECT without a port"));
    }
    Ok(Form::Path {
        authority: Some(target),
        path: b"/",
        query: None,
    })
}

fn absolute(target: &[u8], method: Method, scheme: Scheme) -> Result<Form<'_>, Reject> {
    // `https://` on a connection without TLS would make two parts disagree on whether it is secure.
    let name = scheme.name().as_bytes();
    let rest = match target.split_at_checked(name.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(name) => rest,
        _ => {
            return Err(Reject::request(
                "a target that is neither a path nor a URL of this scheme",
            ));
        }
    };
    let rest = rest.strip_prefix(b"://").ok_or(Reject::request(
        "a target that is neither a path nor a URL of this scheme",
    ))?;
    let end = rest
        .iter()
        .position(|&byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end).unwrap_or_default();
    let authority = Some(authority);
    if rest.is_empty() && method == Method::Options {
        return Ok(Form::Asterisk { authority });
    }
    let (path, query) = split_query(rest);
    // An empty path means `/` (RFC 9110 §4.2.3).
    Ok(Form::Path {
        authority,
        path: if path.is_empty() { b"/" } else { path },
        query,
    })
}

#[inline]
fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target).and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (target, None),
    }
}
