// SPDX-License-Identifier: Apache-2.0
//! Resolves calls: functions, macros over elements, and patterns.
use crate::check::{Checked, Checker, code, path, told};
use crate::code::{Code, Each, EachKind, Kind, Node, Step};
use crate::expression::Mistake;
use crate::functions::{self, Function};
use crate::suggest::nearest;
use crate::types::Type;
use crate::value::Value;
use regex::RegexBuilder;

/// Bytes that a pattern may take when it is compiled.
const PATTERN: usize = 256 << 10;

impl Checker<'_> {
    pub(crate) fn call(&mut self, name: &str, arguments: &[Node], at: usize) -> Checked {
        if name == "has" {
            let [
                Node {
                    kind: Kind::Member(of, member),
                    ..
                },
            ] = arguments
            else {
                return Err(Mistake::new(
                    at,
                    "`has` takes a member: `has(identity.claims.tenant)`",
                ));
            };
            let (own, kind) = self.node(of)?;
            return match kind {
                Type::Map(..) | Type::Dyn => Ok((
                    code(Step::Has(Box::new(own), Value::owned(member.clone())), at),
                    Type::Bool,
                )),
                other => Err(Mistake::new(
                    at,
                    format!("{other} has nothing named `{member}`"),
                )),
            };
        }
        if name == "matches"
            && let [of, pattern] = arguments
        {
            return self.matches(of, pattern, at);
        }
        self.function(name, None, arguments, at)
    }

    pub(crate) fn method(
        &mut self,
        of: &Node,
        name: &str,
        arguments: &[Node],
        at: usize,
    ) -> Checked {
        if let (Some(kind), [first, rest @ ..]) = (EachKind::named(name), arguments)
            && (rest.len() == 1 || kind == EachKind::Map && rest.len() == 2)
        {
            return self.each(kind, of, first, rest, at);
        }
        if name == "matches"
            && let [pattern] = arguments
        {
            return self.matches(of, pattern, at);
        }
        // A function may have a dot in its name, as types have.
        if let Some(whole) = path(of).map(|of| format!("{of}.{name}"))
            && functions::named(&whole, false).next().is_some()
        {
            return self.function(&whole, None, arguments, at);
        }
        self.function(name, Some(of), arguments, at)
    }

    fn function(
        &mut self,
        name: &str,
        of: Option<&Node>,
        arguments: &[Node],
        at: usize,
    ) -> Checked {
        let mut values = Vec::new();
        let mut kinds = Vec::new();
        for each in of.into_iter().chain(arguments) {
            let (own, kind) = self.node(each)?;
            values.push(own);
            kinds.push(kind);
        }
        let fits = |function: &&Function| {
            let takes = function.takes;
            takes.len() == kinds.len()
                && takes
                    .iter()
                    .zip(&kinds)
                    .all(|(takes, kind)| takes.kind().agrees(kind))
        };
        let ways: Vec<&'static Function> =
            functions::named(name, of.is_some()).filter(fits).collect();
        let Some(first) = ways.first().copied() else {
            return Err(no_function(name, of.is_some(), &kinds, at));
        };
        let is_sure = ways.iter().all(|way| way.gives == first.gives);
        let gives = if is_sure {
            first.gives.kind()
        } else {
            Type::Dyn
        };
        // What does not depend on the request is computed once.
        if let Some(known) = constants(&values) {
            match (first.apply)(&known) {
                Ok(value) => return Ok((code(Step::Constant(value), at), gives)),
                Err(why) if matches!(name, "ip" | "cidr" | "timestamp" | "duration") => {
                    return Err(Mistake::new(at, why.to_string()));
                }
                Err(_) => {}
            }
        }
        Ok((code(Step::Call(first, values), at), gives))
    }

    fn matches(&mut self, of: &Node, pattern: &Node, at: usize) -> Checked {
        let Kind::Literal(Value::Text(text)) = &pattern.kind else {
            return Err(Mistake::new(
                pattern.at,
                "the pattern of `matches` is written out, so that it is read once",
            ));
        };
        let (own, kind) = self.node(of)?;
        if !kind.agrees(&Type::Text) {
            return Err(Mistake::new(
                at,
                format!("`matches` takes a string, and this is {kind}"),
            ));
        }
        let pattern = RegexBuilder::new(text)
            .size_limit(PATTERN)
            .build()
            .map_err(|error| {
                let text = error.to_string();
                let reason = text
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                Mistake::new(pattern.at, format!("is no regular expression: {reason}"))
            })?;
        Ok((
            code(Step::Matches(Box::new(own), Box::new(pattern)), at),
            Type::Bool,
        ))
    }

    fn each(
        &mut self,
        kind: EachKind,
        of: &Node,
        name: &Node,
        rest: &[Node],
        at: usize,
    ) -> Checked {
        let Kind::Name(local) = &name.kind else {
            let message =
                "the first argument is a name for each element: `list.all(each, each != \"\")`";
            return Err(Mistake::new(name.at, message));
        };
        let (range, of) = self.node(of)?;
        let element = match of {
            Type::List(of) | Type::Map(of, _) => *of,
            Type::Dyn => Type::Dyn,
            other => return Err(Mistake::new(at, format!("{other} has no elements"))),
        };
        self.locals.push((local.clone(), element.clone()));
        let outcome = self.body(kind, rest);
        self.locals.pop();
        let (test, result, of_result) = outcome?;
        let gives = match kind {
            EachKind::All | EachKind::Exists | EachKind::ExistsOne => Type::Bool,
            EachKind::Filter => Type::list(element),
            EachKind::Map => Type::list(of_result),
        };
        let each = Each {
            kind,
            range,
            test,
            result,
        };
        Ok((code(Step::Each(Box::new(each)), at), gives))
    }

    /// What is asked of each element, what becomes of it, and what that is.
    fn body(
        &mut self,
        kind: EachKind,
        rest: &[Node],
    ) -> Result<(Option<Code>, Option<Code>, Type), Mistake> {
        let (test, result) = match (kind, rest) {
            (EachKind::Map, [result]) => (None, Some(result)),
            (EachKind::Map, [test, result]) => (Some(test), Some(result)),
            (_, rest) => (rest.first(), None),
        };
        let test = match test {
            None => None,
            Some(test) => {
                let (own, kind) = self.node(test)?;
                if !kind.agrees(&Type::Bool) {
                    return Err(Mistake::new(
                        test.at,
                        format!("this is {kind}, and it must be true or false"),
                    ));
                }
                Some(own)
            }
        };
        Ok(match result {
            None => (test, None, Type::Dyn),
            Some(result) => {
                let (own, kind) = self.node(result)?;
                (test, Some(own), kind)
            }
        })
    }
}

