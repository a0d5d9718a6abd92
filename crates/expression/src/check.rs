// SPDX-License-Identifier: Apache-2.0
//! Resolves names and types, and makes of what was read what is computed.
use crate::calls::constants;
use crate::code::{Code, Kind, Node, Operator, Step};
use crate::expression::{Environment, Mistake};
use crate::operators::result;
use crate::suggest::nearest;
use crate::types::Type;
use crate::value::Value;

pub(crate) struct Checker<'a> {
    environment: &'a Environment,
    /// Names of enclosing macros.
    pub(crate) locals: Vec<(String, Type)>,
    uses: Vec<u16>,
}

/// What is computed, and what that is.
pub(crate) type Checked = Result<(Code, Type), Mistake>;

/// Checks an expression: what is computed, what it gives, and which variables it uses.
///
/// # Errors
/// A name or function that there is not, or values that do not fit together.
pub(crate) fn check(
    node: &Node,
    environment: &Environment,
) -> Result<(Code, Type, Vec<u16>), Mistake> {
    let mut checker = Checker {
        environment,
        locals: Vec::new(),
        uses: Vec::new(),
    };
    let (code, gives) = checker.node(node)?;
    let mut uses = checker.uses;
    uses.sort_unstable();
    uses.dedup();
    Ok((code, gives, uses))
}

pub(crate) fn code(step: Step, at: usize) -> Code {
    Code {
        step,
        at: u32::try_from(at).unwrap_or(u32::MAX),
    }
}

pub(crate) fn told(types: &[Type]) -> String {
    let names: Vec<String> = types.iter().map(Type::to_string).collect();
    names.join(", ")
}

/// The whole name that members of names make: `request.headers`.
pub(crate) fn path(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Name(name) => Some(name.clone()),
        Kind::Member(of, name) => Some(format!("{}.{name}", path(of)?)),
        _ => None,
    }
}

/// Where a name begins.
fn start(node: &Node) -> usize {
    match &node.kind {
        Kind::Member(of, _) => start(of),
        _ => node.at,
    }
}

