// SPDX-License-Identifier: Apache-2.0
//! One request from its head to the last byte of its response.
use super::connection::Downstream;
use super::internal;
use super::journey::Journey;
use super::receive::{goes_in_circles, head_limits, is_request_id};
use super::record::Record;
use super::reply::fixed_answer;
use super::trace;
use super::upload::{Upload, UploadError};
use crate::decide::{self, Routed};
use crate::files;
use crate::functions;
use crate::pages;
use crate::snapshot::{BackendPlan, FilterPlan, Filters, TargetPlan};
use crate::thread::{Current, LARGE};
use crate::upstream::{self, Outcome};
use std::rc::Rc;
use std::sync::Arc;
use tidegate_config::BackendProtocol;
use tidegate_contract::{Client, Exchange};
use tidegate_core::{ErrorKind, Moment};
use tidegate_request::{FieldId, Framing, Method, Request};
use tidegate_routing::Ends;
use tidegate_telemetry::LogEntry;

impl Downstream {
    /// Serves a request that was read.
    pub(super) async fn serve(
        &mut self,
        current: &Rc<Current>,
        index: usize,
        mut request: Request,
        started: Moment,
    ) -> bool {
        let client = decide::client(
            &current.snapshot.settings,
            self.peer.address(),
            self.peer.port(),
            self.is_trusted,
            &request,
        );
        let mut record = Record::new(LogEntry::new(client.address), started);
        self.note_tls(&mut record);
        match request
            .fields()
            .get(FieldId::XRequestId)
            .filter(|id| is_request_id(id))
        {
            // Only a trusted peer's is still there: the request keeps its name along the chain.
            Some(given) => record.request_id.push_str(&String::from_utf8_lossy(given)),
            None => self.thread.request_id(&mut record.request_id),
        }
        // Other people's servers are told nothing of it.
        if self.listener.egress.is_none() {
            record.trace = trace::begin(&mut request, current, &self.thread.draw);
        }
        let (keep, request) = self
            .carry_out(current, index, request, client, &mut record)
            .await;
        if let Some(switched) = &mut self.switched {
            switched.tells_of(request, record, current);
            return false;
        }
        // A client that asked for the close sends nothing more, and nothing it sent is unread.
        let is_over = !request.keep_alive() && !record.has_unread && self.buffer.is_empty();
        let name = self.listener.name.clone();
        record.finish(&self.thread, &name, current, Some(&request));
        self.thread.give_storage(Some(request.into_storage()));
        if !keep && !is_over {
            self.linger().await;
        }
        keep
    }