/// The values of steps that are all known.
pub(crate) fn constants(steps: &[Code]) -> Option<Vec<Value<'static>>> {
    let each = steps.iter().map(|step| match &step.step {
        Step::Constant(value) => Some(value.clone()),
        _ => None,
    });
    each.collect()
}

fn no_function(name: &str, is_method: bool, kinds: &[Type], at: usize) -> Mistake {
    let ways: Vec<String> = functions::named(name, is_method)
        .map(|way| {
            let takes: Vec<Type> = way.takes.iter().map(|each| each.kind()).collect();
            match (is_method, takes.split_first()) {
                (true, Some((of, rest))) => format!("{of}.{name}({})", told(rest)),
                _ => format!("{name}({})", told(&takes)),
            }
        })
        .collect();
    if !ways.is_empty() {
        let message = format!(
            "`{name}` does not take {}; there is {}",
            told(kinds),
            ways.join(", ")
        );
        return Mistake::new(at, message);
    }
    if functions::named(name, !is_method).next().is_some() {
        let form = if is_method {
            format!("{name}(x)")
        } else {
            format!("x.{name}()")
        };
        return Mistake::new(at, format!("`{name}` is called otherwise: `{form}`"));
    }
    let message = match nearest(name, functions::names()) {
        Some(near) => format!("there is no function `{name}`; did you mean `{near}`?"),
        None => format!("there is no function `{name}`"),
    };
    Mistake::new(at, message)
}
