// SPDX-License-Identifier: Apache-2.0
use super::trace;
use crate::snapshot::{RoutePlan, Secrets};
use crate::thread::{Current, Thread};
use crate::web::Web;
use std::rc::Rc;
use std::sync::Arc;
use tidegate_config::AccessLogFormat;
use tidegate_contract::Endpoint;
use tidegate_core::{ClientCertificate, ErrorKind, Moment};
use tidegate_request::{FieldId, Fields, Reject, Request, Response};
use tidegate_telemetry::{LogEntry, Try};

/// Bytes of a path that the spans of tries have.
const LONGEST_TARGET: usize = 384;

/// What will be said of an exchange when it is over.
pub(crate) struct Record {
    pub(crate) entry: LogEntry,
    pub(crate) started: Moment,
    pub(crate) route: Option<Arc<RoutePlan>>,
    pub(crate) backend: Option<Arc<str>>,
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) detail: &'static str,
    pub(crate) request_id: String,
    /// What an error page calls the request while the exchange has `request_id`; only with pages.
    pub(crate) shown_id: String,
    /// The client may still be sending: a body that was not read to its end.
    pub(crate) has_unread: bool,
    /// What the last endpoint tried came to.
    pub(crate) last_failure: Option<(ErrorKind, &'static str)>,
    /// Why there was no TLS with the endpoint tried last, for the log alone, and the word for it.
    pub(crate) reason: Option<(ErrorKind, Box<str>)>,
    /// `TRACE-SPAN-PARENT` of an exchange that is sampled.
    pub(crate) trace: String,
    /// The tries of such an exchange, as `Text::Tries` has them.
    tries: Vec<u8>,
    /// The client's, if it has shown one.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// Who calls: the user of a forward proxy, or what a policy has proved.
    pub(crate) user: Option<Arc<str>>,
    /// What policies that are only tried would have answered.
    pub(crate) would_answer: Vec<(Arc<str>, u16)>,
    /// The policy that answered.
    pub(crate) policy: Option<Arc<str>>,
    /// What filters around a failure say in its response.
    pub(crate) around: Option<Box<Fields>>,
    /// What a call has that pages may make.
    pub(crate) web: Option<Rc<Web>>,
    /// Fields of the response that the log is to have: name, LF, value, LF.
    response_fields: Vec<u8>,
}

impl Record {
    pub(crate) fn new(entry: LogEntry, started: Moment) -> Self {
        Self {
            entry,
            started,
            route: None,
            backend: None,
            endpoint: None,
            detail: "",
            request_id: String::new(),
            shown_id: String::new(),
            has_unread: true,
            last_failure: None,
            reason: None,
            trace: String::new(),
            tries: Vec::new(),
            certificate: None,
            user: None,
            would_answer: Vec::new(),
            policy: None,
            around: None,
            web: None,
            response_fields: Vec::new(),
        }
    }

    /// Remembers the head of the final response, which is about to be sent.
    #[inline]
    pub(crate) fn responds(&mut self, response: &Response, current: &Current) {
        self.entry.status = response.status();
        if let Some(log) = &current.snapshot.settings.config.access_log
            && !log.response_fields.is_empty()
        {
            let secrets = &current.snapshot.secrets;
            let get = |name: &str| response.fields().get_name(name.as_bytes());
            self.response_fields = named(&log.response_fields, get, secrets);
        }
    }

    /// Begins a try of an exchange that is sampled: the endpoint is told that it is a span of its own.
    #[inline]
    pub(crate) fn begin_try(
        &self,
        request: &mut Request,
        thread: &Thread,
    ) -> Option<(String, Moment)> {
        if self.trace.is_empty() {
            return None;
        }
        let span = trace::next(request, &self.trace, &mut thread.draw.borrow_mut());
        Some((span, thread.now()))
    }

    /// Ends it, with the endpoint's answer or, without one, why there was none.
    #[inline]
    pub(crate) fn end_try(
        &mut self,
        begun: Option<(String, Moment)>,
        request: &Request,
        thread: &Thread,
        outcome: Result<u16, ErrorKind>,
    ) {
        let (Some((span, at)), Some(endpoint)) = (begun, &self.endpoint) else {
            return;
        };
        if self.tries.is_empty() {
            let path = request.path_bytes();
            self.tries
                .extend_from_slice(path.get(..LONGEST_TARGET).unwrap_or(path));
            self.tries.push(b'\n');
        }
        let each = Try {
            span: &span,
            begun_us: at.micros_since(self.started),
            duration_us: thread.now().micros_since(at),
            status: outcome.unwrap_or(0),
            error: outcome.err().map_or("", ErrorKind::name),
            endpoint: &endpoint.address,
        };
        each.write(&mut self.tries);
    }

