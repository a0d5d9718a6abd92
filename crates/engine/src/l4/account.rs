// SPDX-License-Identifier: Apache-2.0
//! What is told of a connection of layer 4, or of a session of UDP, when it is over.
use super::plan::L4RoutePlan;
use crate::snapshot::ListenerPlan;
use crate::thread::Thread;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use tidegate_contract::Endpoint;
use tidegate_core::{ErrorKind, Moment};
use tidegate_telemetry::{L4Stats, LogEntry, TEXTS, Text};

/// What will be said of a connection or a session when it is over.
pub(super) struct Account {
    thread: Rc<Thread>,
    listener: Arc<ListenerPlan>,
    pub(super) entry: LogEntry,
    pub(super) started: Moment,
    pub(super) route: Option<Arc<L4RoutePlan>>,
    pub(super) backend: Option<Arc<str>>,
    pub(super) endpoint: Option<Arc<Endpoint>>,
    /// The host that a client of TLS or QUIC asked for, where that was read.
    pub(super) host: Option<String>,
}

impl Account {
    pub(super) fn new(
        thread: &Rc<Thread>,
        listener: &Arc<ListenerPlan>,
        client: IpAddr,
        started: Moment,
        snapshot: u64,
    ) -> Self {
        let mut entry = LogEntry::new(client);
        entry.snapshot = snapshot;
        Self {
            thread: thread.clone(),
            listener: listener.clone(),
            entry,
            started,
            route: None,
            backend: None,
            endpoint: None,
            host: None,
        }
    }

    pub(super) fn stats(&self, count: impl Fn(&L4Stats)) {
        if let Some(route) = &self.route
            && let Some(stats) = route.stats.of(self.thread.index)
        {
            count(stats);
        }
    }

    /// It is `route`'s.
    pub(super) fn takes(&mut self, route: &Arc<L4RoutePlan>) {
        self.route = Some(route.clone());
        self.stats(|stats| stats.add(|stats| &stats.opened, 1));
    }

    /// There is no endpoint for it.
    pub(super) fn refused(mut self, kind: ErrorKind, detail: &str) {
        self.entry.error = Some(kind);
        self.finish("refused", detail);
    }

    /// Counts it, and writes it down.
    pub(super) fn finish(&mut self, ended: &'static str, detail: &str) {
        let thread = &self.thread;
        self.entry.ended = ended;
        self.entry.duration_us = thread.now().micros_since(self.started);
        self.entry.wall_micros = thread.clock.wall_micros(self.started);
        self.stats(|stats| {
            stats.add(|stats| &stats.closed, 1);
            if self.entry.error.is_some() {
                stats.add(|stats| &stats.failed, 1);
            }
            if self.entry.retries > 0 {
                stats.add(|stats| &stats.retries, self.entry.retries.into());
            }
        });
        if let Some(error) = self.entry.error {
            thread.stats.count_error(error);
        }
        let mut id = String::new();
        thread.request_id(&mut id);
        let route = self.route.as_ref().map_or("", |route| &*route.name);
        let endpoint = self.endpoint.as_ref();
        let mut texts: [&[u8]; TEXTS] = [b""; TEXTS];
        for (which, text) in [
            (Text::RequestId, id.as_str()),
            (Text::Listener, &self.listener.name),
            (Text::Host, self.host.as_deref().unwrap_or_default()),
            (Text::Route, route),
            (Text::Backend, self.backend.as_deref().unwrap_or_default()),
            (Text::Endpoint, endpoint.map_or("", |each| &each.address)),
            (Text::Detail, detail),
        ] {
            if let Some(slot) = texts.get_mut(which as usize) {
                *slot = text.as_bytes();
            }
        }
        thread.log(self.entry, texts);
    }
}
