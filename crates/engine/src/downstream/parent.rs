// SPDX-License-Identifier: Apache-2.0
//! Tunnels through another proxy.
use super::connection::Downstream;
use super::record::Record;
use crate::decide;
use crate::egress::ParentPlan;
use crate::snapshot::BackendPlan;
use crate::thread::{Buffer, Connection};
use crate::upstream::{MAX_CONNECTS, Place, Wait, head_limits_of};
use std::future::poll_fn;
use std::task::Poll;
use tidegate_contract::Exchange;
use tidegate_core::ErrorKind;
use tidegate_http::{HeadScanner, parse_response};
use tidegate_request::{Method, Storage};
use tidegate_tls::Inside;

/// Why there is no tunnel.
pub(super) type NoTunnel = (ErrorKind, &'static str);

/// What is beyond the other proxy: a place and a connection there, and what came behind its answer.
pub(super) type Beyond = (Place, Connection, Buffer);

impl Downstream {
    /// Has one of `plan`'s endpoints, a proxy, connect to what CONNECT names.
    pub(super) async fn tunnel_through(
        &mut self,
        exchange: &Exchange,
        plan: &BackendPlan,
        parent: &ParentPlan,
        record: &mut Record,
    ) -> Result<Beyond, NoTunnel> {
        let (place, connection) = self.reach_parent(exchange, plan, record).await?;
        let host = exchange.request.host().unwrap_or_default();
        let target = format!("{host}:{}", exchange.request.port().unwrap_or(80));
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if !parent.authorization.is_empty() {
            head.push_str(&format!(
                "Proxy-Authorization: {}\r\n",
                parent.authorization
            ));
        }
        head.push_str("\r\n");
        let limit = plan.config.timeouts.first_byte.0;
        self.timer.set(self.thread.now().after_millis(limit));
        match self.ask_parent(&connection, plan, head.as_bytes()).await {
            Ok((200..300, buffer)) => {
                place.succeeded();
                Ok((place, connection, buffer))
            }
            Ok((407, _)) => Err((
                ErrorKind::ProxyConfigurationError,
                "the parent proxy takes no such credentials",
            )),
            Ok((504, _)) => Err((
                ErrorKind::ConnectionTimeout,
                "the parent proxy could not connect in time",
            )),
            Ok(_) => Err((
                ErrorKind::ConnectionRefused,
                "the parent proxy refused the tunnel",
            )),
            Err(error) => {
                place.failed(plan, self.thread.now());
                Err(error)
            }
        }
    }

    /// A connection to one of the endpoints.
    async fn reach_parent(
        &self,
        exchange: &Exchange,
        plan: &BackendPlan,
        record: &mut Record,
    ) -> Result<(Place, Connection), NoTunnel> {
        let key = decide::key(plan, &exchange.request, exchange.client.address);
        let mut tried = Vec::new();
        let mut last = None;
        loop {
            let wait = Wait {
                downstream: self,
                plan,
                tried: &tried,
                key: &key,
                until: None,
            };
            let place = match Place::take(wait).await {
                Ok(place) => place,
                Err(error) => return Err(last.unwrap_or(error)),
            };
            record.endpoint = Some(place.endpoint.clone());
            let connecting = place.connect_anew(self, plan, Inside::Http, None, record);
            match connecting.await {
                Ok(connection) => return Ok((place, connection)),
                Err(error) => {
                    place.failed_after(plan, self.thread.now(), 0);
                    tried.push(place.index as u16);
                    last = Some(error);
                    record.entry.retries = record.entry.retries.saturating_add(1);
                    if tried.len() >= MAX_CONNECTS {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Sends `head` and reads the head of the answer: its status, and what came behind it.
    async fn ask_parent(
        &self,
        connection: &Connection,
        plan: &BackendPlan,
        head: &[u8],
    ) -> Result<(u16, Buffer), NoTunnel> {
        let broken = (
            ErrorKind::ConnectionTerminated,
            "the parent proxy broke off",
        );
        let late = (
            ErrorKind::HttpResponseTimeout,
            "the parent proxy did not answer in time",
        );
        let odd = (
            ErrorKind::HttpProtocolError,
            "the parent proxy's answer is no HTTP",
        );
        let limits = head_limits_of(plan);
        let mut scanner = HeadScanner::for_response();
        let mut buffer = self.thread.buffers.take();
        let mut sent = 0;
        loop {
            let step = poll_fn(|cx| {
                while let Some(rest) = head.get(sent..).filter(|rest| !rest.is_empty()) {
                    match connection.stream.poll_write(cx, rest) {
                        Poll::Ready(Ok(count)) => sent += count,
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(broken)),
                        Poll::Pending => break,
                    }
                }
                match connection
                    .stream
                    .poll_read(cx, buffer.room(limits.header_size))
                {
                    Poll::Ready(Ok(count)) if count > 0 => Poll::Ready(Ok(count)),
                    Poll::Ready(_) => Poll::Ready(Err(broken)),
                    Poll::Pending => self.timer.poll_expired(cx).map(|()| Err(late)),
                }
            });
            let count = step.await?;
            buffer.filled(count);
            let Some(length) = scanner.scan(buffer.data(), &limits).map_err(|_| odd)? else {
                continue;
            };
            let whole = buffer.data().get(..length).unwrap_or_default();
            let parsed = parse_response(whole, Storage::new(), &limits, Method::Get);
            let status = parsed.map_err(|_| odd)?.status();
            buffer.consume(length);
            return Ok((status, buffer));
        }
    }
}
