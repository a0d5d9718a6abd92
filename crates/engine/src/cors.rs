// SPDX-License-Identifier: Apache-2.0
//! Which pages of other sites may ask, and what they may send and read: CORS, as the Fetch standard has it.
use crate::snapshot::is_listed_origin;
use std::sync::Arc;
use tidegate_config::Cors;
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

/// The settings as they are told.
#[derive(Debug)]
pub(crate) struct CorsPlan {
    origins: Vec<String>,
    /// Pages of every site.
    is_any: bool,
    has_credentials: bool,
    methods: &'static str,
    headers: String,
    exposed: String,
    /// Seconds.
    max_age: String,
}

impl CorsPlan {
    /// For requests by `methods`, with `headers` and `exposed` besides those of the settings.
    pub(crate) fn build(
        config: Cors,
        methods: &'static str,
        headers: &[&str],
        exposed: &[&str],
    ) -> Self {
        let joined = |first: &[&str], more: &[String]| {
            let more = more.iter().map(String::as_str);
            let all: Vec<&str> = first.iter().copied().chain(more).collect();
            all.join(", ")
        };
        Self {
            is_any: config.origins.iter().any(|origin| origin == "*"),
            origins: config.origins,
            has_credentials: config.credentials,
            methods,
            headers: joined(headers, &config.headers),
            exposed: joined(exposed, &config.exposed),
            max_age: (config.max_age.0 / 1000).to_string(),
        }
    }

    /// What is told the page that a request comes from.
    pub(crate) fn judge(self: &Arc<Self>, request: &Request) -> Told {
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

    /// The answer to a browser that asks whether a page may ask (a preflight); `None` for other requests.
    pub(crate) fn answered(self: &Arc<Self>, request: &Request) -> Option<Answer> {
        let fields = request.fields();
        let is_question = request.method_kind() == Method::Options
            && fields.get_name(b"origin").is_some()
            && fields.get_name(b"access-control-request-method").is_some();
        if !is_question {
            return None;
        }
        let mut fields = Fields::default();
        let told = self.judge(request);
        if told.origin.is_some() {
            let values = [self.methods, &self.headers, &self.max_age];
            for (name, value) in OF_QUESTIONS.into_iter().zip(values) {
                // There is room for a few.
                let _ = fields.set(name, value.as_bytes());
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

/// What a response tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Whose page may read it, if any may.
    origin: Option<Box<[u8]>>,
    plan: Arc<CorsPlan>,
}

impl Told {
    /// Says it, in the place of what an endpoint says.
    pub(crate) fn tell(&self, fields: &mut Fields) {
        for name in OF_QUESTIONS {
            fields.remove(name);
        }
        for name in [ALLOW_ORIGIN, ALLOW_CREDENTIALS, EXPOSE] {
            fields.remove(name);
        }
        self.say_origin(fields);
        if self.origin.is_some() {
            let _ = fields.set(EXPOSE, self.plan.exposed.as_bytes());
        }
    }

    fn say_origin(&self, fields: &mut Fields) {
        let plan = &self.plan;
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
