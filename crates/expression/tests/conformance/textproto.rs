// SPDX-License-Identifier: Apache-2.0
//! The text form of protocol buffers, as far as the cases have it.

/// What stands behind a name.
#[derive(Clone, Debug)]
pub enum Part {
    /// A number or a word.
    Word(String),
    Text(Vec<u8>),
    Message(Message),
}

/// Names and what stands behind them, in order.
#[derive(Clone, Debug, Default)]
pub struct Message(pub Vec<(String, Part)>);

impl Message {
    /// All messages under a name.
    pub fn messages<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Message> {
        self.0.iter().filter_map(move |(own, part)| match part {
            Part::Message(message) if own == name => Some(message),
            _ => None,
        })
    }

    /// The message under a name.
    pub fn message(&self, name: &str) -> Option<&Message> {
        self.0.iter().find_map(|(own, part)| match part {
            Part::Message(message) if own == name => Some(message),
            _ => None,
        })
    }

    /// The text or word under a name.
    pub fn text(&self, name: &str) -> Option<String> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .and_then(|(_, part)| match part {
                Part::Word(word) => Some(word.clone()),
                Part::Text(bytes) => String::from_utf8(bytes.clone()).ok(),
                Part::Message(_) => None,
            })
    }
}

/// Reads a whole file.
pub fn parse(text: &str) -> Message {
    let mut reader = Reader {
        rest: text.as_bytes(),
    };
    reader.message()
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn blank(&mut self) {
        loop {
            let skip = self
                .rest
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count();
            self.rest = &self.rest[skip..];
            if self.rest.first() != Some(&b'#') {
                return;
            }
            let end = self
                .rest
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(self.rest.len());
            self.rest = &self.rest[end..];
        }
    }

    fn sign(&mut self, sign: u8) -> bool {
        self.blank();
        let is_next = self.rest.first() == Some(&sign);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    fn word(&mut self) -> String {
        self.blank();
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.+-[]/".contains(byte);
        let end = self.rest.iter().take_while(|byte| is_word(byte)).count();
        assert!(
            end > 0,
            "{:?}",
            String::from_utf8_lossy(&self.rest[..self.rest.len().min(80)])
        );
        let word = String::from_utf8(self.rest[..end].to_vec()).unwrap();
        self.rest = &self.rest[end..];
        word
    }

    fn message(&mut self) -> Message {
        let mut parts = Vec::new();
        loop {
            self.blank();
            if self.rest.is_empty() || self.sign(b'}') {
                return Message(parts);
            }
            let name = self.word();
            self.sign(b':');
            if self.sign(b'[') {
                while !self.sign(b']') {
                    parts.push((name.clone(), self.part()));
                    self.sign(b',');
                }
            } else {
                parts.push((name, self.part()));
            }
            let _ = self.sign(b',') || self.sign(b';');
        }
    }

    fn part(&mut self) -> Part {
        if self.sign(b'{') {
            return Part::Message(self.message());
        }
        self.blank();
        if !matches!(self.rest.first(), Some(b'"' | b'\'')) {
            return Part::Word(self.word());
        }
        let mut bytes = Vec::new();
        while let Some(quote @ (b'"' | b'\'')) = self.rest.first().copied() {
            self.rest = &self.rest[1..];
            while self.rest[0] != quote {
                self.byte(&mut bytes);
            }
            self.rest = &self.rest[1..];
            self.blank();
        }
        Part::Text(bytes)
    }

    fn byte(&mut self, out: &mut Vec<u8>) {
        let byte = self.rest[0];
        self.rest = &self.rest[1..];
        if byte != b'\\' {
            out.push(byte);
            return;
        }
        let kind = self.rest[0];
        if (b'0'..=b'7').contains(&kind) {
            out.push(self.code(3, 8) as u8);
            return;
        }
        self.rest = &self.rest[1..];
        match kind {
            b'x' | b'X' => out.push(self.code(2, 16) as u8),
            b'u' | b'U' => {
                let code = self.code(if kind == b'u' { 4 } else { 8 }, 16);
                let character = char::from_u32(code).unwrap();
                out.extend_from_slice(character.to_string().as_bytes());
            }
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            other => out.push(other),
        }
    }

    fn code(&mut self, most: usize, radix: u32) -> u32 {
        let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
        let count = self
            .rest
            .iter()
            .take(most)
            .take_while(|byte| is_digit(byte))
            .count();
        let digits = std::str::from_utf8(&self.rest[..count]).unwrap();
        let code = u32::from_str_radix(digits, radix).unwrap();
        self.rest = &self.rest[count..];
        code
    }
}
