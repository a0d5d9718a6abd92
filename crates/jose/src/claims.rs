// SPDX-License-Identifier: Apache-2.0
use crate::Refusal;
use serde_json::{Map, Value};

/// What a token must say.
#[derive(Clone, Debug, Default)]
pub struct Expected<'a> {
    /// Now, in seconds from 1970.
    pub now: u64,
    /// By how many seconds clocks may differ.
    pub skew: u64,
    /// Who must have issued it; anybody without.
    pub issuer: Option<&'a str>,
    /// Whom it must be for, one of them; anybody when empty.
    pub audiences: &'a [String],
}

/// The claims of a token, read with care for their types.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a>(pub &'a Map<String, Value>);

impl<'a> Claims<'a> {
    /// Judges the registered claims (RFC 7519 §4.1); returns when the token expires, in seconds from
    /// 1970, the skew included.
    ///
    /// `exp` must be there: a token that is good for ever cannot be taken back. `nbf` and `iat` may be.
    ///
    /// # Errors
    /// `Issuer`, `Audience`, `Expired`, `NotYet`; `Claim` for a time that is missing or no number, and
    /// for an audience or issuer of another type than RFC 7519 has it.
    pub fn check(self, expected: &Expected<'_>) -> Result<u64, Refusal> {
        if let Some(issuer) = expected.issuer
            && self.issuer()? != Some(issuer)
        {
            return Err(Refusal::Issuer);
        }
        if !expected.audiences.is_empty() && !self.is_for(expected.audiences)? {
            return Err(Refusal::Audience);
        }
        let (now, skew) = (expected.now as f64, expected.skew as f64);
        let expires = self.time("exp")?.ok_or(Refusal::Claim)? + skew;
        // "On or after" (§4.1.4).
        if now >= expires {
            return Err(Refusal::Expired);
        }
        if self.time("nbf")?.is_some_and(|begins| now + skew < begins) {
            return Err(Refusal::NotYet);
        }
        self.time("iat")?;
        // It lies ahead of now, so it is not negative; beyond the type it ends there.
        Ok(expires as u64)
    }

    /// Who issued it.
    ///
    /// # Errors
    /// `Claim` when it is no text.
    pub fn issuer(self) -> Result<Option<&'a str>, Refusal> {
        match self.0.get("iss") {
            None => Ok(None),
            Some(Value::String(issuer)) => Ok(Some(issuer)),
            Some(_) => Err(Refusal::Claim),
        }
    }

    /// A time in seconds from 1970, of any sign, with or without a fraction (RFC 7519 §2, NumericDate).
    fn time(self, name: &str) -> Result<Option<f64>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => number
                .as_f64()
                .filter(|seconds| seconds.is_finite())
                .map(Some)
                .ok_or(Refusal::Claim),
            Some(_) => Err(Refusal::Claim),
        }
    }

    /// `aud` is a text or a list of texts (§4.1.3).
    fn is_for(self, audiences: &[String]) -> Result<bool, Refusal> {
        let is_one = |value: &Value| audiences.iter().any(|each| value == each.as_str());
        match self.0.get("aud") {
            None => Ok(false),
            Some(value @ Value::String(_)) => Ok(is_one(value)),
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
                Ok(list.iter().any(is_one))
            }
            Some(_) => Err(Refusal::Claim),
        }
    }
}