    /// Remembers why it failed; the first reason stays.
    pub(crate) fn fail(&mut self, reject: &Reject) {
        self.fail_with(reject.kind, reject.detail);
    }

    pub(crate) fn fail_with(&mut self, kind: ErrorKind, detail: &'static str) {
        if self.entry.error.is_none() {
            self.entry.error = Some(kind);
            self.detail = detail;
        }
    }

    /// Remembers that nobody waited for the response.
    pub(crate) fn client_left(&mut self) {
        self.fail_with(ErrorKind::ClientGone, "the client left before its response");
        self.entry.status = ErrorKind::ClientGone.status();
    }

    /// Counts and logs the exchange. `request` is none for what was never a request.
    pub(crate) fn finish(
        mut self,
        thread: &Thread,
        listener: &str,
        current: &Current,
        request: Option<&Request>,
    ) {
        self.entry.duration_us = thread.now().micros_since(self.started);
        self.entry.wall_micros = thread.clock.wall_micros(self.started);
        self.entry.snapshot = current.snapshot.number;
        let stats = self
            .route
            .as_ref()
            .and_then(|route| route.stats.of(thread.index));
        let (mut method, mut host, mut path): (&[u8], &[u8], &[u8]) = (b"", b"", b"");
        let (mut query, mut agent): (&[u8], &[u8]) = (b"", b"");
        if let Some(request) = request {
            method = request.method_bytes();
            // Before any rewrite.
            (host, path) = (request.received_host(), request.received_path());
            query = request.query().unwrap_or_default();
            agent = request.fields().get(FieldId::UserAgent).unwrap_or_default();
            self.entry.version = request.version().tenths();
        }
        // Policies may have put one there, and a match may compare with one.
        let secrets = &current.snapshot.secrets;
        let query = secrets.logged_query(query);
        let agent = secrets.logged(agent);
        let (mut fields, mut referer): (Vec<u8>, &[u8]) = (Vec::new(), b"");
        if let (Some(log), Some(request)) = (&current.snapshot.settings.config.access_log, request)
        {
            let get = |name: &str| request.fields().get_name(name.as_bytes());
            fields = named(&log.fields, get, secrets);
            if log.format == AccessLogFormat::Combined {
                referer = request.fields().get(FieldId::Referer).unwrap_or_default();
                referer = secrets.logged_field(referer);
            }
        }
        let reason = self.reason.as_ref();
        let reason = reason.filter(|(kind, _)| self.entry.error == Some(*kind));
        let detail = reason.map_or(self.detail, |(_, text)| text);
        thread.count(stats, &self.entry);
        let route = self.route.as_ref().map_or("", |route| &*route.name);
        let certificate = self.certificate.as_deref().map(told).unwrap_or_default();
        let tried = self.would_answer.iter();
        let tried: String = tried
            .map(|(name, status)| format!("{name}\n{status}\n"))
            .collect();
        thread.log(
            self.entry,
            [
                self.request_id.as_bytes(),
                listener.as_bytes(),
                method,
                host,
                path,
                &query,
                route.as_bytes(),
                self.backend.as_deref().unwrap_or_default().as_bytes(),
                self.endpoint
                    .as_ref()
                    .map_or("", |endpoint| &endpoint.address)
                    .as_bytes(),
                agent,
                detail.as_bytes(),
                &fields,
                &self.response_fields,
                referer,
                self.trace.as_bytes(),
                &self.tries,
                &certificate,
                self.user.as_deref().unwrap_or_default().as_bytes(),
                tried.as_bytes(),
                self.policy.as_deref().unwrap_or_default().as_bytes(),
            ],
        );
    }
}

/// What the log says of a certificate: name, LF, value, LF. What may be long is the last, and is cut there.
fn told(certificate: &ClientCertificate) -> Vec<u8> {
    let names = certificate.names_text();
    let parts = [
        ("fingerprint", certificate.fingerprint.as_str()),
        ("serial", &certificate.serial),
        ("subject", &certificate.subject),
        ("names", &names),
    ];
    let lines = parts.map(|(name, value)| format!("{name}\n{value}\n"));
    lines.concat().into_bytes()
}

/// The fields of `names` that a message has: name, LF, value, LF; secrets are left out.
fn named<'a>(
    names: &[String],
    get: impl Fn(&str) -> Option<&'a [u8]>,
    secrets: &Secrets,
) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        if let Some(value) = get(name) {
            for part in [name.as_bytes(), b"\n", secrets.logged_field(value), b"\n"] {
                out.extend_from_slice(part);
            }
        }
    }
    out
}
