// SPDX-License-Identifier: Apache-2.0
//! Questions to a DNS server and its answers (RFC 1035 §4), as far as addresses go.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    A = 1,
    Aaaa = 28,
}

const CNAME: u16 = 5;
const INTERNET: u16 = 1;
/// Pointers that one name may go through.
const JUMPS: usize = 32;
/// Addresses taken of one answer.
const ADDRESSES: usize = 32;

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Addresses, perhaps none, and the seconds for which they hold.
    Found(Vec<IpAddr>, u32),
    /// There is no such name.
    NoName,
    /// It did not fit: TCP has all of it.
    Cut,
    /// It can not say.
    Failed,
}

/// The question for `name`; `None` for what is no name (RFC 1035 §2.3.4).
pub(crate) fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len() + 18);
    for word in [id, 0x0100, 1, 0, 0, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return None;
        }
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    for word in [kind as u16, INTERNET] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    (out.len() <= 12 + 255 + 4).then_some(out)
}

/// The answer in `bytes` to `asked`, which [`question`] made; `None` for what is not an answer to it.
pub(crate) fn answer(bytes: &[u8], asked: &[u8], name: &str, kind: Kind) -> Option<Answer> {
    let (head, question) = asked.split_at_checked(12)?;
    let flags = word(bytes, 2)?;
    let is_one =
        bytes.get(..2) == head.get(..2) && flags & 0x8000 != 0 && word(bytes, 4) == Some(1);
    let echoed = bytes.get(12..12 + question.len())?;
    if !is_one || !echoed.eq_ignore_ascii_case(question) {
        return None;
    }
    match flags & 15 {
        0 => {}
        3 => return Some(Answer::NoName),
        _ => return Some(Answer::Failed),
    }
    if flags & 0x0200 != 0 {
        return Some(Answer::Cut);
    }
    records(bytes, 12 + question.len(), name, kind).or(Some(Answer::Failed))
}

fn records(bytes: &[u8], start: usize, name: &str, kind: Kind) -> Option<Answer> {
    let mut wanted = name.to_ascii_lowercase();
    let (mut at, mut found, mut ttl) = (start, Vec::new(), u32::MAX);
    for _ in 0..word(bytes, 6)? {
        let (owner, next) = read_name(bytes, at)?;
        let (kind_of, class) = (word(bytes, next)?, word(bytes, next + 2)?);
        let lives = u32::from(word(bytes, next + 4)?) << 16 | u32::from(word(bytes, next + 6)?);
        let length = usize::from(word(bytes, next + 8)?);
        let data = bytes.get(next + 10..next + 10 + length)?;
        at = next + 10 + length;
        if owner != wanted || class != INTERNET {
            continue;
        }
        if kind_of == CNAME {
            wanted = read_name(bytes, next + 10)?.0;
        } else if kind_of == kind as u16 && found.len() < ADDRESSES {
            found.push(match kind {
                Kind::A => Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into(),
                Kind::Aaaa => Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into(),
            });
        } else {
            continue;
        }
        ttl = ttl.min(lives);
    }
    Some(Answer::Found(found, ttl))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

/// A name in lower case, and where what follows it begins.
fn read_name(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut after, mut jumps) = (start, None, 0);
    let mut name = String::new();
    loop {
        let length = usize::from(*bytes.get(at)?);
        match length >> 6 {
            0 if length == 0 => return Some((name, after.unwrap_or(at + 1))),
            0 => {
                if !name.is_empty() {
                    name.push('.');
                }
                let label = bytes.get(at + 1..at + 1 + length)?;
                name.extend(
                    label
                        .iter()
                        .map(|byte| char::from(byte.to_ascii_lowercase())),
                );
                at += 1 + length;
            }
            3 => {
                jumps += 1;
                after = after.or(Some(at + 2));
                at = usize::from(word(bytes, at)? & 0x3fff);
            }
            _ => return None,
        }
        if jumps > JUMPS || name.len() > 512 {
            return None;
        }
    }
}
