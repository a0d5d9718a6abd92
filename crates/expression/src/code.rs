// SPDX-License-Identifier: Apache-2.0
//! An expression as it was read, and as it is computed.
use crate::functions::Function;
use crate::value::Value;
use regex::Regex;

/// An expression as it was read.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Where it begins, in bytes; an operator where it stands.
    pub(crate) at: usize,
    /// How many nodes stand in each other, itself included.
    pub(crate) depth: usize,
}

impl Kind {
    /// How many nodes stand in each other inside of it.
    pub(crate) fn depth(&self) -> usize {
        fn deepest<'n>(nodes: impl IntoIterator<Item = &'n Node>) -> usize {
            nodes
                .into_iter()
                .map(|node| node.depth)
                .max()
                .unwrap_or_default()
        }
        match self {
            Self::Literal(_) | Self::Name(_) => 0,
            Self::Member(own, _) | Self::Not(own) | Self::Negative(own) => own.depth,
            Self::Index(own, index) => own.depth.max(index.depth),
            Self::Call(_, own) | Self::And(own) | Self::Or(own) | Self::List(own) => deepest(own),
            Self::Method(own, _, arguments) => own.depth.max(deepest(arguments)),
            Self::Binary(_, own) => deepest(&**own),
            Self::Conditional(own) => deepest(&**own),
            Self::Map(own) => deepest(own.iter().flat_map(|(key, value)| [key, value])),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Kind {
    Literal(Value<'static>),
    Name(String),
    Member(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    Call(String, Vec<Node>),
    Method(Box<Node>, String, Vec<Node>),
    Not(Box<Node>),
    Negative(Box<Node>),
    Binary(Operator, Box<[Node; 2]>),
    /// Two or more.
    And(Vec<Node>),
    /// Likewise.
    Or(Vec<Node>),
    Conditional(Box<[Node; 3]>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// What two values are computed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Operator {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }
}

/// An expression as it is computed.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) step: Step,
    pub(crate) at: u32,
}

#[derive(Debug)]
pub(crate) enum Step {
    Constant(Value<'static>),
    /// One of the environment's.
    Variable(u16),
    /// One of an enclosing macro's, from the outermost.
    Local(usize),
    /// What a map has under a name.
    Member(Box<Code>, Value<'static>),
    Has(Box<Code>, Value<'static>),
    Index(Box<[Code; 2]>),
    Call(&'static Function, Vec<Code>),
    Matches(Box<Code>, Box<Regex>),
    Not(Box<Code>),
    Negative(Box<Code>),
    Binary(Operator, Box<[Code; 2]>),
    And(Vec<Code>),
    Or(Vec<Code>),
    Conditional(Box<[Code; 3]>),
    List(Vec<Code>),
    Map(Vec<(Code, Code)>),
    Each(Box<Each>),
}

/// A macro over the elements of a list or the keys of a map.
#[derive(Debug)]
pub(crate) struct Each {
    pub(crate) kind: EachKind,
    pub(crate) range: Code,
    /// What is asked of each element; for `map` what decides which are taken.
    pub(crate) test: Option<Code>,
    /// What becomes of each.
    pub(crate) result: Option<Code>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EachKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

impl EachKind {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "exists" => Self::Exists,
            "exists_one" | "existsOne" => Self::ExistsOne,
            "filter" => Self::Filter,
            "map" => Self::Map,
            _ => return None,
        })
    }
}
