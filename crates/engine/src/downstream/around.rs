// SPDX-License-Identifier: Apache-2.0
//! What filters say in responses that report a failure on the way: who asked is to be able to read them.
use super::connection::Downstream;
use super::filters::begins;
use super::journey::Journey;
use super::record::Record;
use super::upload::UploadError;
use crate::decide;
use crate::snapshot::{FilterPlan, Filters};
use std::sync::Arc;
use tidegate_contract::{Exchange, Parameters};
use tidegate_core::ErrorKind;
use tidegate_request::{Fields, Request, Response};

/// The fields of those filters that take part in failures; `begun` is how many the request has come to.
///
/// What one waits for or answers is not heard: there is a failure to report already.
fn told(
    filters: &[Arc<FilterPlan>],
    begun: usize,
    exchange: &mut Exchange,
    status: u16,
) -> Option<Box<Fields>> {
    let method = exchange.request.method_kind();
    let mut response = Response::local(status, Fields::default(), 0, method);
    for (position, plan) in filters.iter().enumerate().rev() {
        if !plan.phases.failures || plan.shadow || exchange.left_out.contains(&position) {
            continue;
        }
        let condition = plan.condition.as_ref();
        let holds = match condition.filter(|own| own.is_late) {
            Some(late) => late.holds(exchange, Some(&response)).unwrap_or_default(),
            None => position < begun || begins(plan, exchange, position).unwrap_or_default(),
        };
        if holds {
            let _ = plan.filter.response(exchange, &mut response, position);
        }
    }
    let fields = std::mem::take(response.fields_mut());
    (fields.iter().count() > 0).then(|| Box::new(fields))
}

impl Downstream {
    /// Has the filters of an exchange that fails say what its response tells; the request has come to `begun`.
    pub(super) fn surround(
        &self,
        journey: &Journey<'_>,
        exchange: &mut Exchange,
        record: &mut Record,
        begun: usize,
        status: u16,
    ) {
        let mut filters = journey.filters.iter();
        if filters.any(|plan| plan.phases.failures) {
            record.around = told(&journey.filters, begun, exchange, status);
        }
    }

    /// The same of a request that fails before there is an exchange, by the filters of the listener and, where
    /// it has one, of its route.
    pub(super) fn surround_early(&self, record: &mut Record, request: &Request, status: u16) {
        let route = record.route.clone();
        let mut scopes = vec![&self.listener.filters];
        scopes.extend(route.as_ref().map(|route| &route.filters));
        if record.around.is_some() || !scopes.iter().any(|scope| scope.tell_failures()) {
            return;
        }
        let filters = Filters::chain(&scopes);
        let current = self.thread.current();
        let (address, port) = (self.peer.address(), self.peer.port());
        let settings = &current.snapshot.settings;
        let mut exchange = Exchange {
            client: decide::client(settings, address, port, self.is_trusted, request),
            request: request.clone(),
            listener: Some(self.listener.name.clone()),
            tls: record.entry.tls,
            certificate: record.certificate.clone(),
            identity: None,
            route: route.map_or_else(|| "".into(), |route| route.name.clone()),
            parameters: Parameters::default(),
            request_id: record.request_id.clone(),
            received: self.thread.clock.wall_micros(record.started) / 1_000_000,
            body: None,
            left_out: Vec::new(),
            would_answer: Vec::new(),
            kept: filters.iter().map(|_| None).collect(),
        };
        record.around = told(&filters, 0, &mut exchange, status);
    }

    /// Ends an exchange with an error response, when the request has come through all filters.
    pub(super) async fn fail_within(
        &mut self,
        journey: &Journey<'_>,
        exchange: &mut Exchange,
        record: &mut Record,
        kind: ErrorKind,
        detail: &'static str,
    ) -> bool {
        let count = journey.filters.len();
        self.surround(journey, exchange, record, count, kind.status());
        self.fail(record, &exchange.request, kind, detail, false)
            .await
    }

    /// Ends one whose body did not arrive, when the request has come to `begun` filters.
    pub(super) async fn fail_body(
        &mut self,
        journey: &Journey<'_>,
        exchange: &mut Exchange,
        record: &mut Record,
        begun: usize,
        error: UploadError,
    ) -> bool {
        if let UploadError::Refused(reject) = &error {
            self.surround(journey, exchange, record, begun, reject.status());
        }
        self.fail_upload(record, &exchange.request, error).await
    }
}
