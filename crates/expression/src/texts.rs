// SPDX-License-Identifier: Apache-2.0
//! Functions of text. Places are counted in characters.
use crate::evaluate::{Outcome, Why, wrong};
use crate::value::Value;
use std::borrow::Cow;

fn whole<'a>(number: usize) -> Value<'a> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(crate) fn size<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(own)] => Ok(whole(own.chars().count())),
        [Value::Bytes(own)] => Ok(whole(own.len())),
        [own] => match own.list_len().or_else(|| own.map_len()) {
            Some(len) => Ok(whole(len)),
            None => wrong(),
        },
        _ => wrong(),
    }
}

pub(crate) fn starts_with<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(own), Value::Text(start)] => Ok(Value::Bool(own.starts_with(&**start))),
        _ => wrong(),
    }
}

pub(crate) fn ends_with<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(own), Value::Text(end)] => Ok(Value::Bool(own.ends_with(&**end))),
        _ => wrong(),
    }
}

pub(crate) fn contains<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(own), Value::Text(part)] => Ok(Value::Bool(own.contains(&**part))),
        _ => wrong(),
    }
}

/// Where the character of a number begins; the end counts as one.
fn place(text: &str, index: i64) -> Result<usize, Why> {
    let index = usize::try_from(index).map_err(|_| Why::Overflow)?;
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.nth(index).ok_or(Why::Overflow)
}

pub(crate) fn char_at<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(own), Value::Int(index)] => {
            let rest = own.get(place(own, *index)?..).unwrap_or_default();
            let end = rest.chars().next().map_or(0, char::len_utf8);
            Ok(Value::owned(rest.get(..end).unwrap_or_default().into()))
        }
        _ => wrong(),
    }
}

pub(crate) fn index_of<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let (own, part, from) = match values {
        [Value::Text(own), Value::Text(part)] => (own, part, 0),
        [Value::Text(own), Value::Text(part), Value::Int(from)] => (own, part, *from),
        _ => return wrong(),
    };
    let from = place(own, from)?;
    let found = own.get(from..).and_then(|rest| rest.find(&**part));
    let before = found.and_then(|at| own.get(..from + at));
    Ok(before.map_or(Value::Int(-1), |before| whole(before.chars().count())))
}

pub(crate) fn last_index_of<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let (own, part, to) = match values {
        [Value::Text(own), Value::Text(part)] => (own, part, own.len()),
        [Value::Text(own), Value::Text(part), Value::Int(from)] => {
            // What begins there counts as well, and ends behind it.
            let end = place(own, *from)?.saturating_add(part.len());
            let mut ends = (0..=end.min(own.len())).rev();
            let to = ends.find(|end| own.is_char_boundary(*end));
            let to = to.unwrap_or_default();
            (own, part, to)
        }
        _ => return wrong(),
    };
    let found = own.get(..to).and_then(|rest| rest.rfind(&**part));
    let before = found.and_then(|at| own.get(..at));
    Ok(before.map_or(Value::Int(-1), |before| whole(before.chars().count())))
}

fn changed<'a>(text: &Cow<'a, str>, change: impl Fn(&str) -> String) -> Outcome<'a> {
    Ok(Value::owned(change(text)))
}

pub(crate) fn lower<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        // Mostly there is nothing to change.
        [Value::Text(own)] if !own.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Ok(Value::Text(own.clone()))
        }
        [Value::Text(own)] => changed(own, str::to_ascii_lowercase),
        _ => wrong(),
    }
}

pub(crate) fn upper<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(own)] => changed(own, str::to_ascii_uppercase),
        _ => wrong(),
    }
}

pub(crate) fn reverse<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(own)] => changed(own, |own| own.chars().rev().collect()),
        _ => wrong(),
    }
}

pub(crate) fn trim<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Text(Cow::Borrowed(own))] => Ok(Value::text(own.trim())),
        [Value::Text(own)] => changed(own, |own| own.trim().to_owned()),
        _ => wrong(),
    }
}

/// At most so many; all where the number is negative.
fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(crate) fn replace<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let (own, part, with, most) = match values {
        [Value::Text(own), Value::Text(part), Value::Text(with)] => (own, part, with, usize::MAX),
        [
            Value::Text(own),
            Value::Text(part),
            Value::Text(with),
            Value::Int(most),
        ] => (own, part, with, count(*most)),
        _ => return wrong(),
    };
    // So long that no evaluation could look at it.
    if own
        .len()
        .saturating_add(1)
        .saturating_mul(with.len().max(1))
        > 1 << 20
    {
        return Err(Why::TooMuch);
    }
    changed(own, |own| own.replacen(&**part, with, most))
}

pub(crate) fn split<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let (own, by, most) = match values {
        [Value::Text(own), Value::Text(by)] => (own, by, usize::MAX),
        [Value::Text(own), Value::Text(by), Value::Int(most)] => (own, by, count(*most)),
        _ => return wrong(),
    };
    let parts: Vec<Value<'a>> = match by.is_empty() {
        true => {
            let mut parts: Vec<String> = own.chars().map(String::from).collect();
            if parts.len() > most {
                let rest: String = parts.drain(most.saturating_sub(1)..).collect();
                parts.push(rest);
            }
            parts.truncate(most);
            parts.into_iter().map(Value::owned).collect()
        }
        false => own
            .splitn(most, &**by)
            .map(|part| Value::owned(part.into()))
            .collect(),
    };
    Ok(Value::List(parts.into()))
}

pub(crate) fn substring<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let (own, from, to) = match values {
        [Value::Text(own), Value::Int(from)] => (own, place(own, *from)?, own.len()),
        [Value::Text(own), Value::Int(from), Value::Int(to)] => {
            (own, place(own, *from)?, place(own, *to)?)
        }
        _ => return wrong(),
    };
    let part = own.get(from..to).ok_or(Why::Overflow)?;
    Ok(Value::owned(part.to_owned()))
}

pub(crate) fn join<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let (own, between) = match values {
        [own] => (own, ""),
        [own, Value::Text(between)] => (own, &**between),
        _ => return wrong(),
    };
    let Some(len) = own.list_len() else {
        return wrong();
    };
    let mut all = String::new();
    for at in 0..len {
        match own.element(at) {
            Some(Value::Text(part)) => {
                if at > 0 {
                    all.push_str(between);
                }
                all.push_str(&part);
            }
            _ => return wrong(),
        }
    }
    Ok(Value::owned(all))
}
