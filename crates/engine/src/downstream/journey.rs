// SPDX-License-Identifier: Apache-2.0
use super::filters::run_response_filters;
use super::map_back;
use super::upload::Upload;
use crate::decide::{Mapping, Routed};
use crate::snapshot::{BackendPlan, FilterPlan};
use crate::thread::Current;
use std::rc::Rc;
use std::sync::Arc;
use tidegate_contract::{Answer, Exchange};
use tidegate_request::Response;

/// What belongs to one exchange while it is under way.
pub(crate) struct Journey<'a> {
    pub(crate) current: &'a Rc<Current>,
    pub(crate) routed: &'a Routed<'a>,
    pub(crate) backend: Option<&'a Arc<BackendPlan>>,
    pub(crate) mapping: Option<Mapping>,
    /// The authority the client asked for; empty without a rewrite.
    pub(crate) outer_host: String,
    pub(crate) filters: Vec<FilterPlan>,
    /// Whether the client's connection may serve another request after this one.
    pub(crate) keep_alive: bool,
    pub(crate) upload: Upload,
}

impl Journey<'_> {
    /// Response filters and the way back through a rewrite.
    pub(crate) async fn way_back(
        &self,
        exchange: &mut Exchange,
        response: &mut Response,
    ) -> Option<Answer> {
        if let Some(mapping) = &self.mapping {
            map_back(response, &exchange.request, mapping, &self.outer_host);
        }
        run_response_filters(&self.filters, exchange, response, self.filters.len()).await
    }
}
