// SPDX-License-Identifier: Apache-2.0
use super::call::{Call, Ended, Said};
use super::here::here;
use super::link::Link;
use super::message::{Failure, apply, apply_response, failed, made};
use super::plan::{FunctionPlan, Seat};
use super::seats;
use super::stream::BodySender;
use crate::thread::Timer;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::rc::Rc;
use std::sync::Arc;
use tidegate_config::{Octets, PolicyUse};
use tidegate_contract::{Answer, Exchange, Filter, Flow, Phases};
use tidegate_core::{ErrorKind, Moment};
use tidegate_functions::{Body, INLINE, MAX_SETTINGS, Reason, RequestParts, WorkerMessage};
use tidegate_request::{Request, Response, Version};

/// The largest body of a policy's own answer that comes in several pieces.
const MOST: usize = 16 << 20;

/// The settings of the room `python`, and of a policy that has some of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    function: String,
    body: Option<Octets>,
    /// What the code is given besides the request, which only the code decodes.
    given: Option<Box<RawValue>>,
}

/// A `@policy` as a filter.
struct Policy {
    settings: Settings,
    /// See [`Settings::given`]; told to workers by its address.
    given: Option<Arc<str>>,
}

/// Builds the filter of a room `python`.
///
/// # Errors
/// Settings that are not the room's, or of which the code's own are too long for a message.
pub(crate) fn build(room: &PolicyUse) -> Result<Arc<dyn Filter>, String> {
    let name = room.name.as_deref().unwrap_or(&room.kind);
    let mut settings: Settings = serde_json::from_str(room.settings.get())
        .map_err(|error| format!("policy `{name}`: {error}"))?;
    let given = settings.given.take();
    let given: Option<Arc<str>> = given.map(|given| Arc::from(given.get()));
    if given
        .as_ref()
        .is_some_and(|given| given.len() > MAX_SETTINGS)
    {
        let most = MAX_SETTINGS >> 10;
        return Err(format!(
            "policy `{name}`: its settings have more than {most} KiB"
        ));
    }
    Ok(Arc::new(Policy { settings, given }))
}

/// A policy that waits for the response. Dropping it, when there is none to show, cancels it.
struct Waiting {
    call: Call,
    timer: Timer,
    function: Arc<FunctionPlan>,
    _seat: Seat,
}

const DIED: Failure = (
    ErrorKind::FunctionError,
    "the worker of a policy ended in the middle of it",
);
const FAILED: Failure = (
    ErrorKind::FunctionError,
    "a policy failed; its log says how",
);
const LATE: Failure = (ErrorKind::FunctionTimeout, "a policy passed its deadline");

impl Filter for Policy {
    fn phases(&self) -> Phases {
        Phases {
            request: true,
            response: true,
            body: self.settings.body.map(|body| body.0),
            ..Phases::default()
        }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange, position: usize) -> Flow<'a> {
        Flow::Wait(Box::pin(async move {
            match self.ask(exchange).await {
                Ok((None, waiting)) => {
                    if let Some(place) = exchange.kept.get_mut(position) {
                        *place = waiting.map(|waiting| Box::new(waiting) as _);
                    }
                    Flow::Continue
                }
                Ok((Some(answer), _)) => Flow::Respond(Box::new(answer)),
                Err(failure) => Flow::Respond(Box::new(failed(failure))),
            }
        }))
    }

    fn response<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        response: &'a mut Response,
        position: usize,
    ) -> Flow<'a> {
        let kept = exchange.kept.get_mut(position).and_then(Option::take);
        let Some(waiting) = kept.and_then(|kept| kept.downcast::<Waiting>().ok()) else {
            return Flow::Continue;
        };
        Flow::Wait(Box::pin(async move {
            match waiting.show(response).await {
                Ok(None) => Flow::Continue,
                Ok(Some(answer)) => Flow::Respond(Box::new(answer)),
                Err(failure) => Flow::Respond(Box::new(failed(failure))),
            }
        }))
    }

    fn is_pure(&self) -> bool {
        false
    }
}

impl Policy {
    /// Asks a worker, and another one when the first was lost before it began.
    async fn ask(
        &self,
        exchange: &mut Exchange,
    ) -> Result<(Option<Answer>, Option<Waiting>), Failure> {
        let here = here().ok_or((ErrorKind::ProxyInternalError, "no thread serves here"))?;
        let functions = here.thread.current();
        let function = functions
            .snapshot
            .functions
            .get(self.settings.function.as_str());
        let function = function.ok_or((
            ErrorKind::ProxyConfigurationError,
            "a policy's function is not there",
        ))?;
        let timer = here.thread.timers.timer();
        let deadline = here.thread.now().after_millis(function.config.deadline.0);
        loop {
            let (link, seat) = seats::of_policy(&here, function, &timer, deadline).await?;
            let left = deadline.micros_since(here.thread.now()) / 1000;
            let call = begin(&link, function, self.given.as_ref(), exchange, left)?;
            match settle(&call, exchange, &timer, deadline).await {
                Ok(Settled::Passed { wants_response }) => {
                    let waiting = wants_response.then(|| Waiting {
                        call,
                        timer,
                        function: function.clone(),
                        _seat: seat,
                    });
                    return Ok((None, waiting));
                }
                Ok(Settled::Answered(answer)) => return Ok((Some(answer), None)),
                Err(Ended::Late) => return Err(LATE),
                Err(Ended::Lost {
                    may_have_begun: true,
                }) => return Err(DIED),
                // It had not begun, and its worker takes no calls any more.
                Err(Ended::Lost { .. }) => {}
            }
        }
    }
}

