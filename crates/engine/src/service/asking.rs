// SPDX-License-Identifier: Apache-2.0
//! One probe of one endpoint: connecting, sending, reading as much as the check wants to hear.
use super::state::Service;
use crate::upstream::{Answered, announce, ask_once, dial, is_http2};
use std::cell::Cell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tidegate_contract::{Check, Expected, Heard, Probe, Verdict};
use tidegate_http::{ChunkDecoder, HeadLimits, HeadScanner, parse_response};
use tidegate_net::{Datagrams, Departure, Reception, Stream, Target, connect};
use tidegate_request::{Method, Response, ResponseFraming};
use tidegate_tls::Inside;

/// What an endpoint may send as the head of its answer.
const LIMITS: HeadLimits = HeadLimits {
    header_size: 32 << 10,
    header_fields: 100,
    target_size: 32 << 10,
};
/// Bytes asked of the kernel at once.
const READ: usize = 4096;

/// Asks endpoints on behalf of their checks.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) service: Rc<Service>,
}

impl Asker {
    /// What `check` says of the endpoint at `address` of `backend`. Takes as long as it takes.
    pub(super) async fn ask(
        &self,
        backend: &str,
        check: &dyn Check,
        address: &str,
        target: Option<Target>,
    ) -> Verdict {
        let probe = check.probe(address);
        let heard = match &probe {
            Probe::Function { function, body } => {
                let limit = Duration::from_millis(check.timeout_ms());
                let answer = self.call(function, body, limit).await;
                return match &answer {
                    Ok((status, body)) => check.judge(Heard::Response {
                        status: *status,
                        body,
                    }),
                    Err(why) => Verdict::Unhealthy(why.clone()),
                };
            }
            Probe::Datagram { bytes } => {
                return match &target {
                    Some(Target::Ip(address)) => match answer(*address, bytes).await {
                        Ok(answer) => check.judge(Heard::Bytes(&answer)),
                        Err(why) => Verdict::Unhealthy(why),
                    },
                    Some(_) => Verdict::Unhealthy("datagrams go to a port".into()),
                    None => Verdict::Unhealthy("the name has no address".into()),
                };
            }
            _ => match target {
                Some(target) => {
                    let is_http = matches!(probe, Probe::Http { .. } | Probe::Call { .. });
                    self.reach(backend, check, address, &target, is_http).await
                }
                None => Err("the name has no address".into()),
            },
        };
        let (stream, is_http2) = match heard {
            Ok(reached) => reached,
            Err(why) => return Verdict::Unhealthy(why),
        };
        let verdict = match &probe {
            Probe::Exchange { bytes, text } => exchange(&stream, bytes, text)
                .await
                .map(|bytes| check.judge(Heard::Bytes(&bytes))),
            Probe::Http {
                bytes,
                is_head,
                body,
            } => {
                let body = body.as_ref();
                let answer = match is_http2 {
                    true => self.http2_response(&stream, bytes, body).await,
                    false => response(&stream, bytes, *is_head, body).await,
                };
                answer.map(|(status, body)| {
                    check.judge(Heard::Response {
                        status,
                        body: &body,
                    })
                })
            }
            Probe::Call { bytes, within } => match is_http2 {
                true => self.call_to(&stream, bytes, *within).await.map(|answered| {
                    check.judge(Heard::Call {
                        status: answered.status,
                        code: answered.code,
                        body: &answered.body,
                    })
                }),
                false => Err("it chose HTTP/1.1, and calls of gRPC want HTTP/2".into()),
            },
            _ => Ok(check.judge(Heard::Connection)),
        };
        verdict.unwrap_or_else(Verdict::Unhealthy)
    }

    /// As [`response`], over HTTP/2.
    async fn http2_response(
        &self,
        stream: &Stream,
        bytes: &[u8],
        expected: Option<&Expected>,
    ) -> Result<(u16, Vec<u8>), String> {
        let within = expected.map_or(0, |expected| expected.within);
        let now = self.service.node.clock.now();
        let answered = ask_once(stream, bytes, now, within, |answered| match expected {
            Some(expected) => answered.body.len() >= within || expected.is_in(&answered.body),
            None => true,
        });
        let answered = answered.await.map_err(|error| error.to_string())?;
        Ok((answered.status, answered.body))
    }