    /// Routes the request and sees it through. Returns the request for its account.
    async fn carry_out(
        &mut self,
        current: &Rc<Current>,
        index: usize,
        mut request: Request,
        client: Client,
        record: &mut Record,
    ) -> (bool, Request) {
        let keep_alive = request.keep_alive() && !self.thread.is_draining.get();
        if goes_in_circles(&request) {
            let keep = self.fail(
                record,
                &request,
                ErrorKind::ProxyLoopDetected,
                "too many Via",
                keep_alive,
            );
            return (keep.await, request);
        }
        // Before any route and whatever a route would say: the authority asks for a name, not for a site.
        if let Some(answer) = self.proof(&request) {
            let keep = self.turn_away(record, &request, answer, keep_alive);
            return (keep.await, request);
        }
        let snapshot = &current.snapshot;
        if let Err(reject) = self.identify(snapshot, &mut request, record) {
            // It may be served on a connection of its own.
            let keep = self.fail(record, &request, reject.kind, reject.detail, false);
            return (keep.await, request);
        }
        let ends = Ends {
            client: client.address,
            local: self.local_address(snapshot),
        };
        let egress = self.listener.egress.clone();
        let egress = egress.filter(|_| request.is_proxied());
        let routed = match &egress {
            Some(egress) => egress.route(snapshot).map(Routed::whole),
            None => decide::route(snapshot, index, &request, ends)
                .filter(|routed| self.listener.serves(routed.route)),
        };
        let Some(routed) = routed else {
            let keep = self.unrouted(record, &request, keep_alive).await;
            return (keep, request);
        };
        record.route = Some(routed.route.clone());
        let mut passage = None;
        if let Some(egress) = &egress {
            let judged = self.let_out(egress, snapshot, &mut request, record, keep_alive);
            // On the heap: looking up names takes 20 KiB, and every request would have room for that.
            match Box::pin(judged).await {
                Ok(given) => passage = Some(given),
                Err(keep) => return (keep, request),
            }
        }
        let mut web = None;
        if let Some(plan) = &routed.route.web {
            web = Some(plan.begin(&mut request));
            record.web.clone_from(&web);
        }
        if let Some(reject) = routed.route.refuses(&request, client.address) {
            let keep = self.fail(record, &request, reject.kind, reject.detail, keep_alive);
            return (keep.await, request);
        }
        let question = routed.route.web.as_ref();
        if let Some(answer) = question.and_then(|plan| plan.answered(&request)) {
            record.web = None;
            let keep = self.turn_away(record, &request, answer, keep_alive);
            return (keep.await, request);
        }
        // Before anything is asked or read.
        let (route, listener) = (routed.route, &self.listener);
        let id = &record.request_id;
        if let Some(answer) =
            pages::maintenance_answer(route, listener, client.address, &request, id)
        {
            let keep = self.keep_out(record, &request, answer, keep_alive);
            return (keep.await, request);
        }
        let heads = head_limits(&self.listener.config.limits);
        let limit = routed
            .route
            .body_size
            .unwrap_or(self.listener.config.limits.body_size)
            .0;
        let mut upload = Upload::new(
            &self.stream,
            request.framing(),
            limit,
            &heads,
            record.started,
        );
        let call = web.as_ref().and_then(|web| web.call);
        upload.web = call.map(|call| Box::new(call.incoming()));
        if upload.is_too_long() {
            let keep = self.fail(
                record,
                &request,
                ErrorKind::RequestBodySize,
                "the body is too large",
                false,
            );
            return (keep.await, request);
        }
        // Read and not yet sent on.
        if !upload.is_done && !self.take_memory(0, 2 * LARGE) {
            let kind = ErrorKind::MemoryLimitReached;
            let keep = self.fail(record, &request, kind, "no memory for the body", false);
            return (keep.await, request);
        }
        // By the path as the client wrote it, before it is rewritten for an endpoint.
        let file = match &route.try_files {
            Some(plan) => files::tried(&self.thread, plan, &request, routed.prefix_len).await,
            None => Ok(None),
        };
        let file = match file {
            Ok(file) => file,
            Err((kind, why)) => {
                let keep = self.fail(record, &request, kind, why, keep_alive);
                return (keep.await, request);
            }
        };
        let mapping = match file {
            Some(_) => Ok(None),
            None => decide::rewrite(&routed, &mut request),
        };
        let mapping = match mapping {
            Ok(mapping) => mapping,
            Err(reject) => {
                let keep = self.fail(record, &request, reject.kind, reject.detail, keep_alive);
                return (keep.await, request);
            }
        };
        if pages::is_any(routed.route, &self.listener) {
            record.shown_id.clone_from(&record.request_id);
        }
        let parent = passage.as_ref().and_then(|given| given.parent.as_ref());
        let backend = match (&file, parent) {
            (Some(_), _) => None,
            (None, Some(parent)) => parent.backend(snapshot),
            (None, None) => {
                decide::backend(snapshot, routed.route, &mut self.thread.draw.borrow_mut())
            }
        };
        let mut journey = Journey {
            current,
            routed: &routed,
            backend,
            mapping,
            file,
            filters: self.filters(&routed, backend),
            keep_alive,
            upload,
            said: self.said(),
            web,
            passage,
        };
        let mut exchange = Exchange {
            request,
            client,
            listener: (!journey.filters.is_empty()).then(|| self.listener.name.clone()),
            tls: record.entry.tls,
            certificate: record.certificate.clone(),
            identity: None,
            route: routed.route.name.clone(),
            parameters: routed.parameters.clone(),
            request_id: std::mem::take(&mut record.request_id),
            received: self.thread.clock.wall_micros(record.started) / 1_000_000,
            body: None,
            left_out: Vec::new(),
            would_answer: Vec::new(),
            kept: journey.filters.iter().map(|_| None).collect(),
        };
        self.pace(journey.passage.as_ref());
        let keep = self.travel(&mut journey, &mut exchange, record).await;
        record.entry.bytes_in += journey.upload.received;
        match &mut self.switched {
            Some(switched) => switched.keep(journey.passage.take(), exchange.kept),
            None => self.has_passed(journey.passage.as_ref(), record),
        }
        record.request_id = exchange.request_id;
        record.would_answer = exchange.would_answer;
        if let Some(identity) = &exchange.identity {
            record.user = Some(identity.subject.as_str().into());
        }
        record.has_unread = !journey.upload.is_done;
        (keep, exchange.request)
    }

    /// The filters of this exchange, outermost first.
    fn filters(
        &self,
        routed: &Routed<'_>,
        backend: Option<&Arc<BackendPlan>>,
    ) -> Vec<Arc<FilterPlan>> {
        let (listener, route) = (&self.listener.filters, &routed.route.filters);
        match backend {
            Some(backend) => Filters::chain(&[listener, route, &backend.filters]),
            None => Filters::chain(&[listener, route]),
        }
    }

