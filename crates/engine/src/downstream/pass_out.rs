// SPDX-License-Identifier: Apache-2.0
//! Requests that a forward proxy is asked to pass on to other servers.
use super::connection::Downstream;
use super::journey::Journey;
use super::record::Record;
use super::switched::Switched;
use crate::egress::{Busy, EgressPlan, Lanes, NoWay, ParentPlan, UserPlan, Way, Who};
use crate::snapshot::{BackendPlan, Snapshot};
use crate::thread::{Buffer, Connection};
use crate::upstream::{Carrier, Outcome, Race, Terms, Tunnel};
use std::sync::Arc;
use tidegate_contract::{Answer, Exchange};
use tidegate_core::ErrorKind;
use tidegate_egress::{Aim, Refusal};
use tidegate_http::ResponseContext;
use tidegate_request::{FieldId, Fields, Method, Request, Response, Storage, Version};

/// What tells of clients and of proxies before this one, beside what no stranger is believed.
const TELLING: [&[u8]; 16] = [
    b"via",
    b"from",
    b"client-ip",
    b"cf-connecting-ip",
    b"fastly-client-ip",
    b"proxy-client-ip",
    b"wl-proxy-client-ip",
    b"x-originating-ip",
    b"x-remote-ip",
    b"x-remote-addr",
    b"x-proxyuser-ip",
    b"x-bluecoat-via",
    b"x-proxy-id",
    b"x-request-id",
    b"x-correlation-id",
    b"proxy-features",
];

/// The leave to pass a request on.
pub(crate) struct Passage {
    pub(crate) egress: Arc<EgressPlan>,
    user: Option<Arc<UserPlan>>,
    /// The addresses that may be asked.
    pub(crate) way: Way,
    /// The other proxy that is asked in place of them.
    pub(crate) parent: Option<Arc<ParentPlan>>,
    _busy: Option<Busy>,
}

/// Why a request is not passed on.
enum Refused {
    Answered(Answer),
    /// As any failure is answered, with a text for the log.
    Failed(ErrorKind, String),
}

fn answer(status: u16, kind: ErrorKind, detail: &'static str, text: &str) -> Answer {
    let mut fields = Fields::default();
    let _ = fields.append(b"Content-Type", b"text/plain; charset=utf-8");
    let _ = fields.append(b"Cache-Control", b"no-store");
    if status == 407 {
        let challenge = b"Basic realm=\"proxy\", charset=\"UTF-8\"";
        let _ = fields.append(b"Proxy-Authenticate", challenge);
    }
    if status == 429 {
        let _ = fields.append(b"Retry-After", b"1");
    }
    Answer {
        status,
        fields,
        body: format!("{status} {text}\n").into_bytes(),
        error: Some((kind, detail)),
    }
}

/// What is said to who takes the proxy for a site.
pub(super) fn no_site() -> Answer {
    let text = "Not Found: this is a forward proxy; ask it for URLs with `http://`, or by CONNECT";
    answer(
        404,
        ErrorKind::DestinationNotFound,
        "no request to a proxy",
        text,
    )
}

/// What a client is told of a refusal: nothing of addresses.
fn refusal_text(aim: &Aim<'_>, why: &NoWay) -> String {
    let (host, port) = (aim.host, aim.port);
    let says = match why {
        NoWay::Refused(Refusal::Port) => format!("port {port} is not open"),
        NoWay::Refused(Refusal::Denied(_)) => format!("{host}:{port} is denied"),
        NoWay::Refused(Refusal::NotAllowed) => {
            format!("{host}:{port} is not among what is allowed")
        }
        _ => format!("{host} has no address that this proxy may ask"),
    };
    format!("Forbidden: {says}")
}

/// What `Via` says of proxies like this one, by which they notice circles; others may be named after
/// hosts.
fn made_up(request: &Request) -> String {
    let lines = request.fields().get_all(FieldId::Via);
    let lines = lines.filter_map(|line| std::str::from_utf8(line).ok());
    let entries = lines.flat_map(|line| line.split(',')).filter_map(|entry| {
        let mut words = entry.split_whitespace();
        let (version, name) = (words.next()?, words.next()?);
        let digits = name.strip_prefix("proxy-")?;
        let is_made_up = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_made_up.then(|| format!("{version} {name}"))
    });
    entries.collect::<Vec<_>>().join(", ")
}

