// SPDX-License-Identifier: Apache-2.0
use super::filters::run_response_filters;
use super::mapping::{map_back, may_need_mapping};
use super::pass_out::Passage;
use super::upload::Upload;
use crate::decide::{Mapping, Routed};
use crate::egress::Way;
use crate::files::Entry;
use crate::secure::Said;
use crate::snapshot::{BackendPlan, FilterPlan};
use crate::thread::Current;
use crate::web::Web;
use std::rc::Rc;
use std::sync::Arc;
use tidegate_contract::{Answer, Exchange};
use tidegate_core::ErrorKind;
use tidegate_request::{FieldId, Request, Response};

/// What belongs to one exchange while it is under way.
pub(crate) struct Journey<'a> {
    pub(crate) current: &'a Rc<Current>,
    pub(crate) routed: &'a Routed<'a>,
    pub(crate) backend: Option<&'a Arc<BackendPlan>>,
    pub(crate) mapping: Option<Mapping>,
    /// A file that goes before the backend, which there is none of then.
    pub(crate) file: Option<Arc<Entry>>,
    pub(crate) filters: Vec<Arc<FilterPlan>>,
    /// Whether the client's connection may serve another request after this one.
    pub(crate) keep_alive: bool,
    pub(crate) upload: Upload,
    /// What every response on the connection tells of the listener.
    pub(crate) said: Said,
    /// What a call has that pages may make.
    pub(crate) web: Option<Rc<Web>>,
    /// The leave that a forward proxy gave.
    pub(crate) passage: Option<Passage>,
}

impl Journey<'_> {
    /// What a rewrite took from the front of the path.
    pub(crate) fn prefix(&self) -> Option<&str> {
        let outer = self.mapping.as_ref().map(|mapping| mapping.outer.as_str());
        outer.filter(|outer| !outer.is_empty())
    }

    /// What we are called upstream; empty if that is not to be told.
    pub(crate) fn pseudonym(&self) -> &str {
        match &self.passage {
            Some(passage) => &passage.egress.pseudonym,
            None => &self.current.snapshot.settings.config.name,
        }
    }

    /// The addresses that a forward proxy may ask, where it asks no other proxy.
    pub(crate) fn way(&self) -> Option<&Way> {
        let passage = self.passage.as_ref();
        let direct = passage.filter(|passage| passage.parent.is_none());
        direct.map(|passage| &passage.way)
    }

    /// What the other proxy is shown that a forward proxy asks; empty if nothing.
    pub(crate) fn asks_parent(&self) -> Option<&str> {
        let parent = self.passage.as_ref()?.parent.as_ref()?;
        Some(&parent.authorization)
    }

    /// How it fails when the other proxy wants credentials: the client has none for it, and is not to look for
    /// some.
    pub(crate) fn refused_by_parent(&self, status: u16) -> Option<(ErrorKind, &'static str)> {
        let kind = ErrorKind::ProxyConfigurationError;
        let detail = "the parent proxy takes no such credentials";
        (status == 407 && self.asks_parent().is_some()).then_some((kind, detail))
    }

    /// Whether the connection to the endpoint may be kept for somebody else's request.
    ///
    /// With NTLM and Negotiate a server knows who asks by the connection (RFC 4559 §6): through a forward
    /// proxy the next one would ask in this one's name.
    pub(crate) fn keeps(&self, request: &Request, response: &Response) -> bool {
        let is_bound = |value: &[u8]| {
            let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
            scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
        };
        let mut shown = request.fields().get_all(FieldId::Authorization);
        let mut asked = response.fields().get_all(FieldId::WwwAuthenticate);
        let is_of_one = self.passage.is_some() && (shown.any(is_bound) || asked.any(is_bound));
        response.keep_alive() && !is_of_one
    }

    /// How much of a body is read before an endpoint is asked, where that is wanted.
    pub(crate) fn buffered(&self) -> Option<u64> {
        let wanted = self
            .routed
            .route
            .buffer_request
            .filter(|_| self.backend.is_some());
        wanted.map(|size| size.0)
    }

    /// Response filters and the way back through a rewrite.
    pub(crate) async fn way_back(
        &self,
        exchange: &mut Exchange,
        response: &mut Response,
    ) -> Option<Answer> {
        if let Some(backend) = self.backend {
            if !backend.config.pass_server {
                response.hide_product();
            }
            if may_need_mapping(response) {
                let list = backend.shared.list.load();
                map_back(response, &exchange.request, self.mapping.as_ref(), &list);
            }
        }
        let count = self.filters.len();
        let answer = run_response_filters(&self.filters, exchange, response, count).await;
        if answer.is_none() {
            if let Some(web) = &self.web {
                web.tell(response);
            }
            self.said.tell(response);
        }
        answer
    }
}
