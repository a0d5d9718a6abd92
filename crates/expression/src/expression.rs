// SPDX-License-Identifier: Apache-2.0
use crate::check;
use crate::code::Code;
use crate::evaluate::{self, Fault, Why};
use crate::parser;
use crate::types::Type;
use crate::value::Value;
use std::fmt;

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where, in bytes from its beginning.
    pub at: usize,
    /// What, and what to write instead.
    pub message: String,
}

impl Mistake {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at character {}: {}", self.at + 1, self.message)
    }
}

impl std::error::Error for Mistake {}

/// The names that expressions may use, each with its type. A name may have dots: `request.method`.
#[derive(Clone, Debug, Default)]
pub struct Environment(Vec<(String, Type)>);

impl Environment {
    /// These names; a variable is told by its place in them.
    pub fn new(names: impl IntoIterator<Item = (String, Type)>) -> Self {
        Self(names.into_iter().collect())
    }

    pub(crate) fn find(&self, name: &str) -> Option<(u16, &Type)> {
        let place = self.0.iter().position(|(own, _)| own == name)?;
        let (_, kind) = self.0.get(place)?;
        Some((u16::try_from(place).ok()?, kind))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// What the variables of an [`Environment`] are, for one evaluation.
pub trait Variables {
    /// What the variable at a place in the environment is.
    fn get(&self, variable: u16) -> Value<'_>;
}

/// An expression that was read and checked.
#[derive(Debug)]
pub struct Expression {
    code: Code,
    gives: Type,
    uses: Vec<u16>,
}

impl Expression {
    /// Reads and checks an expression.
    ///
    /// # Errors
    /// It is no expression, uses a name or function that there is not, or puts together what does not fit.
    pub fn new(text: &str, environment: &Environment) -> Result<Self, Mistake> {
        let node = parser::parse(text)?;
        let (code, gives, uses) = check::check(&node, environment)?;
        Ok(Self { code, gives, uses })
    }

    /// The same, for what is true or false.
    ///
    /// # Errors
    /// As [`Self::new`], and for what gives something else.
    pub fn condition(text: &str, environment: &Environment) -> Result<Self, Mistake> {
        let read = Self::new(text, environment)?;
        match read.gives {
            Type::Bool | Type::Dyn => Ok(read),
            other => Err(Mistake::new(
                0,
                format!(
                    "gives {other}; a condition is true or false, so compare it with something"
                ),
            )),
        }
    }

    /// What it gives.
    pub fn gives(&self) -> &Type {
        &self.gives
    }

    /// The places in the environment of the variables that it uses.
    pub fn uses(&self) -> &[u16] {
        &self.uses
    }

    /// Computes it.
    ///
    /// # Errors
    /// [`Fault`] says what failed, and where.
    pub fn evaluate<'a>(&'a self, variables: &'a dyn Variables) -> Result<Value<'a>, Fault> {
        evaluate::evaluate(&self.code, variables)
    }

    /// Computes a condition.
    ///
    /// # Errors
    /// As [`Self::evaluate`], and for what is neither true nor false.
    pub fn is_true(&self, variables: &dyn Variables) -> Result<bool, Fault> {
        match self.evaluate(variables)? {
            Value::Bool(own) => Ok(own),
            _ => Err(Fault {
                at: 0,
                why: Why::NoCondition,
            }),
        }
    }
}
