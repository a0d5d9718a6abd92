// SPDX-License-Identifier: Apache-2.0
//! Computes an expression.
use crate::arithmetic;
use crate::code::{Code, Each, EachKind, Operator, Step};
use crate::expression::Variables;
use crate::value::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// Steps that one evaluation may take; text counts by its length.
pub const MOST_STEPS: u32 = 10_000;

/// What a function gives.
pub(crate) type Outcome<'a> = Result<Value<'a>, Why>;

/// That of a function that is not for these values.
pub(crate) fn wrong<'a>() -> Outcome<'a> {
    Err(Why::NoOverload(String::new()))
}

/// Why an evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A map has nothing under this.
    NoSuchKey(String),
    /// A list has no element there.
    NoSuchElement,
    /// A function or operator was given values it does not take, as they are seen only now.
    NoOverload(String),
    /// A key that is there twice, or can be none.
    BadKey,
    DivisionByZero,
    /// A number, point in time or length of time beyond what there is.
    Overflow,
    /// A text that is no such thing.
    BadText(&'static str),
    /// It is neither true nor false.
    NoCondition,
    /// More than [`MOST_STEPS`].
    TooMuch,
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchKey(key) => write!(
                formatter,
                "there is no {key}; ask with `in` or `has()` first"
            ),
            Self::NoSuchElement => formatter.write_str("the list has no such element"),
            Self::NoOverload(what) => write!(formatter, "{what} does not take such values"),
            Self::BadKey => formatter.write_str("a key of a map is there twice, or is no key"),
            Self::DivisionByZero => formatter.write_str("division by zero"),
            Self::Overflow => formatter.write_str("out of range"),
            Self::BadText(what) => write!(formatter, "a text is no {what}"),
            Self::NoCondition => formatter.write_str("it is neither true nor false"),
            Self::TooMuch => formatter.write_str("it takes too many steps"),
        }
    }
}

/// What failed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Bytes from the beginning of the expression.
    pub at: u32,
    pub why: Why,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at character {}: {}", self.at + 1, self.why)
    }
}

impl std::error::Error for Fault {}

struct Run<'a> {
    variables: &'a dyn Variables,
    /// What the names of enclosing macros stand for.
    locals: Vec<Value<'a>>,
    left: u32,
}

pub(crate) fn evaluate<'a>(
    code: &'a Code,
    variables: &'a dyn Variables,
) -> Result<Value<'a>, Fault> {
    let mut run = Run {
        variables,
        locals: Vec::new(),
        left: MOST_STEPS,
    };
    run.step(code)
}

