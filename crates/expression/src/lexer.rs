// SPDX-License-Identifier: Apache-2.0
//! Words, numbers, texts and signs of an expression.
use crate::expression::Mistake;
use crate::literals;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Name(String),
    /// A name in backticks, of what is no word.
    Field(String),
    Int(u64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Sign(&'static str),
    End,
}

/// The longest first, so that none is taken for the beginning of another.
const SIGNS: [&str; 25] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}", "=",
];

/// Reads all of an expression: tokens, and where each begins.
///
/// # Errors
/// What begins no token, or does not end.
pub(crate) fn read(text: &str) -> Result<Vec<(Token, usize)>, Mistake> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        at += blank(text.get(at..).unwrap_or_default());
        let rest = text.get(at..).unwrap_or_default();
        let Some(first) = rest.chars().next() else {
            tokens.push((Token::End, at));
            return Ok(tokens);
        };
        let (token, taken) = match first {
            _ if literals::begins_text(rest) => literals::text(rest, at)?,
            'A'..='Z' | 'a'..='z' | '_' => {
                let end = rest.find(|own: char| !own.is_ascii_alphanumeric() && own != '_');
                let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                (Token::Name(word.to_owned()), word.len())
            }
            '0'..='9' => literals::number(rest, at)?,
            '.' if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => {
                literals::number(rest, at)?
            }
            '`' => match rest.get(1..).and_then(|after| after.split_once('`')) {
                Some((name, _)) => (Token::Field(name.to_owned()), name.len() + 2),
                None => return Err(Mistake::new(at, "this name has no end; close it with `")),
            },
            '=' if !rest.starts_with("==") => {
                return Err(Mistake::new(
                    at,
                    "`=` is no operator; write `==` to compare",
                ));
            }
            '&' | '|' if !rest.starts_with("&&") && !rest.starts_with("||") => {
                let message = format!("`{first}` is no operator; write `{first}{first}`");
                return Err(Mistake::new(at, message));
            }
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => {
                    let message = format!("`{}` has no meaning here", first.escape_debug());
                    return Err(Mistake::new(at, message));
                }
            },
        };
        tokens.push((token, at));
        at += taken;
    }
}

/// How much of the beginning is white space and comments.
fn blank(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(['\t', '\n', '\u{c}', '\r', ' ']);
        match rest.strip_prefix("//") {
            Some(comment) => {
                rest = comment
                    .find('\n')
                    .and_then(|end| comment.get(end..))
                    .unwrap_or_default();
            }
            None => return text.len() - rest.len(),
        }
    }
}