    /// One call of gRPC, to the end of its answer; one of more than `within` bytes is not read further.
    async fn call_to(
        &self,
        stream: &Stream,
        bytes: &[u8],
        within: usize,
    ) -> Result<Answered, String> {
        let now = self.service.node.clock.now();
        let is_enough = |answered: &Answered| answered.body.len() >= within;
        let answered = ask_once(stream, bytes, now, within, is_enough);
        answered.await.map_err(|error| error.to_string())
    }

    /// A connection as requests have it: TLS with the same terms, those of now; and whether HTTP/2 is
    /// spoken on it.
    async fn reach(
        &self,
        backend: &str,
        check: &dyn Check,
        address: &str,
        target: &Target,
        is_http: bool,
    ) -> Result<(Stream, bool), String> {
        let snapshot = self.service.snapshot();
        let plan = snapshot.backends.get(backend);
        match plan.filter(|_| check.speaks_tls()) {
            Some(plan) => {
                let inside = match is_http {
                    true => plan.http(),
                    false => Inside::Unknown,
                };
                let stream = dial(plan, address, target, inside, None, &Cell::default())
                    .await
                    .map_err(|why| why.to_string())?;
                let is_http2 = is_http && is_http2(plan, &stream);
                Ok((stream, is_http2))
            }
            None => {
                let failed = |error| format!("connecting failed: {error}");
                let stream = connect(target).await.map_err(failed)?;
                match plan.map(|plan| announce(plan, &stream, None)) {
                    Some(Err(error)) => Err(failed(error)),
                    _ => Ok((stream, false)),
                }
            }
        }
    }

    async fn call(
        &self,
        name: &str,
        body: &[u8],
        limit: Duration,
    ) -> Result<(u16, Vec<u8>), String> {
        let snapshot = self.service.snapshot();
        let Some(function) = snapshot.functions.get(name) else {
            return Err(format!("there is no function `{name}`"));
        };
        let answer = self.service.checkers.ask(function, body, limit);
        answer.await.map_err(str::to_owned)
    }
}

/// What comes back for a datagram.
async fn answer(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::ConnectionRefused => "nobody takes datagrams there".to_owned(),
        _ => format!("sending a datagram failed: {error}"),
    };
    let socket = Datagrams::connect(address).map_err(failed)?;
    let departure = Departure {
        peer: address,
        local: None,
        ecn: 0,
        segment: None,
        bytes,
    };
    socket.send(&departure).map_err(failed)?;
    let mut reception = Reception::default();
    let mut failure = pin!(socket.failure());
    let received = poll_fn(|cx| match socket.poll_receive(cx, &mut reception) {
        Poll::Pending => failure.as_mut().poll(cx).map(Err),
        received => received,
    });
    let count = received.await.map_err(failed)?;
    let first = reception.trains(count).next();
    Ok(first.map_or_else(Vec::new, |(_, bytes, _)| bytes.to_vec()))
}

async fn send(stream: &Stream, bytes: &[u8]) -> Result<(), String> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let sent = poll_fn(|cx| stream.poll_write(cx, rest))
            .await
            .map_err(|error| error.to_string())?;
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// Reads once more behind what `received` holds; false at the end.
async fn read(stream: &Stream, received: &mut Vec<u8>) -> Result<bool, String> {
    let end = received.len();
    received.resize(end + READ, 0);
    let room = received.get_mut(end..).unwrap_or_default();
    let count = poll_fn(|cx| stream.poll_read(cx, room))
        .await
        .map_err(|error| error.to_string());
    received.truncate(end + count.as_ref().copied().unwrap_or(0));
    Ok(count? > 0)
}

