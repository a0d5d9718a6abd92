// SPDX-License-Identifier: Apache-2.0
//! Responses made here: refusals, redirects, fixed texts, answers of policies.
use super::connection::{Downstream, Stalled};
use super::filters::run_response_filters;
use super::journey::Journey;
use super::record::Record;
use crate::grpc;
use crate::pages;
use crate::secure;
use crate::snapshot::{RoutePlan, TargetPlan};
use crate::thread::LARGE;
use tidegate_config::{Redirect, Respond};
use tidegate_contract::{Answer, Exchange};
use tidegate_core::ErrorKind;
use tidegate_http::{ResponseContext, error_answer, problem, write_error};
use tidegate_request::{
    FieldId, Fields, Framing, Method, Reject, Request, Response, ResponseFraming, Version,
};
use tidegate_telemetry::LogEntry;

impl Downstream {
    /// Answers what was never a request, logs it, and gets ready to close.
    pub(crate) async fn refuse(&mut self, reject: &Reject, is_head: bool) {
        let current = self.thread.current();
        let mut record = Record::new(LogEntry::new(self.peer.address()), self.thread.now());
        record.fail(reject);
        self.note_tls(&mut record);
        self.thread.request_id(&mut record.request_id);
        self.reply_error(&mut record, reject.kind, false, is_head, None)
            .await;
        record.finish(&self.thread, &self.listener.name.clone(), &current, None);
        self.linger().await;
    }

    /// Writes an error response, the configured page for it if there is one; returns whether the
    /// connection may go on. Without a request none was understood.
    pub(crate) async fn reply_error(
        &mut self,
        record: &mut Record,
        kind: ErrorKind,
        keep_alive: bool,
        head_only: bool,
        request: Option<&Request>,
    ) -> bool {
        let status = self.proxy_status(kind);
        if let Some(request) = request.filter(|request| grpc::is_call(request.fields())) {
            let mut answer = grpc::refusal(kind);
            if let Some(status) = &status {
                let _ = answer.fields.append(b"Proxy-Status", status.as_bytes());
            }
            let asked = Asked::of(request);
            let sent = self.write_answer(record, asked, answer, keep_alive).await;
            return keep_alive && sent.is_ok();
        }
        let page = self.page(record, kind.status(), request);
        if page.is_some() || record.around.is_some() || self.stream.stream().is_some() {
            let (mut fields, mut body) = error_answer(kind, status.as_deref());
            let mut status = kind.status();
            if let Some((status_code, content_type, text)) = page {
                let _ = fields.set(b"Content-Type", content_type.as_bytes());
                (status, body) = (status_code, text);
            }
            let asked = Asked {
                method: if head_only { Method::Head } else { Method::Get },
                version: request.map_or(Version::Http11, Request::version),
                is_call: false,
            };
            let answer = Answer {
                status,
                fields,
                body,
                error: None,
            };
            let sent = self.write_answer(record, asked, answer, keep_alive).await;
            return keep_alive && sent.is_ok();
        }
        let mut out = self.thread.buffers.take_output();
        write_error(
            &mut out,
            kind,
            keep_alive,
            head_only,
            status.as_deref(),
            self.hsts().as_deref(),
            self.thread.date(),
        );
        record.entry.status = kind.status();
        let sent = self.write_all(&out).await;
        self.thread.buffers.give_output(out);
        keep_alive && sent.is_ok()
    }

    /// Status, content type and text of the page for a failure.
    fn page(
        &self,
        record: &Record,
        status: u16,
        request: Option<&Request>,
    ) -> Option<(u16, String, Vec<u8>)> {
        let page = pages::page_for(record.route.as_deref(), &self.listener, status, true)?;
        let id = match record.request_id.is_empty() {
            true => &record.shown_id,
            false => &record.request_id,
        };
        let (content_type, body) = page.forms.fill(request, status, id)?;
        Some((page.status.unwrap_or(status), content_type.to_owned(), body))
    }

    /// Answers a request for something that is in maintenance; returns whether the connection may go
    /// on.
    pub(crate) async fn keep_out(
        &mut self,
        record: &mut Record,
        request: &Request,
        mut answer: Answer,
        keep_alive: bool,
    ) -> bool {
        record.fail_with(ErrorKind::Maintenance, "in maintenance");
        if let Some(value) = self.proxy_status(ErrorKind::Maintenance) {
            let _ = answer.fields.append(b"Proxy-Status", value.as_bytes());
        }
        self.surround_early(record, request, answer.status);
        self.turn_away(record, request, answer, keep_alive).await
    }