impl Checker<'_> {
    pub(crate) fn node(&mut self, node: &Node) -> Checked {
        let at = node.at;
        if let Some(found) = self.name(node) {
            return Ok(found);
        }
        match &node.kind {
            Kind::Literal(value) => Ok((code(Step::Constant(value.clone()), at), value.kind())),
            Kind::Name(name) => Err(self.unknown(name, at)),
            Kind::Member(of, name) => self.member(of, name, at),
            Kind::Index(of, index) => self.index(of, index, at),
            Kind::Call(name, arguments) => self.call(name, arguments, at),
            Kind::Method(of, name, arguments) => self.method(of, name, arguments, at),
            Kind::Not(own) => {
                let (own, kind) = self.node(own)?;
                match kind.agrees(&Type::Bool) {
                    true => Ok((code(Step::Not(Box::new(own)), at), Type::Bool)),
                    false => Err(Mistake::new(
                        at,
                        format!("`!` takes true or false, and this is {kind}"),
                    )),
                }
            }
            Kind::Negative(own) => {
                let (own, kind) = self.node(own)?;
                match matches!(kind, Type::Int | Type::Double | Type::Dyn) {
                    true => Ok((code(Step::Negative(Box::new(own)), at), kind)),
                    false => Err(Mistake::new(
                        at,
                        format!("`-` takes an int or a double, and this is {kind}"),
                    )),
                }
            }
            Kind::Binary(operator, own) => self.binary(*operator, own, at),
            Kind::And(own) => self
                .logic(own, "&&", at)
                .map(|own| (code(Step::And(own), at), Type::Bool)),
            Kind::Or(own) => self
                .logic(own, "||", at)
                .map(|own| (code(Step::Or(own), at), Type::Bool)),
            Kind::Conditional(own) => {
                let [condition, one, other] = &**own;
                let (condition, kind) = self.node(condition)?;
                if !kind.agrees(&Type::Bool) {
                    return Err(Mistake::new(
                        at,
                        format!("`? :` asks for true or false, and this is {kind}"),
                    ));
                }
                let ((one, of_one), (other, of_other)) = (self.node(one)?, self.node(other)?);
                let Some(kind) = of_one.joined(&of_other) else {
                    let message = format!(
                        "both values of `? :` have one type, and these are {of_one} and {of_other}"
                    );
                    return Err(Mistake::new(at, message));
                };
                Ok((
                    code(Step::Conditional(Box::new([condition, one, other])), at),
                    kind,
                ))
            }
            Kind::List(own) => {
                let (own, of) = self.all(own.iter())?;
                let step = match constants(&own) {
                    Some(known) => Step::Constant(Value::List(known.into())),
                    None => Step::List(own),
                };
                Ok((code(step, at), Type::list(of)))
            }
            Kind::Map(own) => {
                let (keys, of_keys) = self.all(own.iter().map(|(key, _)| key))?;
                if !matches!(
                    of_keys,
                    Type::Dyn | Type::Bool | Type::Int | Type::Uint | Type::Text
                ) {
                    return Err(Mistake::new(
                        at,
                        format!("a key is a text, a whole number or a bool, and not {of_keys}"),
                    ));
                }
                let (values, of_values) = self.all(own.iter().map(|(_, value)| value))?;
                let kind = Type::Map(Box::new(of_keys), Box::new(of_values));
                Ok((
                    code(Step::Map(keys.into_iter().zip(values).collect()), at),
                    kind,
                ))
            }
        }
    }

    /// A variable, the name of a macro, or a type: the longest name that is one.
    fn name(&mut self, node: &Node) -> Option<(Code, Type)> {
        let name = path(node)?;
        let at = node.at;
        if let Some(name) = name.strip_prefix('.') {
            return self.known(name, at);
        }
        let first = name.split('.').next().unwrap_or_default();
        if let Some(place) = self.locals.iter().rposition(|(own, _)| own == first) {
            // What is inside of it is asked for as its member.
            let (own, kind) = self.locals.get(place)?;
            return (*own == name).then(|| (code(Step::Local(place), at), kind.clone()));
        }
        self.known(&name, at)
    }

    /// A variable or a type.
    fn known(&mut self, name: &str, at: usize) -> Option<(Code, Type)> {
        if let Some((variable, kind)) = self.environment.find(name) {
            self.uses.push(variable);
            return Some((code(Step::Variable(variable), at), kind.clone()));
        }
        let kind = Type::named(name)?;
        Some((code(Step::Constant(Value::Type(kind)), at), Type::Type))
    }

    /// Whether the first part of a name is something, or others begin with it.
    fn is_begun(&self, name: &str) -> bool {
        let name = name.strip_prefix('.').unwrap_or(name);
        let first = name.split('.').next().unwrap_or_default();
        let is_local = self.locals.iter().any(|(own, _)| own == first);
        let mut names = self.environment.names();
        is_local || names.any(|own| own.split('.').next() == Some(first))
    }

    /// Whether a name is nothing itself, and others begin with it.
    fn is_prefix(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or_default();
        let is_local = self.locals.iter().any(|(own, _)| own == first);
        let name = name.strip_prefix('.').unwrap_or(name);
        let inside = format!("{name}.");
        let mut names = self.environment.names();
        !is_local
            && self.environment.find(name).is_none()
            && names.any(|own| own.starts_with(&inside))
    }

    fn unknown(&self, name: &str, at: usize) -> Mistake {
        let inside = format!("{name}.");
        let known: Vec<&str> = self
            .environment
            .names()
            .filter(|own| own.starts_with(&inside))
            .collect();
        if !known.is_empty() {
            return Mistake::new(
                at,
                format!("`{name}` is no value; write one of {}", known.join(", ")),
            );
        }
        let message = match nearest(name, self.environment.names()) {
            Some(near) => format!("there is no `{name}`; did you mean `{near}`?"),
            None => format!("there is no `{name}`; text is written in quotes: \"{name}\""),
        };
        Mistake::new(at, message)
    }

    /// The elements of a list, and what all of them are.
    fn all<'n>(
        &mut self,
        nodes: impl Iterator<Item = &'n Node>,
    ) -> Result<(Vec<Code>, Type), Mistake> {
        let mut all = Vec::new();
        let mut of: Option<Type> = None;
        for node in nodes {
            let (own, kind) = self.node(node)?;
            of = Some(match of {
                None => kind,
                Some(of) => of.joined(&kind).unwrap_or(Type::Dyn),
            });
            all.push(own);
        }
        Ok((all, of.unwrap_or(Type::Dyn)))
    }

    fn member(&mut self, of: &Node, name: &str, at: usize) -> Checked {
        if let Some(whole) = path(of).filter(|whole| self.is_prefix(whole)) {
            return Err(self.unknown(&format!("{whole}.{name}"), at));
        }
        if let Some(whole) = path(of).filter(|whole| !self.is_begun(whole)) {
            return Err(self.unknown(&format!("{whole}.{name}"), start(of)));
        }
        let (own, kind) = self.node(of)?;
        let gives = match kind {
            Type::Map(_, value) => *value,
            Type::Dyn => Type::Dyn,
            other => {
                return Err(Mistake::new(
                    at,
                    format!("{other} has nothing named `{name}`"),
                ));
            }
        };
        Ok((
            code(Step::Member(Box::new(own), Value::owned(name.into())), at),
            gives,
        ))
    }

    fn index(&mut self, of: &Node, index: &Node, at: usize) -> Checked {
        let ((own, kind), (index, by)) = (self.node(of)?, self.node(index)?);
        let gives = match &kind {
            Type::List(of) if by.is_number() || by == Type::Dyn => (**of).clone(),
            Type::Map(key, value) if key.agrees(&by) || key.is_number() && by.is_number() => {
                (**value).clone()
            }
            Type::Dyn => Type::Dyn,
            _ => {
                return Err(Mistake::new(
                    at,
                    format!("{kind} is not asked by {by} in `[]`"),
                ));
            }
        };
        Ok((code(Step::Index(Box::new([own, index])), at), gives))
    }

    fn logic(&mut self, own: &[Node], sign: &str, at: usize) -> Result<Vec<Code>, Mistake> {
        let mut all = Vec::with_capacity(own.len());
        for node in own {
            let (own, kind) = self.node(node)?;
            if !kind.agrees(&Type::Bool) {
                let message = format!("`{sign}` takes true or false, and this is {kind}");
                return Err(Mistake::new(at, message));
            }
            all.push(own);
        }
        Ok(all)
    }

    fn binary(&mut self, operator: Operator, own: &[Node; 2], at: usize) -> Checked {
        let [left, right] = own;
        let ((left, one), (right, other)) = (self.node(left)?, self.node(right)?);
        let Some(gives) = result(operator, &one, &other) else {
            let sign = operator.sign();
            let hint = match (&one, &other) {
                (Type::Text, Type::Int | Type::Double | Type::Bool)
                | (Type::Int | Type::Double | Type::Bool, Type::Text) => {
                    "; put both in quotes, or neither"
                }
                _ => "",
            };
            return Err(Mistake::new(
                at,
                format!("`{sign}` does not take {one} and {other}{hint}"),
            ));
        };
        Ok((
            code(Step::Binary(operator, Box::new([left, right])), at),
            gives,
        ))
    }
}
