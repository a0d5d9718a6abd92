// SPDX-License-Identifier: Apache-2.0
//! Numbers, texts and bytes as they are written.
use crate::expression::Mistake;
use crate::lexer::Token;

/// A number, and how many bytes it takes.
pub(crate) fn number(rest: &str, at: usize) -> Result<(Token, usize), Mistake> {
    if let Some(digits) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        let end = digits
            .find(|own: char| !own.is_ascii_hexdigit())
            .unwrap_or(digits.len());
        let number = u64::from_str_radix(digits.get(..end).unwrap_or_default(), 16)
            .map_err(|_| Mistake::new(at, "is no number of 64 bits"))?;
        return ended(rest, end + 2, at, number);
    }
    let digits = |from: usize| {
        let rest = rest.as_bytes().get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let byte = |at: usize| rest.as_bytes().get(at).copied().unwrap_or_default();
    let mut end = digits(0);
    let mut is_double = false;
    if byte(end) == b'.' && byte(end + 1).is_ascii_digit() {
        is_double = true;
        end += 1 + digits(end + 1);
    }
    if matches!(byte(end), b'e' | b'E') {
        let sign = usize::from(matches!(byte(end + 1), b'+' | b'-'));
        let exponent = digits(end + 1 + sign);
        if exponent == 0 {
            return Err(Mistake::new(
                at,
                "the exponent of this number has no digits",
            ));
        }
        is_double = true;
        end += 1 + sign + exponent;
    }
    let text = rest.get(..end).unwrap_or_default();
    if is_double {
        let number = text.parse().map_err(|_| Mistake::new(at, "is no number"))?;
        return no_word(rest, end, at).map(|()| (Token::Double(number), end));
    }
    let number = text
        .parse()
        .map_err(|_| Mistake::new(at, "is no number of 64 bits"))?;
    ended(rest, end, at, number)
}

fn ended(rest: &str, end: usize, at: usize, number: u64) -> Result<(Token, usize), Mistake> {
    match rest.as_bytes().get(end) {
        Some(b'u' | b'U') => no_word(rest, end + 1, at).map(|()| (Token::Uint(number), end + 1)),
        _ => no_word(rest, end, at).map(|()| (Token::Int(number), end)),
    }
}

fn no_word(rest: &str, end: usize, at: usize) -> Result<(), Mistake> {
    let next = rest.as_bytes().get(end).copied().unwrap_or_default();
    match next.is_ascii_alphanumeric() || next == b'_' {
        true => Err(Mistake::new(
            at,
            "a number ends where a name begins; put text in quotes",
        )),
        false => Ok(()),
    }
}

/// Whether a text or bytes begin here.
pub(crate) fn begins_text(rest: &str) -> bool {
    let start = rest.trim_start_matches(['r', 'R', 'b', 'B']);
    rest.len() - start.len() <= 2 && start.starts_with(['"', '\''])
}

/// A text or bytes, and how many bytes of the expression they take.
pub(crate) fn text(rest: &str, at: usize) -> Result<(Token, usize), Mistake> {
    let start = rest.trim_start_matches(['r', 'R', 'b', 'B']);
    let prefix = rest.get(..rest.len() - start.len()).unwrap_or_default();
    let is_raw = prefix.contains(['r', 'R']);
    let is_bytes = prefix.contains(['b', 'B']);
    let quotes = ["\"\"\"", "'''", "\"", "'"];
    let quote = quotes
        .iter()
        .find(|quote| start.starts_with(**quote))
        .copied()
        .unwrap_or("\"");
    let mut reader = Reader {
        rest: start.get(quote.len()..).unwrap_or_default(),
        out: Vec::new(),
        is_bytes,
        at,
    };
    loop {
        if let Some(after) = reader.rest.strip_prefix(quote) {
            let taken = rest.len() - after.len();
            let bytes = reader.out;
            return match is_bytes {
                true => Ok((Token::Bytes(bytes), taken)),
                false => match String::from_utf8(bytes) {
                    Ok(text) => Ok((Token::Text(text), taken)),
                    Err(_) => Err(Mistake::new(at, "this text is no UTF-8")),
                },
            };
        }
        match reader.rest.chars().next() {
            None => {
                return Err(Mistake::new(
                    at,
                    format!("this text has no end; close it with {quote}"),
                ));
            }
            Some('\n' | '\r') if quote.len() == 1 => {
                return Err(Mistake::new(
                    at,
                    format!("this text has no end in its line; close it with {quote}"),
                ));
            }
            Some('\\') if !is_raw => reader.escape()?,
            Some(character) => reader.push(character),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    out: Vec<u8>,
    is_bytes: bool,
    at: usize,
}

impl Reader<'_> {
    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn push(&mut self, character: char) {
        self.skip(character.len_utf8());
        self.put(character);
    }

    fn put(&mut self, character: char) {
        self.out
            .extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn wrong(&self, what: &str) -> Mistake {
        Mistake::new(
            self.at,
            format!("{what} in this text; write `\\\\` for a backslash"),
        )
    }

    fn escape(&mut self) -> Result<(), Mistake> {
        self.skip(1);
        let Some(kind) = self.rest.chars().next() else {
            return Err(self.wrong("a backslash stands alone"));
        };
        self.skip(kind.len_utf8());
        let byte = match kind {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '?' | '"' | '\'' | '`' => kind as u8,
            'x' | 'X' => return self.code(0, 2, 16),
            'u' if !self.is_bytes => return self.code(0, 4, 16),
            'U' if !self.is_bytes => return self.code(0, 8, 16),
            '0'..='3' => return self.code(kind as u32 - '0' as u32, 2, 8),
            _ => return Err(self.wrong(&format!("`\\{}` has no meaning", kind.escape_debug()))),
        };
        self.out.push(byte);
        Ok(())
    }

    /// A code that goes on with so many digits.
    fn code(&mut self, begun: u32, digits: usize, radix: u32) -> Result<(), Mistake> {
        let found = self
            .rest
            .get(..digits)
            .filter(|own| own.chars().all(|own| own.is_digit(radix)));
        let Some(own) = found else {
            return Err(self.wrong("a code has too few digits"));
        };
        let code = u32::from_str_radix(own, radix).unwrap_or(u32::MAX);
        let code = (begun << 6).saturating_add(code); // two more digits of three bits each
        self.skip(digits);
        match (self.is_bytes, u8::try_from(code), char::from_u32(code)) {
            (true, Ok(byte), _) => self.out.push(byte),
            (false, _, Some(character)) => self.put(character),
            _ => return Err(self.wrong("a code is no character")),
        }
        Ok(())
    }
}