    /// Answers a request that no route takes; returns whether the connection may go on.
    pub(crate) async fn unrouted(
        &mut self,
        record: &mut Record,
        request: &Request,
        keep_alive: bool,
    ) -> bool {
        match secure::redirected(&self.listener, request) {
            Some(Ok(answer)) => self.turn_away(record, request, answer, keep_alive).await,
            Some(Err(reject)) => {
                self.fail(record, request, reject.kind, reject.detail, keep_alive)
                    .await
            }
            None if self.listener.egress.is_some() => {
                let answer = super::pass_out::no_site();
                self.turn_away(record, request, answer, keep_alive).await
            }
            None => {
                let kind = ErrorKind::DestinationNotFound;
                self.fail(record, request, kind, "no route", keep_alive)
                    .await
            }
        }
    }

    /// Answers a request whose body nobody reads.
    pub(super) async fn turn_away(
        &mut self,
        record: &mut Record,
        request: &Request,
        answer: Answer,
        keep_alive: bool,
    ) -> bool {
        // It would be taken for the next request.
        let keep = keep_alive && request.framing() == Framing::None;
        self.reply(record, request, answer, keep).await.is_ok() && keep
    }

    /// What `Proxy-Status` says of a failure (RFC 9209 §2), where it is to be told.
    fn proxy_status(&self, kind: ErrorKind) -> Option<String> {
        self.listener.config.proxy_status.then(|| {
            let name = &self.thread.current().snapshot.settings.config.name;
            format!("{name}; error={}", kind.name())
        })
    }

    /// Sends a response made here, through the response filters that stand before `position`.
    pub(crate) async fn answer(
        &mut self,
        journey: &mut Journey<'_>,
        exchange: &mut Exchange,
        record: &mut Record,
        answer: Answer,
        position: usize,
    ) -> bool {
        let keep = journey.keep_alive && journey.upload.is_done;
        let Answer {
            status,
            fields,
            mut body,
            mut error,
        } = answer;
        let method = exchange.request.method_kind();
        let mut response = Response::local(status, fields, body.len() as u64, method);
        if let Some(other) =
            run_response_filters(&journey.filters, exchange, &mut response, position).await
        {
            let Answer {
                status,
                fields,
                body: new,
                error: failed,
            } = other;
            response = Response::local(status, fields, new.len() as u64, method);
            (body, error) = (new, failed.or(error));
        }
        let answer = Answer {
            status: response.status(),
            fields: take_fields(&mut response),
            body,
            error,
        };
        self.reply(record, &exchange.request, answer, keep)
            .await
            .is_ok()
            && keep
    }

    /// Writes a whole response made here; one that reports a failure as the configured page for it.
    ///
    /// # Errors
    /// When the client does not take it.
    pub(crate) async fn reply(
        &mut self,
        record: &mut Record,
        request: &Request,
        mut answer: Answer,
        keep_alive: bool,
    ) -> Result<(), Stalled> {
        let is_call = grpc::is_call(request.fields());
        if is_call {
            grpc::translate(&mut answer);
        }
        if let Some((kind, detail)) = answer.error {
            record.fail_with(kind, detail);
            if let Some((status, content_type, body)) = self
                .page(record, answer.status, Some(request))
                .filter(|_| !is_call)
            {
                (answer.status, answer.body) = (status, body);
                let _ = answer.fields.set(b"Content-Type", content_type.as_bytes());
                answer.fields.remove_id(FieldId::ContentEncoding);
            } else if answer.body.is_empty() && !is_call {
                answer.body = problem(answer.status).into_bytes();
                // There is room for a few.
                let told = (b"Content-Type", b"application/problem+json");
                let _ = answer.fields.set(told.0, told.1);
                let _ = answer.fields.set(b"Cache-Control", b"no-store");
            }
            if let Some(value) = self.proxy_status(kind) {
                // Its fields may have no room for one more; the log has it all the same.
                let _ = answer.fields.append(b"Proxy-Status", value.as_bytes());
            }
        }
        let asked = Asked::of(request);
        self.write_answer(record, asked, answer, keep_alive).await
    }