fn is_circle(request: &Request, pseudonym: &str) -> bool {
    let mut lines = request.fields().get_all(FieldId::Via);
    let is_own = |entry: &[u8]| {
        let mut words = entry
            .split(|byte| *byte == b' ')
            .filter(|word| !word.is_empty());
        words.nth(1) == Some(pseudonym.as_bytes())
    };
    !pseudonym.is_empty() && lines.any(|line| line.split(|byte| *byte == b',').any(is_own))
}

impl Downstream {
    /// Content moves as fast as the user of `passage` may, if he has a rate.
    pub(super) fn pace(&mut self, passage: Option<&Passage>) {
        let user = passage.and_then(|passage| passage.user.as_ref());
        self.lanes = user.and_then(|user| Lanes::of(user, &self.thread, self.buffer.len()));
    }

    /// Counts the bytes of one that is over.
    pub(super) fn has_passed(&mut self, passage: Option<&Passage>, record: &Record) {
        self.lanes = None;
        if let Some(user) = passage.and_then(|passage| passage.user.as_ref()) {
            let entry = &record.entry;
            user.counts.moved(entry.bytes_in + entry.bytes_out);
        }
    }

    /// Gives leave to pass `request` on, of which nothing tells of the client from here on; else answers
    /// it, and returns whether the connection may go on.
    pub(super) async fn let_out(
        &mut self,
        egress: &Arc<EgressPlan>,
        snapshot: &Snapshot,
        request: &mut Request,
        record: &mut Record,
        keep_alive: bool,
    ) -> Result<Passage, bool> {
        let refused = match self.judge(egress, snapshot, request, record).await {
            Ok(passage) => {
                let via = made_up(request);
                let mut fields = request.fields_mut();
                for name in TELLING {
                    let _ = fields.remove(name); // none of them is protected
                }
                let _ = fields.remove_id(FieldId::ProxyAuthorization);
                if !via.is_empty() && !egress.pseudonym.is_empty() {
                    let _ = fields.append(b"Via", via.as_bytes());
                }
                return Ok(passage);
            }
            Err(refused) => refused,
        };
        Err(match refused {
            Refused::Answered(answer) => self.turn_away(record, request, answer, keep_alive).await,
            Refused::Failed(kind, why) => {
                record.reason = Some((kind, why.into()));
                self.fail(record, request, kind, "", keep_alive).await
            }
        })
    }

    async fn judge(
        &mut self,
        egress: &Arc<EgressPlan>,
        snapshot: &Snapshot,
        request: &Request,
        record: &mut Record,
    ) -> Result<Passage, Refused> {
        let denied = ErrorKind::HttpRequestDenied;
        let clock = self.thread.clock.clone();
        let certificate = record.certificate.clone();
        let address = self.peer.address();
        let asks = egress.who(request, address, certificate.as_deref(), &clock);
        let user = match asks.await {
            Who::User(user) => Some(user),
            Who::Anybody => None,
            Who::Unknown => {
                let text = "Proxy Authentication Required: show who you are";
                let detail = "no right credentials";
                return Err(Refused::Answered(answer(407, denied, detail, text)));
            }
            Who::Stranger => {
                let (detail, text) = (
                    "no user comes from there",
                    "Forbidden: you may not use this proxy",
                );
                return Err(Refused::Answered(answer(403, denied, detail, text)));
            }
            Who::Busy => {
                let why = "too many passwords are being checked";
                return Err(Refused::Failed(
                    ErrorKind::ConnectionLimitReached,
                    why.into(),
                ));
            }
        };
        record.user = user.as_ref().map(|user| user.name.clone());
        if is_circle(request, &egress.pseudonym) {
            let why = "the request was here before";
            return Err(Refused::Failed(ErrorKind::ProxyLoopDetected, why.into()));
        }
        let busy = match &user {
            None => None,
            Some(user) => Some(Busy::begin(user, self.thread.now()).ok_or_else(|| {
                user.counts.refuse();
                let (kind, detail) = (
                    ErrorKind::ConnectionLimitReached,
                    "the user has as much as he may",
                );
                let text = "Too Many Requests: you have as many open as you may";
                Refused::Answered(answer(429, kind, detail, text))
            })?),
        };
        let host = request.host().unwrap_or_default();
        let aim = Aim {
            host,
            port: request.port().unwrap_or(80),
            is_tunnel: request.method_kind() == Method::Connect,
        };
        let way = egress.way(snapshot, user.as_deref(), &aim, &clock).await;
        let way = way.map_err(|why| {
            if let NoWay::Unresolved(_) = why {
                return Refused::Failed(ErrorKind::DnsError, why.detail());
            }
            if let Some(user) = &user {
                user.counts.refuse();
            }
            record.reason = Some((denied, why.detail().into()));
            Refused::Answered(answer(403, denied, "", &refusal_text(&aim, &why)))
        })?;
        Ok(Passage {
            egress: egress.clone(),
            user,
            way,
            parent: egress.parent(host).cloned(),
            _busy: busy,
        })
    }

