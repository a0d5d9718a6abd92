// SPDX-License-Identifier: Apache-2.0
use super::origin::is_listed_origin;
use std::sync::Arc;
use tidegate_contract::Answer;
use tidegate_request::{Fields, Method, Request};

/// What the answer to a question says alone.
const OF_QUESTIONS: [&[u8]; 3] = [
    b"Access-Control-Allow-Methods",
    b"Access-Control-Allow-Headers",
    b"Access-Control-Max-Age",
];
const ALLOW_ORIGIN: &[u8] = b"Access-Control-Allow-Origin";
const ALLOW_CREDENTIALS: &[u8] = b"Access-Control-Allow-Credentials";
const EXPOSE: &[u8] = b"Access-Control-Expose-Headers";

/// Which pages of other sites may ask, and what they may send and read.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// `https://name`, `https://*.name` for names below it, `*` for pages of every site.
    pub origins: Vec<String>,
    /// Of requests that they may make.
    pub methods: Vec<String>,
    /// Fields that they may send; with `*` among them whatever they ask for.
    pub headers: Vec<String>,
    /// Fields of responses that they may read.
    pub exposed: Vec<String>,
    /// Whether with the cookies and client certificates of the browser.
    pub credentials: bool,
    /// How long a browser need not ask again, in seconds.
    pub max_age: u64,
}

/// The terms as they are told.
#[derive(Debug)]
pub struct CorsPlan {
    origins: Vec<String>,
    /// Pages of every site.
    is_any: bool,
    has_credentials: bool,
    methods: String,
    /// `None` for whatever is asked for.
    headers: Option<String>,
    exposed: String,
    max_age: String,
}

impl CorsPlan {
    /// Makes texts of the terms.
    pub fn new(terms: Terms) -> Self {
        let every = terms.headers.iter().any(|name| name == "*");
        Self {
            is_any: terms.origins.iter().any(|origin| origin == "*"),
            origins: terms.origins,
            has_credentials: terms.credentials,
            methods: terms.methods.join(", "),
            // Of a `*` browsers leave out Authorization, and with credentials all.
            headers: (!every).then(|| terms.headers.join(", ")),
            exposed: terms.exposed.join(", "),
            max_age: terms.max_age.to_string(),
        }
    }

    /// What is told the page that a request comes from.
    pub fn judge(self: &Arc<Self>, request: &Request) -> Told {
        let mut given = request.fields().get_all_name(b"origin");
        let origin = given.next().filter(|_| given.next().is_none());
        let origin = origin.filter(|_| {
            self.is_any || is_listed_origin(&self.origins, request).unwrap_or_default()
        });
        Told {
            origin: origin.map(Into::into),
            plan: self.clone(),
        }
    }

    /// The answer to a browser that asks whether a page may ask; `None` for other requests.
    ///
    /// A page that may not is told nothing, which is how the Fetch standard (§3.2.3) says no.
    pub fn answered(self: &Arc<Self>, request: &Request) -> Option<Answer> {
        asked_method(request)?;
        let mut fields = Fields::default();
        let told = self.judge(request);
        if told.origin.is_some() {
            let asked = request.fields().get_name(b"access-control-request-headers");
            let headers = match &self.headers {
                Some(headers) => headers.as_bytes(),
                None => asked.unwrap_or_default(),
            };
            let values = [self.methods.as_bytes(), headers, self.max_age.as_bytes()];
            for (name, value) in OF_QUESTIONS.into_iter().zip(values) {
                if !value.is_empty() {
                    // There is room for a few.
                    let _ = fields.set(name, value);
                }
            }
        }
        told.say_origin(&mut fields);
        Some(Answer {
            status: 204,
            fields,
            body: Vec::new(),
            error: None,
        })
    }
}

/// The method that a browser asks about before it lets a page make a request; `None` for requests that are no
/// such question (a CORS-preflight request, Fetch §3.2.2).
pub fn asked_method(request: &Request) -> Option<&str> {
    if request.method_kind() != Method::Options {
        return None;
    }
    request.fields().get_name(b"origin")?;
    let asked = request
        .fields()
        .get_name(b"access-control-request-method")?;
    std::str::from_utf8(asked).ok()
}

/// What a response tells of it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Whose page may read it, if any may.
    origin: Option<Box<[u8]>>,
    plan: Arc<CorsPlan>,
}

impl Told {
    /// Says it, in the place of what an endpoint says.
    pub fn tell(&self, fields: &mut Fields) {
        for name in OF_QUESTIONS {
            fields.remove(name);
        }
        for name in [ALLOW_ORIGIN, ALLOW_CREDENTIALS, EXPOSE] {
            fields.remove(name);
        }
        self.say_origin(fields);
        if self.origin.is_some() && !self.plan.exposed.is_empty() {
            let _ = fields.set(EXPOSE, self.plan.exposed.as_bytes());
        }
    }

    fn say_origin(&self, fields: &mut Fields) {
        let plan = &self.plan;
        // Also where nothing is told: a cache would give that to a page which may read it (Fetch §3.2.5).
        if !plan.is_any {
            let varies = fields.get_all_name(b"vary").any(|value| {
                let mut names = value.split(|byte| *byte == b',');
                names.any(|name| {
                    let name = name.trim_ascii();
                    name == b"*" || name.eq_ignore_ascii_case(b"origin")
                })
            });
            if !varies {
                let _ = fields.append(b"Vary", b"Origin");
            }
        }
        let Some(origin) = &self.origin else {
            return;
        };
        let named: &[u8] = if plan.is_any { b"*" } else { origin };
        let _ = fields.set(ALLOW_ORIGIN, named);
        if plan.has_credentials {
            let _ = fields.set(ALLOW_CREDENTIALS, b"true");
        }
    }
}
