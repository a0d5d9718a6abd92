// SPDX-License-Identifier: Apache-2.0
use crate::expression::Mistake;
use crate::lexer::Token;

/// Words that CEL keeps for itself.
pub(crate) const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// What operators are called elsewhere.
pub(crate) const WORDS: [(&str, &str); 3] = [("and", "&&"), ("or", "||"), ("not", "!")];

pub(crate) fn no_operator(word: &str, at: usize) -> Mistake {
    let sign = WORDS
        .iter()
        .find(|(own, _)| *own == word)
        .map_or("", |(_, sign)| sign);
    Mistake::new(at, format!("`{word}` is no operator; write `{sign}`"))
}

/// A token, as messages name it.
pub(crate) fn told(token: &Token) -> String {
    match token {
        Token::Name(name) | Token::Field(name) => format!("`{name}`"),
        Token::Sign(sign) => format!("`{sign}`"),
        Token::End => "the end".into(),
        Token::Int(_) | Token::Uint(_) | Token::Double(_) => "a number".into(),
        Token::Text(_) | Token::Bytes(_) => "a text".into(),
    }
}