impl<'a> Run<'a> {
    fn spend(&mut self, steps: usize, at: u32) -> Result<(), Fault> {
        match u32::try_from(steps)
            .ok()
            .and_then(|steps| self.left.checked_sub(steps))
        {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Fault {
                at,
                why: Why::TooMuch,
            }),
        }
    }

    fn step(&mut self, code: &'a Code) -> Result<Value<'a>, Fault> {
        let at = code.at;
        self.spend(1, at)?;
        let fault = |why| Fault { at, why };
        Ok(match &code.step {
            Step::Constant(value) => value.borrowed(),
            Step::Variable(variable) => self.variables.get(*variable),
            Step::Local(local) => self.locals.get(*local).cloned().unwrap_or(Value::Null),
            Step::Member(of, name) => {
                let of = self.step(of)?;
                member(&of, name).map_err(fault)?
            }
            Step::Has(of, name) => {
                let of = self.step(of)?;
                match of.has(name) {
                    Some(has) => Value::Bool(has),
                    None => return Err(fault(no_member(&of))),
                }
            }
            Step::Index(own) => {
                let [of, index] = &**own;
                let (of, index) = (self.step(of)?, self.step(index)?);
                at_index(&of, &index).map_err(fault)?
            }
            Step::Call(function, arguments) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.step(argument)?);
                }
                self.spend(values.iter().map(length).sum::<usize>() / 16, at)?;
                (function.apply)(&values).map_err(|why| match why {
                    Why::NoOverload(_) => fault(Why::NoOverload(format!("`{}`", function.name))),
                    why => fault(why),
                })?
            }
            Step::Matches(of, pattern) => match self.step(of)? {
                Value::Text(text) => {
                    self.spend(text.len() / 4, at)?;
                    Value::Bool(pattern.is_match(&text))
                }
                _ => return Err(fault(Why::NoOverload("`matches`".into()))),
            },
            Step::Not(own) => match self.step(own)? {
                Value::Bool(own) => Value::Bool(!own),
                _ => return Err(fault(Why::NoOverload("`!`".into()))),
            },
            Step::Negative(own) => arithmetic::negative(&self.step(own)?).map_err(fault)?,
            Step::Binary(operator, own) => {
                let [left, right] = &**own;
                let (left, right) = (self.step(left)?, self.step(right)?);
                self.spend((length(&left) + length(&right)) / 16, at)?;
                binary(*operator, left, right).map_err(fault)?
            }
            Step::And(own) => self.either(own, false, at)?,
            Step::Or(own) => self.either(own, true, at)?,
            Step::Conditional(own) => {
                let [condition, one, other] = &**own;
                match self.step(condition)? {
                    Value::Bool(true) => self.step(one)?,
                    Value::Bool(false) => self.step(other)?,
                    _ => return Err(fault(Why::NoOverload("`? :`".into()))),
                }
            }
            Step::List(elements) => {
                let values: Result<Vec<_>, _> =
                    elements.iter().map(|each| self.step(each)).collect();
                Value::List(values?.into())
            }
            Step::Map(entries) => {
                let mut values = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    values.push((self.step(key)?, self.step(value)?));
                }
                let map = Map::new(values).ok_or_else(|| fault(Why::BadKey))?;
                Value::Map(Arc::new(map))
            }
            Step::Each(own) => self.each(own, at)?,
        })
    }

    /// `&&` is over when one is false, and `||` when one is true, whatever the other is.
    fn either(&mut self, own: &'a [Code], over: bool, at: u32) -> Result<Value<'a>, Fault> {
        let mut failed = None;
        for code in own {
            match self.step(code) {
                Ok(Value::Bool(own)) if own == over => return Ok(Value::Bool(over)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => {
                    let sign = if over { "`||`" } else { "`&&`" };
                    failed.get_or_insert(Fault {
                        at,
                        why: Why::NoOverload(sign.into()),
                    });
                }
                Err(fault) if fault.why == Why::TooMuch => return Err(fault),
                Err(fault) => {
                    failed.get_or_insert(fault);
                }
            }
        }
        match failed {
            Some(fault) => Err(fault),
            None => Ok(Value::Bool(!over)),
        }
    }

    fn each(&mut self, own: &'a Each, at: u32) -> Result<Value<'a>, Fault> {
        let range = self.step(&own.range)?;
        let Some(elements) = range.elements() else {
            return Err(Fault {
                at,
                why: Why::NoOverload("a macro over elements".into()),
            });
        };
        self.spend(elements.len(), at)?;
        let mut taken = Vec::new();
        let mut count = 0_usize;
        let mut failed = None;
        for element in elements {
            self.locals.push(element.clone());
            let is_true = own.test.as_ref().map(|test| self.step(test));
            let is_true = match is_true {
                None | Some(Ok(Value::Bool(true))) => Ok(true),
                Some(Ok(Value::Bool(false))) => Ok(false),
                Some(Ok(_)) => Err(Fault {
                    at,
                    why: Why::NoCondition,
                }),
                Some(Err(fault)) => Err(fault),
            };
            let result = match (&is_true, &own.result) {
                (Ok(true), Some(result)) => self.step(result).map(Some),
                _ => Ok(None),
            };
            self.locals.pop();
            match (is_true, own.kind) {
                (Ok(true), EachKind::Exists) => return Ok(Value::Bool(true)),
                (Ok(false), EachKind::All) => return Ok(Value::Bool(false)),
                (Ok(true), EachKind::Filter) => taken.push(element),
                (Ok(true), EachKind::ExistsOne) => count += 1,
                (Ok(_), _) => {}
                (Err(fault), EachKind::All | EachKind::Exists) if fault.why != Why::TooMuch => {
                    failed.get_or_insert(fault);
                }
                (Err(fault), _) => return Err(fault),
            }
            taken.extend(result?);
        }
        match (own.kind, failed) {
            (_, Some(fault)) => Err(fault),
            (EachKind::All, None) => Ok(Value::Bool(true)),
            (EachKind::Exists, None) => Ok(Value::Bool(false)),
            (EachKind::ExistsOne, None) => Ok(Value::Bool(count == 1)),
            (EachKind::Filter | EachKind::Map, None) => Ok(Value::List(taken.into())),
        }
    }
}

/// What a value costs to look at.
fn length(value: &Value<'_>) -> usize {
    match value {
        Value::Text(own) => own.len(),
        Value::Bytes(own) => own.len(),
        other => {
            other
                .list_len()
                .or_else(|| match other {
                    Value::Fields(_) => None,
                    other => other.map_len(),
                })
                .unwrap_or_default()
                * 16
        }
    }
}

fn no_member(of: &Value<'_>) -> Why {
    Why::NoOverload(format!("a name after a value of {}", of.kind()))
}

fn member<'a>(of: &Value<'a>, name: &Value<'_>) -> Result<Value<'a>, Why> {
    match of.entry(name) {
        Some(value) => Ok(value),
        None if of.map_len().is_some() => Err(Why::NoSuchKey(format!("{name:?}"))),
        None => Err(no_member(of)),
    }
}

fn at_index<'a>(of: &Value<'a>, index: &Value<'_>) -> Result<Value<'a>, Why> {
    if of.list_len().is_none() {
        return member(of, index);
    }
    let place = match index {
        Value::Int(own) => usize::try_from(*own).ok(),
        Value::Uint(own) => usize::try_from(*own).ok(),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // whole, and looked up only
        Value::Double(own) if own.fract() == 0.0 && *own >= 0.0 => Some(*own as usize),
        Value::Double(_) => None,
        _ => return Err(Why::NoOverload("`[]`".into())),
    };
    place
        .and_then(|place| of.element(place))
        .ok_or(Why::NoSuchElement)
}

fn binary<'a>(operator: Operator, left: Value<'a>, right: Value<'a>) -> Result<Value<'a>, Why> {
    let wrong = || Why::NoOverload(format!("`{}`", operator.sign()));
    let ordered = |holds: fn(std::cmp::Ordering) -> bool| {
        let has_order =
            left.kind() == right.kind() || left.kind().is_number() && right.kind().is_number();
        let is_ordered = !matches!(
            left,
            Value::Null | Value::Type(_) | Value::Address(_) | Value::Network(_)
        ) && left.list_len().is_none()
            && left.map_len().is_none();
        match has_order && is_ordered {
            true => Ok(Value::Bool(left.partial_cmp(&right).is_some_and(holds))),
            false => Err(wrong()),
        }
    };
    match operator {
        Operator::Equal => Ok(Value::Bool(left == right)),
        Operator::Unequal => Ok(Value::Bool(left != right)),
        Operator::Less => ordered(std::cmp::Ordering::is_lt),
        Operator::LessOrEqual => ordered(std::cmp::Ordering::is_le),
        Operator::Greater => ordered(std::cmp::Ordering::is_gt),
        Operator::GreaterOrEqual => ordered(std::cmp::Ordering::is_ge),
        Operator::In => match right.list_len() {
            Some(len) => {
                let found = (0..len).any(|at| right.element(at).as_ref() == Some(&left));
                Ok(Value::Bool(found))
            }
            None => right.has(&left).map(Value::Bool).ok_or_else(wrong),
        },
        _ => arithmetic::compute(operator, &left, &right).map_err(|why| match why {
            Why::NoOverload(_) => wrong(),
            why => why,
        }),
    }
}
