// SPDX-License-Identifier: Apache-2.0
use crate::encoded;
use crate::regular::{self, Pattern};
use tidegate_config::{FieldMatch, FieldMatchKind, Text};

/// What a route asks of one header field, query parameter or cookie.
#[derive(Clone, Debug)]
pub(crate) struct FieldMatcher {
    /// As written in the configuration.
    pub(crate) name: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Present,
    Exact(Text),
    Regex(Box<Pattern>),
}

/// Why a field does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// It is not there.
    Absent,
    /// It is there several times.
    Repeated,
    /// It has another value.
    Differs,
}

/// How values are spelled in the request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// As they are.
    Plain,
    /// With `+` and `%` escapes, as in a query.
    Encoded,
}

impl FieldMatcher {
    /// Reads what a route asks.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub(crate) fn compile(field: &FieldMatch) -> Result<Self, String> {
        if field.name.is_empty() {
            return Err("the name is empty; write the name to look for".into());
        }
        let test = match field.kind {
            FieldMatchKind::Present => Test::Present,
            FieldMatchKind::Exact => Test::Exact(field.value.clone()),
            FieldMatchKind::Regex => Test::Regex(Box::new(regular::compile(field.value.reveal())?)),
        };
        Ok(Self {
            name: field.name.clone(),
            test,
        })
    }

    /// Judges all values that the request has under the name.
    ///
    /// A value is compared only if it is the only one: of two, the origin server may read the
    /// other one, and the request would have slipped past the route that was meant to judge it.
    pub(crate) fn judge<'v>(
        &self,
        mut values: impl Iterator<Item = &'v [u8]>,
        spelling: Spelling,
    ) -> Result<(), Misfit> {
        let value = values.next().ok_or(Misfit::Absent)?;
        if matches!(self.test, Test::Present) {
            return Ok(());
        }
        if values.next().is_some() {
            return Err(Misfit::Repeated);
        }
        if self.fits(value, spelling) {
            Ok(())
        } else {
            Err(Misfit::Differs)
        }
    }

    fn fits(&self, value: &[u8], spelling: Spelling) -> bool {
        match (&self.test, spelling) {
            (Test::Present, _) => true,
            (Test::Exact(wanted), Spelling::Plain) => wanted.is(value),
            (Test::Exact(wanted), Spelling::Encoded) if wanted.is_secret() => {
                wanted.is(&encoded::decode(value))
            }
            (Test::Exact(wanted), Spelling::Encoded) => {
                encoded::equals(value, wanted.reveal().as_bytes())
            }
            (Test::Regex(regex), Spelling::Plain) => regex.is_match(value),
            (Test::Regex(regex), Spelling::Encoded) => regex.is_match(&encoded::decode(value)),
        }
    }
}
