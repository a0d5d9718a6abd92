// SPDX-License-Identifier: Apache-2.0
use crate::syntax;

/// Names and values of a `Cookie` field (RFC 6265 §5.4), as sent; a pair without `=` has an empty
/// name, as browsers have it.
pub fn cookie_pairs(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    value
        .split(|&byte| byte == b';')
        .map(syntax::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| match split_pair(pair) {
            (name, Some(value)) => (syntax::trim(name), syntax::trim(value)),
            (value, None) => (&[][..], value),
        })
}

/// Names and values of a query, as sent and not decoded; the value is empty without `=`.
pub fn query_pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query
        .split(|&byte| byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = split_pair(pair);
            (name, value.unwrap_or_default())
        })
}

fn split_pair(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'=', pair).and_then(|at| pair.split_at_checked(at)) {
        Some((name, value)) => (name, value.get(1..)),
        None => (pair, None),
    }
}
