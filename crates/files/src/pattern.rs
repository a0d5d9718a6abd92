// SPDX-License-Identifier: Apache-2.0
//! Patterns over names: which files a cache rule is for.

/// Whether `pattern` takes the file `name`, given below the root without a leading `/`.
///
/// `*` stands for any bytes but `/`, `**` for any at all, everything else for itself. A pattern that
/// begins with `/` is compared with the whole name, any other with what follows the last `/`.
pub fn takes(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_prefix('/') {
        Some(whole) => glob(whole.as_bytes(), name),
        None => {
            let last = name.iter().rposition(|byte| *byte == b'/');
            let from = last.map_or(0, |at| at + 1);
            glob(pattern.as_bytes(), name.get(from..).unwrap_or_default())
        }
    }
}

/// Linear in the name for each star: the last star alone is ever tried again, and the last `**`.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where to go on, in pattern and name, when what follows a star does not fit.
    let mut narrow: Option<(usize, usize)> = None;
    let mut wide: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(at), name.get(from)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                if pattern.get(at + 1) == Some(&b'*') {
                    at += 2;
                    (wide, narrow) = (Some((at, from)), None);
                } else {
                    at += 1;
                    narrow = Some((at, from));
                }
                continue;
            }
            (Some(wanted), Some(found)) if wanted == found => {
                at += 1;
                from += 1;
                continue;
            }
            _ => {}
        }
        match (narrow, wide) {
            (Some((back, start)), _) if name.get(start).is_some_and(|byte| *byte != b'/') => {
                narrow = Some((back, start + 1));
                (at, from) = (back, start + 1);
            }
            (_, Some((back, start))) if start < name.len() => {
                (wide, narrow) = (Some((back, start + 1)), None);
                (at, from) = (back, start + 1);
            }
            _ => return false,
        }
    }
}
