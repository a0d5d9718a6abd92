// SPDX-License-Identifier: Apache-2.0
//! A connection that has left HTTP: what its task has from then on, and what is told of it at its end.
use super::UnderWay;
use super::connection::Downstream;
use super::pass_out::Passage;
use super::record::Record;
use crate::thread::Current;
use crate::upstream::{End, Place, Tunnel};
use std::any::Any;
use std::rc::Rc;
use std::task::{Context, Poll};
use tidegate_core::Moment;
use tidegate_request::Request;

/// About what it takes besides what waits to be passed on: the request and what is told of it.
const BASE: usize = 4 << 10;

/// What filters keep of an exchange until it is over.
type Kept = Vec<Option<Box<dyn Any>>>;

/// A tunnel, and what is left of the request that asked for it. The future in which that was carried
/// out is gone: the connection's task polls the tunnel itself.
pub(crate) struct Switched {
    tunnel: Tunnel,
    /// Where the endpoint has one.
    _place: Option<Place>,
    passage: Option<Passage>,
    kept: Kept,
    /// The last try's span, and what it was answered.
    span: Option<(String, Moment)>,
    status: u16,
    told: Option<Told>,
    /// Bytes that are known to be held.
    held: usize,
}

/// What the log is told, and under which settings.
struct Told {
    request: Request,
    record: Record,
    current: Rc<Current>,
}

impl Switched {
    pub(crate) fn new(tunnel: Tunnel, place: Option<Place>) -> Box<Self> {
        Box::new(Self {
            tunnel,
            _place: place,
            passage: None,
            kept: Vec::new(),
            span: None,
            status: 0,
            told: None,
            held: 0,
        })
    }

    /// It came of a try that was answered with `status`.
    pub(crate) fn is_try(&mut self, span: Option<(String, Moment)>, status: u16) {
        (self.span, self.status) = (span, status);
    }

    /// Keeps what must last as long as it does.
    pub(super) fn keep(&mut self, passage: Option<Passage>, kept: Kept) {
        (self.passage, self.kept) = (passage, kept);
    }

    /// What is to be told at its end.
    pub(super) fn tells_of(&mut self, request: Request, record: Record, current: &Rc<Current>) {
        let current = Rc::clone(current);
        self.told = Some(Told {
            request,
            record,
            current,
        });
    }

    /// Passes on what there is; ready at the end.
    #[inline]
    pub(super) fn poll(&mut self, connection: &Downstream, cx: &mut Context<'_>) -> Poll<End> {
        let end = self.tunnel.poll(connection, cx);
        let held = self.tunnel.held() + BASE;
        if held != self.held {
            self.held = held;
            connection.holding.hold(held);
        }
        end
    }

    /// Says the last words on a connection and tells of it.
    pub(super) async fn end(mut self: Box<Self>, mut under_way: UnderWay, end: End) {
        let Some(connection) = &mut under_way.0 else {
            return;
        };
        let (moved, fault) = self.tunnel.end(connection, &end).await;
        let _ = connection.finish().await; // who is gone need not be told
        let Some(told) = self.told.take() else {
            return;
        };
        let (request, mut record) = (told.request, told.record);
        record.entry.bytes_in += moved.0;
        record.entry.bytes_out = moved.1;
        if let Some(fault) = fault {
            record.fail(&fault);
        }
        record.end_try(
            self.span.take(),
            &request,
            &connection.thread,
            Ok(self.status),
        );
        connection.has_passed(self.passage.as_ref(), &record);
        // Everything that counts it as under way, and both ends.
        drop(self);
        let is_over = !request.keep_alive() && !record.has_unread && connection.buffer.is_empty();
        let name = connection.listener.name.clone();
        record.finish(&connection.thread, &name, &told.current, Some(&request));
        connection.thread.give_storage(Some(request.into_storage()));
        if !is_over {
            connection.linger().await;
        }
        connection.holding.hold(0);
        connection.say_end();
        // Not as one that was dropped before its end.
        under_way.0 = None;
    }
}
