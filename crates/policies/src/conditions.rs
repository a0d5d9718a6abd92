// SPDX-License-Identifier: Apache-2.0
//! Conditions of policies: the names that their expressions may use, and what these are of an exchange.
use std::borrow::Cow;
use std::sync::LazyLock;
use tidegate_contract::{Exchange, Identity};
use tidegate_expression::{
    Environment, Expression, Fault, Fields, Timestamp, Type, Value, Variables,
};
use tidegate_request::{Request, Response};
use tidegate_routing::decoded_query;

/// One variable: its name, its type, and whether it is there only with a response.
type Name = (&'static str, fn() -> Type, bool);

fn texts() -> Type {
    Type::map(Type::Text)
}

/// In the order that [`Given::get`] knows them by.
static NAMES: [Name; 24] = [
    ("request.method", || Type::Text, false),
    ("request.path", || Type::Text, false),
    ("request.query", texts, false),
    ("request.headers", texts, false),
    ("request.cookies", texts, false),
    ("request.host", || Type::Text, false),
    ("request.scheme", || Type::Text, false),
    ("request.id", || Type::Text, false),
    ("client.address", || Type::Address, false),
    ("client.is_trusted_proxy", || Type::Bool, false),
    ("connection.peer", || Type::Address, false),
    ("route.name", || Type::Text, false),
    ("route.parameters", texts, false),
    ("now", || Type::Timestamp, false),
    ("response.status", || Type::Int, true),
    ("response.headers", texts, true),
    ("identity.subject", || Type::Text, false),
    ("identity.scheme", || Type::Text, false),
    ("identity.issuer", || Type::Text, false),
    ("identity.roles", || Type::list(Type::Text), false),
    ("identity.scopes", || Type::list(Type::Text), false),
    ("identity.claims", || Type::map(Type::Dyn), false),
    ("connection.listener", || Type::Text, false),
    ("connection.tls_version", || Type::Text, false),
];

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    Environment::new(
        NAMES
            .iter()
            .map(|(name, kind, _)| ((*name).to_owned(), kind())),
    )
});

static NO_CLAIMS: LazyLock<serde_json::Value> = LazyLock::new(|| serde_json::json!({}));

/// What decides whether a policy is for an exchange.
#[derive(Debug)]
pub struct Condition {
    expression: Expression,
    /// It asks about the response.
    pub is_late: bool,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it, where, and what to write instead.
    pub fn new(text: &str) -> Result<Self, String> {
        let expression =
            Expression::condition(text, &ENVIRONMENT).map_err(|mistake| mistake.to_string())?;
        let mut uses = expression.uses().iter();
        let is_late = uses.any(|place| {
            let name = NAMES.get(usize::from(*place));
            name.is_some_and(|(_, _, is_late)| *is_late)
        });
        Ok(Self {
            expression,
            is_late,
        })
    }

    /// Reads a condition on requests.
    ///
    /// # Errors
    /// As [`Condition::new`], and that it asks about the response.
    pub fn of_requests(text: &str) -> Result<Self, String> {
        let condition = Self::new(text)?;
        match condition.is_late {
            true => Err("asks about the response, which is not there yet".into()),
            false => Ok(condition),
        }
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn holds(&self, exchange: &Exchange, response: Option<&Response>) -> Result<bool, Fault> {
        let request = &exchange.request;
        self.expression.is_true(&Given {
            exchange,
            response: response.map(|response| (response, Headers(response.fields()))),
            headers: Headers(request.fields()),
            query: Query(request),
            cookies: Cookies(request),
            parameters: Pairs(&exchange.parameters),
        })
    }
}

/// What the variables are of one exchange.
struct Given<'a> {
    exchange: &'a Exchange,
    response: Option<(&'a Response, Headers<'a>)>,
    headers: Headers<'a>,
    query: Query<'a>,
    cookies: Cookies<'a>,
    parameters: Pairs<'a>,
}

