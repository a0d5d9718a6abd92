// SPDX-License-Identifier: Apache-2.0
//! The grammar (CEL language definition, "Syntax"), by recursive descent.
use crate::code::{Kind, Node, Operator};
use crate::expression::Mistake;
use crate::lexer::{self, Token};
use crate::value::Value;
use crate::words::{RESERVED, WORDS, no_operator, told};

/// Bytes that an expression may have.
pub(crate) const LONGEST: usize = 16 << 10;
/// How deep brackets and conditions may stand in each other.
const DEEPEST: usize = 64;
/// How many nodes may stand in each other: those of `a + b + c` do.
const MOST_DEEP: usize = 250;
/// How many steps one expression may have.
const MOST: usize = 4_096;

/// Reads an expression.
///
/// # Errors
/// It is none, or is too long or too deep.
pub(crate) fn parse(text: &str) -> Result<Node, Mistake> {
    if text.len() > LONGEST {
        return Err(Mistake::new(
            0,
            format!("an expression has at most {LONGEST} bytes"),
        ));
    }
    let mut parser = Parser {
        tokens: lexer::read(text)?,
        next: 0,
        depth: 0,
        count: 0,
    };
    if parser.tokens.len() == 1 {
        return Err(Mistake::new(
            0,
            "is empty; write a condition such as `request.method == \"GET\"`",
        ));
    }
    let node = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(node),
        Token::Name(word) if WORDS.iter().any(|(own, _)| own == word) => {
            let (word, at) = (word.clone(), parser.at());
            Err(no_operator(&word, at))
        }
        other => Err(parser.wrong(&format!("the expression ends before {}", told(other)))),
    }
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
    count: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens
            .get(self.next)
            .map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> usize {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens
            .get(self.next.min(last))
            .map_or(0, |(_, at)| *at)
    }

    fn wrong(&self, message: &str) -> Mistake {
        Mistake::new(self.at(), message)
    }

    fn take(&mut self) -> (Token, usize) {
        let found = (self.peek().clone(), self.at());
        self.next += 1;
        found
    }

    /// Takes a sign if it comes next, and tells where it stood.
    fn sign(&mut self, sign: &str) -> Option<usize> {
        let is_next = matches!(self.peek(), Token::Sign(own) if *own == sign);
        is_next.then(|| self.take().1)
    }

    fn expect(&mut self, sign: &str, after: &str) -> Result<usize, Mistake> {
        match self.sign(sign) {
            Some(at) => Ok(at),
            None => Err(self.wrong(&format!(
                "`{sign}` is missing after {after}, before {}",
                told(self.peek())
            ))),
        }
    }

    fn node(&mut self, kind: Kind, at: usize) -> Result<Node, Mistake> {
        self.count += 1;
        if self.count > MOST {
            return Err(Mistake::new(
                at,
                format!("an expression has at most {MOST} parts"),
            ));
        }
        let depth = kind.depth() + 1;
        match depth > MOST_DEEP {
            true => Err(Mistake::new(
                at,
                "is nested too deeply; write lists with `in`",
            )),
            false => Ok(Node { kind, at, depth }),
        }
    }

    fn expression(&mut self) -> Result<Node, Mistake> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong("is nested too deeply"));
        }
        let condition = self.or()?;
        let node = match self.sign("?") {
            None => condition,
            Some(at) => {
                let one = self.or()?;
                self.expect(":", "the first value of `? :`")?;
                let other = self.expression()?;
                self.node(Kind::Conditional(Box::new([condition, one, other])), at)?
            }
        };
        self.depth -= 1;
        Ok(node)
    }

    fn or(&mut self) -> Result<Node, Mistake> {
        let first = self.and()?;
        self.chain(first, "||", Self::and, Kind::Or)
    }

    fn and(&mut self) -> Result<Node, Mistake> {
        let first = self.relation()?;
        self.chain(first, "&&", Self::relation, Kind::And)
    }

    /// What stands between signs of one kind.
    fn chain(
        &mut self,
        first: Node,
        sign: &str,
        next: fn(&mut Self) -> Result<Node, Mistake>,
        kind: fn(Vec<Node>) -> Kind,
    ) -> Result<Node, Mistake> {
        let Some(at) = self.sign(sign) else {
            return Ok(first);
        };
        let mut all = vec![first, next(self)?];
        while self.sign(sign).is_some() {
            all.push(next(self)?);
        }
        self.node(kind(all), at)
    }

    fn relation(&mut self) -> Result<Node, Mistake> {
        self.binary(Self::sum, |token| {
            Some(match token {
                Token::Sign("==") => Operator::Equal,
                Token::Sign("!=") => Operator::Unequal,
                Token::Sign("<") => Operator::Less,
                Token::Sign("<=") => Operator::LessOrEqual,
                Token::Sign(">") => Operator::Greater,
                Token::Sign(">=") => Operator::GreaterOrEqual,
                Token::Name(word) if word == "in" => Operator::In,
                _ => return None,
            })
        })
    }

    fn sum(&mut self) -> Result<Node, Mistake> {
        self.binary(Self::product, |token| match token {
            Token::Sign("+") => Some(Operator::Add),
            Token::Sign("-") => Some(Operator::Subtract),
            _ => None,
        })
    }

    fn product(&mut self) -> Result<Node, Mistake> {
        self.binary(Self::unary, |token| match token {
            Token::Sign("*") => Some(Operator::Multiply),
            Token::Sign("/") => Some(Operator::Divide),
            Token::Sign("%") => Some(Operator::Remainder),
            _ => None,
        })
    }

    /// Parts with these operators between, of which the first bind first.
    fn binary(
        &mut self,
        part: fn(&mut Self) -> Result<Node, Mistake>,
        operator: fn(&Token) -> Option<Operator>,
    ) -> Result<Node, Mistake> {
        let mut left = part(self)?;
        while let Some(operator) = operator(self.peek()) {
            let at = self.take().1;
            let right = part(self)?;
            left = self.node(Kind::Binary(operator, Box::new([left, right])), at)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, Mistake> {
        for sign in ["!", "-"] {
            let mut places = Vec::new();
            while let Some(at) = self.sign(sign) {
                places.push(at);
            }
            if places.is_empty() {
                continue;
            }
            if sign == "-"
                && let Some(node) = self.negative_number(&mut places)?
            {
                return self.signed(node, &places, sign);
            }
            let node = self.member()?;
            return self.signed(node, &places, sign);
        }
        self.member()
    }

    fn signed(&mut self, mut node: Node, places: &[usize], sign: &str) -> Result<Node, Mistake> {
        // Two of them are none.
        for at in places.iter().rev() {
            let inner = Box::new(node);
            let kind = if sign == "!" {
                Kind::Not(inner)
            } else {
                Kind::Negative(inner)
            };
            node = self.node(kind, *at)?;
            if places.len() > DEEPEST {
                return Err(Mistake::new(*at, "is nested too deeply"));
            }
        }
        Ok(node)
    }

    /// A number behind a `-`, which is a part of it: the least has no positive form.
    fn negative_number(&mut self, places: &mut Vec<usize>) -> Result<Option<Node>, Mistake> {
        let value = match self.peek() {
            Token::Int(number) => match 0_i64.checked_sub_unsigned(*number) {
                Some(number) => Value::Int(number),
                None => return Err(self.wrong("is no number of 64 bits")),
            },
            Token::Double(number) => Value::Double(-number),
            _ => return Ok(None),
        };
        self.take();
        let at = places.pop().unwrap_or_default();
        let node = self.node(Kind::Literal(value), at)?;
        self.postfix(node).map(Some)
    }

    fn member(&mut self) -> Result<Node, Mistake> {
        let node = self.primary()?;
        self.postfix(node)
    }

    fn postfix(&mut self, mut node: Node) -> Result<Node, Mistake> {
        let mut chain = 0;
        loop {
            chain += 1;
            if chain > DEEPEST {
                return Err(self.wrong("is nested too deeply"));
            }
            if self.sign(".").is_some() {
                let (token, at) = self.take();
                let name = match token {
                    Token::Name(name) => name,
                    Token::Field(name) => {
                        node = self.node(Kind::Member(Box::new(node), name), at)?;
                        continue;
                    }
                    other => {
                        let message =
                            format!("a name is missing after `.`, before {}", told(&other));
                        return Err(Mistake::new(at, message));
                    }
                };
                if name == "in" || matches!(name.as_str(), "true" | "false" | "null") {
                    return Err(Mistake::new(
                        at,
                        format!("`{name}` can not be a name; write `[\"{name}\"]`"),
                    ));
                }
                node = match self.sign("(") {
                    Some(_) => {
                        let arguments = self.list(")", "the arguments")?;
                        self.node(Kind::Method(Box::new(node), name, arguments), at)?
                    }
                    None => self.node(Kind::Member(Box::new(node), name), at)?,
                };
            } else if let Some(at) = self.sign("[") {
                if self.sign("?").is_some() {
                    return Err(Mistake::new(
                        at,
                        "optional values are not known here; ask with `in` first",
                    ));
                }
                let index = self.expression()?;
                self.expect("]", "the index")?;
                node = self.node(Kind::Index(Box::new(node), Box::new(index)), at)?;
            } else {
                return Ok(node);
            }
        }
    }

    /// What stands between commas up to `end`.
    fn list(&mut self, end: &str, what: &str) -> Result<Vec<Node>, Mistake> {
        let mut nodes = Vec::new();
        loop {
            if self.sign(end).is_some() {
                return Ok(nodes);
            }
            nodes.push(self.expression()?);
            if self.sign(",").is_none() {
                self.expect(end, what)?;
                return Ok(nodes);
            }
            // Only a list may end with a comma.
            if end == ")" && matches!(self.peek(), Token::Sign(")")) {
                return Err(self.wrong("an argument is missing before `)`"));
            }
        }
    }

    fn primary(&mut self) -> Result<Node, Mistake> {
        let (token, at) = self.take();
        let literal = match token {
            Token::Int(number) => match i64::try_from(number) {
                Ok(number) => Value::Int(number),
                Err(_) => {
                    return Err(Mistake::new(
                        at,
                        "is no number of 64 bits; write `u` behind it if it has no sign",
                    ));
                }
            },
            Token::Uint(number) => Value::Uint(number),
            Token::Double(number) => Value::Double(number),
            Token::Text(text) => Value::owned(text),
            Token::Bytes(bytes) => Value::Bytes(bytes.into()),
            Token::Name(name) => return self.name(name, at),
            Token::Sign("(") => {
                let node = self.expression()?;
                self.expect(")", "the expression in brackets")?;
                return Ok(node);
            }
            Token::Sign("[") => {
                let nodes = self.list("]", "the elements of the list")?;
                return self.node(Kind::List(nodes), at);
            }
            Token::Sign("{") => return self.map(at),
            Token::Sign(".") => {
                // Not one of a macro's own.
                return match self.take() {
                    (Token::Name(name), at) => self.name(format!(".{name}"), at),
                    (other, at) => {
                        let message =
                            format!("a name is missing after `.`, before {}", told(&other));
                        Err(Mistake::new(at, message))
                    }
                };
            }
            other => {
                return Err(Mistake::new(
                    at,
                    format!("a value is missing before {}", told(&other)),
                ));
            }
        };
        self.node(Kind::Literal(literal), at)
    }

    fn name(&mut self, name: String, at: usize) -> Result<Node, Mistake> {
        let literal = match name.as_str() {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "null" => Some(Value::Null),
            _ => None,
        };
        if let Some(value) = literal {
            return self.node(Kind::Literal(value), at);
        }
        if name == "in" {
            return Err(Mistake::new(at, "a value is missing before `in`"));
        }
        if WORDS.iter().any(|(word, _)| *word == name) {
            return Err(no_operator(&name, at));
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(Mistake::new(
                at,
                format!("`{name}` is a word that CEL keeps for itself"),
            ));
        }
        if self.sign("(").is_some() {
            let arguments = self.list(")", "the arguments")?;
            return self.node(Kind::Call(name, arguments), at);
        }
        self.node(Kind::Name(name), at)
    }

    fn map(&mut self, at: usize) -> Result<Node, Mistake> {
        let mut entries = Vec::new();
        while self.sign("}").is_none() {
            let key = self.expression()?;
            self.expect(":", "a key of the map")?;
            entries.push((key, self.expression()?));
            if self.sign(",").is_none() {
                self.expect("}", "the entries of the map")?;
                break;
            }
        }
        self.node(Kind::Map(entries), at)
    }
}