fn begin(
    link: &Rc<Link>,
    function: &FunctionPlan,
    given: Option<&Arc<str>>,
    exchange: &Exchange,
    left_ms: u64,
) -> Result<Call, Failure> {
    let request = &exchange.request;
    let client = exchange.client.address.to_string();
    let mut parts = parts_of(request, &client, exchange, &function.name, left_ms);
    if let Some(given) = given {
        parts.settings = link
            .tell(given)
            .map_err(|_| (ErrorKind::FunctionError, "too many policies with settings"))?;
    }
    let body = match &exchange.body {
        Some(bytes) if bytes.is_empty() => Body::None,
        Some(bytes) if bytes.len() <= INLINE => Body::Inline(bytes),
        Some(_) => Body::Stream,
        None if request.framing() == tidegate_request::Framing::None => Body::None,
        None => Body::Withheld,
    };
    let fields = request
        .fields()
        .iter()
        .map(|field| (field.name, field.value));
    link.begin(&parts, parameters_of(exchange), fields, body)
        .map_err(|_| (ErrorKind::RequestHeaderSize, "too large for a policy"))
}

/// The single parts of a head, as the protocol has them.
pub(super) fn parts_of<'a>(
    request: &'a Request,
    client: &'a str,
    exchange: &'a Exchange,
    function: &'a str,
    left_ms: u64,
) -> RequestParts<'a> {
    RequestParts {
        method: request.method(),
        scheme: request.scheme(),
        authority: request.authority(),
        path: request.path(),
        query: request.query(),
        client,
        route: &exchange.route,
        request_id: &exchange.request_id,
        function,
        identity: exchange
            .identity
            .as_deref()
            .map_or("", |identity| identity.text()),
        is_http_1_0: request.version() == Version::Http10,
        deadline_ms: u32::try_from(left_ms).unwrap_or(u32::MAX).max(1),
        settings: 0,
    }
}

/// What the path's template matched.
pub(super) fn parameters_of(exchange: &Exchange) -> impl Iterator<Item = (&[u8], &[u8])> {
    exchange
        .parameters
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

enum Settled {
    Passed { wants_response: bool },
    Answered(Answer),
}

/// Sees a call through until the policy lets the request pass or answers it.
async fn settle(
    call: &Call,
    exchange: &mut Exchange,
    timer: &Timer,
    deadline: Moment,
) -> Result<Settled, Ended> {
    let long = exchange.body.as_deref().filter(|body| body.len() > INLINE);
    let mut sender = long.map(|body| BodySender::new(body, true));
    loop {
        if let Some(sender) = &mut sender {
            sender.send(call);
        }
        let said = call.next(timer, deadline).await?;
        match said.message() {
            Some(WorkerMessage::Credit(bytes)) => {
                if let Some(sender) = &mut sender {
                    sender.credit(bytes);
                }
            }
            Some(WorkerMessage::BodyWanted) => {}
            Some(WorkerMessage::Continue {
                changes,
                wants_response,
            }) => {
                return Ok(match apply(changes, &mut exchange.request) {
                    Ok(()) => Settled::Passed { wants_response },
                    Err(failure) => Settled::Answered(failed(failure)),
                });
            }
            _ => {
                return answer_of(call, &said, timer, deadline)
                    .await
                    .map(Settled::Answered);
            }
        }
    }
}

/// The answer that a message begins: a policy's response, or the one for its failure.
async fn answer_of(
    call: &Call,
    said: &Said,
    timer: &Timer,
    deadline: Moment,
) -> Result<Answer, Ended> {
    match said.message() {
        Some(WorkerMessage::Respond {
            status,
            fields,
            body,
            body_follows,
        }) => {
            let mut whole = body.to_vec();
            let mut is_whole = !body_follows;
            while !is_whole {
                let said = call.next(timer, deadline).await?;
                let Some(WorkerMessage::Body { bytes, is_last }) = said.message() else {
                    return Ok(failed(FAILED));
                };
                if whole.len() + bytes.len() > MOST {
                    return Ok(failed((
                        ErrorKind::FunctionError,
                        "a policy's answer is too long",
                    )));
                }
                whole.extend_from_slice(bytes);
                call.credit(bytes.len());
                is_whole = is_last;
            }
            Ok(made(status, fields, whole))
        }
        Some(WorkerMessage::Error(Reason::BodySize)) => Ok(failed((
            ErrorKind::RequestBodySize,
            "the body is too large for a policy",
        ))),
        _ => Ok(failed(FAILED)),
    }
}

impl Waiting {
    /// Shows the response; the answer to send in its place, if there is one.
    async fn show(self, response: &mut Response) -> Result<Option<Answer>, Failure> {
        let fields = response
            .fields()
            .iter()
            .map(|field| (field.name, field.value));
        self.call
            .respond(response.status(), fields)
            .map_err(|_| FAILED)?;
        let here = here().ok_or(FAILED)?;
        let limit = self.function.config.deadline.0;
        let deadline = here.thread.now().after_millis(limit);
        let ended = |ended| match ended {
            Ended::Late => LATE,
            Ended::Lost { .. } => DIED,
        };
        let said = self.call.next(&self.timer, deadline).await.map_err(ended)?;
        if let Some(WorkerMessage::Changes(changes)) = said.message() {
            return apply_response(changes, response).map(|()| None);
        }
        let answer = answer_of(&self.call, &said, &self.timer, deadline).await;
        answer.map(Some).map_err(ended)
    }
}