/// What came until the text was there, its limit, or the end.
async fn exchange(stream: &Stream, bytes: &[u8], text: &Expected) -> Result<Vec<u8>, String> {
    send(stream, bytes).await?;
    let mut received = Vec::new();
    while !text.is_in(&received) && received.len() < text.within {
        if !read(stream, &mut received).await? {
            break;
        }
    }
    Ok(received)
}

/// Status and, if a text is expected, the body of the response to `bytes`.
async fn response(
    stream: &Stream,
    bytes: &[u8],
    is_head: bool,
    expected: Option<&Expected>,
) -> Result<(u16, Vec<u8>), String> {
    let method = if is_head { Method::Head } else { Method::Get };
    let within = expected.map_or(0, |expected| expected.within);
    let is_enough = |body: &[u8]| expected.is_none_or(|expected| expected.is_in(body));
    let (response, body) = answered(stream, bytes, method, within, &is_enough).await?;
    Ok((response.status(), body))
}

/// The response to `bytes`, with its body, decoded, until it is enough, as long as `within`, or whole.
pub(super) async fn answered(
    stream: &Stream,
    bytes: &[u8],
    method: Method,
    within: usize,
    is_enough: &dyn Fn(&[u8]) -> bool,
) -> Result<(Response, Vec<u8>), String> {
    send(stream, bytes).await?;
    let mut received = Vec::new();
    let mut scanner = HeadScanner::for_response();
    loop {
        let scanned = scanner.scan(&received, &LIMITS);
        if let Some(length) = scanned.map_err(|reject| reject.detail.to_owned())? {
            let head = received.get(..length).unwrap_or_default();
            let response = parse_response(head, Default::default(), &LIMITS, method)
                .map_err(|(reject, _)| reject.detail.to_owned())?;
            received.drain(..length);
            // What announces a response is none (RFC 9110 §15.2); the check's timeout bounds them.
            if response.is_informational() {
                continue;
            }
            let framing = response.framing();
            let body = match within {
                0 => Vec::new(),
                _ => body(stream, received, framing, within, is_enough).await?,
            };
            return Ok((response, body));
        }
        if !read(stream, &mut received).await? {
            return Err("closed before a response".into());
        }
    }
}

/// The body, decoded, until it is enough, its limit, or the end. `received` is what came with the head.
async fn body(
    stream: &Stream,
    mut received: Vec<u8>,
    framing: ResponseFraming,
    within: usize,
    is_enough: &dyn Fn(&[u8]) -> bool,
) -> Result<Vec<u8>, String> {
    let mut decoder = ChunkDecoder::for_response(&LIMITS);
    let mut body = Vec::new();
    let most = match framing {
        ResponseFraming::None => 0,
        ResponseFraming::Length(length) => {
            usize::try_from(length).unwrap_or(usize::MAX).min(within)
        }
        ResponseFraming::Chunked | ResponseFraming::Close => within,
    };
    loop {
        let is_done = match framing {
            ResponseFraming::Chunked => decode(&mut decoder, &mut received, &mut body)?,
            _ => {
                body.append(&mut received);
                false
            }
        };
        if is_done || body.len() >= most || is_enough(&body) {
            body.truncate(most);
            return Ok(body);
        }
        if !read(stream, &mut received).await? {
            return match framing {
                ResponseFraming::Close => Ok(body),
                _ => Err("closed in the middle of its answer".into()),
            };
        }
    }
}

/// Moves the content of chunks from `received` to `body`; true at the end of the last.
fn decode(
    decoder: &mut ChunkDecoder,
    received: &mut Vec<u8>,
    body: &mut Vec<u8>,
) -> Result<bool, String> {
    let mut used = 0;
    let is_done = loop {
        let rest = received.get(used..).unwrap_or_default();
        if rest.is_empty() {
            break false;
        }
        let piece = decoder
            .decode(rest)
            .map_err(|reject| reject.detail.to_owned())?;
        body.extend_from_slice(rest.get(piece.data.clone()).unwrap_or_default());
        used += piece.consumed;
        if piece.done {
            break true;
        }
        if piece.consumed == 0 {
            break false;
        }
    };
    received.drain(..used);
    Ok(is_done)
}