    /// Ends the exchange with an error response.
    pub(crate) async fn fail(
        &mut self,
        record: &mut Record,
        request: &Request,
        kind: ErrorKind,
        detail: &'static str,
        keep_alive: bool,
    ) -> bool {
        record.fail_with(kind, detail);
        self.surround_early(record, request, kind.status());
        // A body that nobody reads would be taken for the next request.
        let has_body = request.framing() != Framing::None;
        let is_head = request.method_kind() == Method::Head;
        self.reply_error(
            record,
            kind,
            keep_alive && !has_body,
            is_head,
            Some(request),
        )
        .await
    }

    /// Filters, then the answer from here or from an endpoint.
    async fn travel(
        &mut self,
        journey: &mut Journey<'_>,
        exchange: &mut Exchange,
        record: &mut Record,
    ) -> bool {
        // Whoever gives up what was just asked makes no work for filters and endpoints.
        if self.stream.is_given_up() {
            let gone = UploadError::Gone;
            return self.fail_upload(record, &exchange.request, gone).await;
        }
        if let Some(keep) = self.pass_filters(journey, exchange, record).await {
            return keep;
        }
        if journey.routed.is_question {
            let (kind, detail) = (
                ErrorKind::DestinationNotFound,
                "no route takes OPTIONS, and no policy has answered for it",
            );
            return self
                .fail_within(journey, exchange, record, kind, detail)
                .await;
        }
        if journey.backend.is_none() && self.is_tunnel(&exchange.request) {
            let (kind, detail) = (
                ErrorKind::HttpUpgradeFailed,
                "nothing here switches protocols",
            );
            return self
                .fail_within(journey, exchange, record, kind, detail)
                .await;
        }
        if let (Some(entry), Some(plan)) = (journey.file.take(), &journey.routed.route.try_files) {
            return files::send_found(self, journey, exchange, record, plan, &entry, None).await;
        }
        if let TargetPlan::Respond(respond) = &journey.routed.route.to
            && respond.body.len() > LARGE
            && !self.take_memory(0, 2 * respond.body.len())
        {
            let kind = ErrorKind::MemoryLimitReached;
            let detail = "no memory for the response";
            return self
                .fail_within(journey, exchange, record, kind, detail)
                .await;
        }
        let fixed = match &journey.routed.route.to {
            TargetPlan::Files(plan) => {
                return files::serve(self, journey, exchange, record, plan).await;
            }
            TargetPlan::Internal(page) => Some(internal::page(
                &self.thread.node,
                &journey.current.snapshot,
                *page,
            )),
            _ => fixed_answer(journey.routed.route, &exchange.request),
        };
        if let Some(answer) = fixed {
            let count = journey.filters.len();
            return self.answer(journey, exchange, record, answer, count).await;
        }
        let Some(backend) = journey.backend else {
            let kind = ErrorKind::ProxyConfigurationError;
            return self
                .fail_within(journey, exchange, record, kind, "no backend")
                .await;
        };
        record.backend = Some(backend.name.clone());
        let outcome = match (&journey.passage, backend.config.protocol) {
            (Some(passage), _) if exchange.request.method_kind() == Method::Connect => {
                self.tunnel_out(journey, exchange, passage, backend, record)
                    .await
            }
            (_, BackendProtocol::Http) => {
                upstream::forward(self, journey, exchange, backend, record).await
            }
            (_, BackendProtocol::Function) => {
                functions::forward(self, journey, exchange, backend, record).await
            }
        };
        match outcome {
            Outcome::Finished { keep_alive } => keep_alive,
            Outcome::Switched(switched) => {
                self.switched = Some(switched);
                false
            }
            Outcome::Failed { kind, detail } => {
                let keep = journey.keep_alive && journey.upload.is_done;
                let is_head = exchange.request.method_kind() == Method::Head;
                record.fail_with(kind, detail);
                let count = journey.filters.len();
                self.surround(journey, exchange, record, count, kind.status());
                let request = Some(&exchange.request);
                self.reply_error(record, kind, keep, is_head, request).await
            }
            Outcome::Upload(error) => {
                let count = journey.filters.len();
                self.fail_body(journey, exchange, record, count, error)
                    .await
            }
            Outcome::Broken => false,
        }
    }

    /// A body that did not arrive: a response if the client can still take one.
    pub(super) async fn fail_upload(
        &mut self,
        record: &mut Record,
        request: &Request,
        error: UploadError,
    ) -> bool {
        match error {
            UploadError::Gone => {
                record.client_left();
                false
            }
            UploadError::Refused(reject) => {
                self.fail(record, request, reject.kind, reject.detail, false)
                    .await
            }
        }
    }
}