    /// Connects to what CONNECT names (RFC 9110 §9.3.6), and passes bytes both ways until the end.
    pub(super) async fn tunnel_out(
        &mut self,
        journey: &Journey<'_>,
        exchange: &Exchange,
        passage: &Passage,
        plan: &BackendPlan,
        record: &mut Record,
    ) -> Outcome {
        let reached = match &passage.parent {
            Some(parent) => {
                let beyond = self.tunnel_through(exchange, plan, parent, record).await;
                beyond.map(|(place, connection, buffer)| (Some(place), connection, buffer))
            }
            None => {
                let reached = self.reach(passage, plan, record).await;
                reached.map(|connection| (None, connection, Buffer::default()))
            }
        };
        let (place, connection, buffer) = match reached {
            Ok(reached) => reached,
            Err((kind, detail)) => return Outcome::Failed { kind, detail },
        };
        let limits = passage.user.as_ref().map(|user| &user.limits);
        let timeouts = &passage.egress.timeouts;
        let life = limits.and_then(|limits| limits.life).or(timeouts.life);
        let idle = limits
            .and_then(|limits| limits.idle)
            .unwrap_or(timeouts.idle);
        if self.say_connected(journey).await.is_none() {
            return Outcome::Broken;
        }
        (record.entry.status, record.entry.is_tunnel) = (200, true);
        let until = life.map(|life| self.thread.now().after_millis(life.0));
        let terms = Terms::bare(idle.0, until);
        let tunnel = Tunnel::new(self, Carrier::Whole(connection), buffer, terms);
        Outcome::Switched(Switched::new(tunnel, place))
    }

    /// A connection to the address that takes one first.
    async fn reach(
        &self,
        passage: &Passage,
        plan: &BackendPlan,
        record: &mut Record,
    ) -> Result<Connection, (ErrorKind, &'static str)> {
        let race = Race::new(self, plan, &passage.way, None);
        let run = race.run(None, &[], record);
        run.await.map(|(_, connection)| connection)
    }

    /// Tells the client that bytes are passed on from here; `None` if it does not take that.
    async fn say_connected(&self, journey: &Journey<'_>) -> Option<()> {
        if self.stream.whole().is_some() {
            let head = b"HTTP/1.1 200 Connection established\r\n\r\n";
            return self.write_all(head).await.ok();
        }
        let response = Response::build(Storage::new(), 200, Version::Http11, Method::Get).ok()?;
        let context = ResponseContext {
            version: Version::Http11,
            keep_alive: true,
            pseudonym: &journey.current.snapshot.settings.config.name,
            date: self.thread.date(),
            is_local: true,
        };
        let mut out = Vec::new(); // nothing is written there for a stream
        let begun = self.begin_response(&mut out, &response, &context);
        begun.await.ok().map(drop)
    }
}