impl Variables for Given<'_> {
    fn get(&self, variable: u16) -> Value<'_> {
        let (exchange, request) = (self.exchange, &self.exchange.request);
        match variable {
            0 => Value::text(request.method()),
            1 => Value::text(request.path()),
            2 => Value::Fields(&self.query),
            3 => Value::Fields(&self.headers),
            4 => Value::Fields(&self.cookies),
            5 => Value::text(request.host().unwrap_or_default()),
            6 => Value::text(request.scheme()),
            7 => Value::text(&exchange.request_id),
            8 => Value::Address(exchange.client.address.to_canonical()),
            9 => Value::Bool(exchange.client.is_trusted),
            10 => Value::Address(exchange.client.peer.to_canonical()),
            11 => Value::text(&exchange.route),
            12 => Value::Fields(&self.parameters),
            13 => {
                let now = i64::try_from(exchange.received).ok();
                let now = now.and_then(|now| Timestamp::new(now, 0));
                now.map_or(Value::Null, Value::Timestamp)
            }
            14 => match &self.response {
                Some((response, _)) => Value::Int(response.status().into()),
                None => Value::Null,
            },
            15 => match &self.response {
                Some((_, headers)) => Value::Fields(headers),
                None => Value::Null,
            },
            16 => self.said(|identity| &identity.subject),
            17 => self.said(|identity| identity.scheme),
            18 => self.said(|identity| &identity.issuer),
            19 => self.list(|identity| &identity.roles),
            20 => self.list(|identity| &identity.scopes),
            21 => match &self.exchange.identity {
                Some(identity) => Value::Json(identity.claims()),
                None => Value::Json(&NO_CLAIMS),
            },
            22 => Value::text(exchange.listener.as_deref().unwrap_or_default()),
            23 => Value::text(exchange.tls),
            _ => Value::Null,
        }
    }
}

impl Given<'_> {
    /// A text about who calls; empty where that is not known.
    fn said(&self, which: impl Fn(&Identity) -> &str) -> Value<'_> {
        let identity = self.exchange.identity.as_deref();
        Value::text(identity.map(which).unwrap_or_default())
    }

    /// A list about who calls; empty where that is not known.
    fn list(&self, which: impl Fn(&Identity) -> &[String]) -> Value<'_> {
        let identity = self.exchange.identity.as_deref();
        let texts = identity.map(which).unwrap_or_default();
        Value::List(texts.iter().map(|text| Value::text(text)).collect())
    }
}

/// Fields of a message. What stands in several is one list (RFC 9110 §5.3).
struct Headers<'a>(&'a tidegate_request::Fields);

impl Fields for Headers<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut values = self.0.get_all_name(name.as_bytes());
        let first = String::from_utf8_lossy(values.next()?);
        let Some(second) = values.next() else {
            return Some(first);
        };
        let mut all = first.into_owned();
        for value in std::iter::once(second).chain(values) {
            all.push_str(", ");
            all.push_str(&String::from_utf8_lossy(value));
        }
        Some(Cow::Owned(all))
    }

    fn names(&self) -> Vec<Cow<'_, str>> {
        let mut names: Vec<String> = self
            .0
            .iter()
            .map(|field| String::from_utf8_lossy(field.name).to_ascii_lowercase())
            .collect();
        names.sort();
        names.dedup();
        names.into_iter().map(Cow::Owned).collect()
    }
}

/// Parameters of a query, as web forms write them; the first of a name.
struct Query<'a>(&'a Request);

impl Fields for Query<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut pairs = self.0.query_pairs();
        let (_, value) = pairs.find(|(own, _)| *decoded_query(own) == *name.as_bytes())?;
        let value = decoded_query(value);
        Some(Cow::Owned(String::from_utf8_lossy(&value).into_owned()))
    }

    fn names(&self) -> Vec<Cow<'_, str>> {
        let names = self.0.query_pairs().map(|(own, _)| decoded_query(own));
        names
            .map(|own| Cow::Owned(String::from_utf8_lossy(&own).into_owned()))
            .collect()
    }
}

/// Cookies; the first of a name.
struct Cookies<'a>(&'a Request);

impl Fields for Cookies<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut cookies = self.0.cookies();
        let (_, value) = cookies.find(|(own, _)| *own == name.as_bytes())?;
        Some(String::from_utf8_lossy(value))
    }

    fn names(&self) -> Vec<Cow<'_, str>> {
        let names = self.0.cookies().map(|(own, _)| own);
        names.map(String::from_utf8_lossy).collect()
    }
}

/// What a template's parameters matched.
struct Pairs<'a>(&'a [(String, String)]);

impl Fields for Pairs<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.0.iter().find(|(own, _)| own == name)?;
        Some(Cow::Borrowed(value))
    }

    fn names(&self) -> Vec<Cow<'_, str>> {
        self.0
            .iter()
            .map(|(own, _)| Cow::Borrowed(own.as_str()))
            .collect()
    }
}

/// What is wrong with a condition; `None` when nothing is. One of requests has no response to ask about.
pub fn condition_problem(text: &str, of_requests: bool) -> Option<String> {
    match of_requests {
        true => Condition::of_requests(text).err(),
        false => Condition::new(text).err(),
    }
}
