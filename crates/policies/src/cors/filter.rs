// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use super::plan::{CorsPlan, Terms, Told};
use std::sync::Arc;
use tidegate_contract::{Exchange, Filter, Flow, Phases};
use tidegate_request::{Response, syntax};

/// Answers browsers that ask for pages of other sites, and tells pages what they may read.
#[derive(Clone, Debug)]
pub struct Cors {
    plan: Arc<CorsPlan>,
}

impl Cors {
    /// The filter for these settings.
    ///
    /// # Errors
    /// A text that may not stand in a message, or cookies for the pages of every site.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let Settings {
            origins,
            headers,
            exposed,
            credentials,
            max_age,
            methods,
        } = settings;
        let texts = [&origins, &headers, &exposed, &methods];
        for text in texts.into_iter().flatten() {
            if !syntax::is_field_value(text.as_bytes()) {
                return Err(format!("cors: `{}` is no field value", text.escape_debug()));
            }
        }
        if credentials && origins.iter().any(|origin| origin == "*") {
            return Err(
                "cors: with `credentials` browsers take no `*`; write the `origins` that may"
                    .into(),
            );
        }
        let terms = Terms {
            origins,
            methods,
            headers,
            exposed,
            credentials,
            max_age: max_age.0 / 1000,
        };
        Ok(Self {
            plan: Arc::new(CorsPlan::new(terms)),
        })
    }
}

impl Filter for Cors {
    fn phases(&self) -> Phases {
        Phases {
            request: true,
            response: true,
            failures: true,
            questions: true,
            ..Phases::default()
        }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange, position: usize) -> Flow<'a> {
        let request = &exchange.request;
        if let Some(answer) = self.plan.answered(request) {
            return Flow::Respond(Box::new(answer));
        }
        // Policies further in may take the field away.
        if request.fields().get_name(b"origin").is_some() {
            let told = self.plan.judge(request);
            if let Some(kept) = exchange.kept.get_mut(position) {
                *kept = Some(Box::new(told));
            }
        }
        Flow::Continue
    }

    fn response<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        response: &'a mut Response,
        position: usize,
    ) -> Flow<'a> {
        let kept = exchange.kept.get(position).and_then(Option::as_ref);
        match kept.and_then(|kept| kept.downcast_ref::<Told>()) {
            Some(told) => told.tell(response.fields_mut()),
            None => {
                let told = self.plan.judge(&exchange.request);
                told.tell(response.fields_mut());
            }
        }
        Flow::Continue
    }
}