    async fn write_answer(
        &mut self,
        record: &mut Record,
        asked: Asked,
        answer: Answer,
        keep_alive: bool,
    ) -> Result<(), Stalled> {
        let Answer {
            status,
            fields,
            body,
            ..
        } = answer;
        let current = self.thread.current();
        let mut response = Response::local(status, fields, body.len() as u64, asked.method);
        if asked.is_call {
            record.entry.grpc_status = grpc::code_in(response.fields());
            if body.is_empty() {
                // Trailers have no length.
                response.set_framing(ResponseFraming::Length(0));
            }
        }
        if let Some(around) = record.around.take() {
            for field in around.iter() {
                // What is made here has few fields, and none of these.
                let _ = response.fields_mut().append(field.name, field.value);
            }
        }
        if let Some(web) = &record.web {
            if let Some(call) = web.call.filter(|_| body.is_empty()) {
                call.retitle(&mut response);
            }
            web.tell(&mut response);
        }
        self.said().tell(&mut response);
        // On a stream the head goes another way, and a client that takes nothing holds no buffer.
        let mut out = match self.stream.stream() {
            Some(_) => Vec::new(),
            None => self.thread.buffers.take_output(),
        };
        let context = ResponseContext {
            version: asked.version,
            keep_alive,
            pseudonym: &current.snapshot.settings.config.name,
            date: self.thread.date(),
            is_local: true,
        };
        self.begin_response(&mut out, &response, &context).await?;
        let has_body = asked.method != Method::Head && !matches!(status, 204 | 304);
        if has_body {
            if body.len() > LARGE {
                self.hold(2 * body.len());
            }
            record.entry.bytes_out = body.len() as u64;
            match self.stream.stream() {
                Some(_) => out = body,
                None => out.extend_from_slice(&body),
            }
        }
        record.responds(&response, &current);
        let sent = self.write_all(&out).await;
        if self.stream.whole().is_some() {
            self.thread.buffers.give_output(out);
        }
        sent
    }
}

/// The fields of a response whose status and framing are known elsewhere.
fn take_fields(response: &mut Response) -> Fields {
    std::mem::take(response.fields_mut())
}

/// What a response depends on of its request.
#[derive(Clone, Copy)]
struct Asked {
    method: Method,
    version: Version,
    /// It is a call of gRPC.
    is_call: bool,
}

impl Asked {
    fn of(request: &Request) -> Self {
        Self {
            method: request.method_kind(),
            version: request.version(),
            is_call: grpc::is_call(request.fields()),
        }
    }
}

/// The answer of a route that needs no endpoint; `None` when it does.
pub(crate) fn fixed_answer(route: &RoutePlan, request: &Request) -> Option<Answer> {
    match &route.to {
        TargetPlan::Respond(Respond {
            status,
            headers,
            body,
        }) => {
            let mut fields = Fields::default();
            for (name, value) in headers {
                // Checked when the configuration was read.
                let _ = fields.append(name.as_bytes(), value.reveal().as_bytes());
            }
            if !body.is_empty() && fields.get_name(b"content-type").is_none() {
                let _ = fields.append(b"Content-Type", b"text/plain; charset=utf-8");
            }
            Some(Answer {
                status: *status,
                fields,
                body: body.clone().into_bytes(),
                error: None,
            })
        }
        TargetPlan::Redirect(redirect) => {
            let target = match &redirect.location {
                Some(location) => location.clone(),
                None => redirect_target(request, redirect),
            };
            let mut fields = Fields::default();
            let _ = fields.append(b"Location", target.as_bytes());
            Some(Answer {
                status: redirect.status,
                fields,
                body: Vec::new(),
                error: None,
            })
        }
        TargetPlan::Forward { .. } | TargetPlan::Internal(_) | TargetPlan::Files(_) => None,
    }
}

/// The request's own URL with the given parts replaced; the query stays.
fn redirect_target(request: &Request, to: &Redirect) -> String {
    let host = to.host.as_deref().or(request.host()).unwrap_or_default();
    let port = match (to.port, &to.scheme) {
        (Some(port), _) => Some(port),
        // Another scheme without a port means that scheme's own port.
        (None, Some(_)) => None,
        (None, None) => request.port(),
    };
    let scheme = to.scheme.as_deref().unwrap_or(request.scheme());
    let is_default = matches!(
        (scheme, port),
        (_, None) | ("http", Some(80)) | ("https", Some(443))
    );
    let authority = match port {
        Some(port) if !is_default => format!("{host}:{port}"),
        _ => host.to_owned(),
    };
    let path = to.path.as_deref().unwrap_or(request.path());
    match request.query() {
        Some(query) => format!(
            "{scheme}://{authority}{path}?{}",
            String::from_utf8_lossy(query)
        ),
        None => format!("{scheme}://{authority}{path}"),
    }
}
