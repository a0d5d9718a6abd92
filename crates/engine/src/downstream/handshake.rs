// SPDX-License-Identifier: Apache-2.0
//! The TLS handshake of a connection, before there is a request: it needs neither a buffer nor a
//! request's future.
use super::connection::Downstream;
use super::head::Head;
use super::part::Part;
use super::record::Record;
use super::wire::Wire;
use crate::secure::Said;
use std::sync::Arc;
use std::task::{Context, Poll};
use tidegate_core::ErrorKind;
use tidegate_request::{Reject, Scheme, Version};
use tidegate_telemetry::LogEntry;
use tidegate_tls::Refusal;

/// What the handshake came to.
pub(crate) enum Shaken {
    /// Requests may come.
    Done,
    /// The client speaks HTTP without TLS, and is told in its own words.
    Bare(Head),
    /// There is no connection.
    Over,
}

impl Downstream {
    /// How the client reaches us.
    #[inline]
    pub(crate) fn scheme(&self) -> Scheme {
        match self.stream.is_secured() {
            true => Scheme::Https,
            false => Scheme::Http,
        }
    }

    /// What `Strict-Transport-Security` says: nothing outside of TLS (RFC 6797 §7.2).
    #[inline]
    pub(crate) fn hsts(&self) -> Option<Arc<str>> {
        let tls = self.listener.tls.as_ref()?;
        tls.hsts.clone().filter(|_| self.stream.is_secured())
    }

    /// What every response tells of the listener.
    #[inline]
    pub(crate) fn said(&self) -> Said {
        let is_http3 = matches!(self.stream.stream(), Some(Part::Http3(_)));
        let tls = self.listener.tls.as_ref();
        let tls = tls.filter(|_| !is_http3 && self.stream.is_secured());
        Said {
            hsts: self.hsts(),
            alt_svc: tls.and_then(|tls| tls.alt_svc.clone()),
        }
    }

    /// Has the log tell what was agreed on.
    #[inline]
    pub(super) fn note_tls(&self, record: &mut Record) {
        if let Some(told) = self.stream.told() {
            record.entry.tls = told.version;
            record.entry.cipher = told.cipher;
        }
    }

    /// Sets the deadline of the handshake, from now on.
    pub(crate) fn begin_handshake(&self) {
        let limit = self.listener.config.timeouts.handshake.0;
        self.timer.set(self.thread.moment().after_millis(limit));
    }

    /// Does what there is to do of the handshake.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Shaken> {
        let Some(tls) = &self.listener.tls else {
            return Poll::Ready(Shaken::Done);
        };
        let Some(stream) = self.stream.whole() else {
            return Poll::Ready(Shaken::Done);
        };
        let outcome = match stream.poll_handshake(cx, &tls.acceptance) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending if self.thread.closes_idle.get() => Err(Refusal::Closed),
            Poll::Pending => match self.timer.poll_expired(cx) {
                Poll::Ready(()) => Err(Refusal::Timeout),
                Poll::Pending => return Poll::Pending,
            },
        };
        let stats = &self.thread.stats;
        Poll::Ready(match outcome {
            // It has seen what it came for (RFC 8737 §3).
            Ok(()) if self.stream.told().is_some_and(|told| told.is_challenge) => {
                self.stream.say_end();
                Shaken::Over
            }
            Ok(()) => {
                let is_resumed = self.stream.told().is_some_and(|told| told.is_resumed);
                stats.count(|stats| match is_resumed {
                    true => &stats.handshakes_resumed,
                    false => &stats.handshakes_full,
                });
                Shaken::Done
            }
            Err(refusal) => {
                stats.count_refusal(refusal as usize);
                self.refuse_handshake(refusal)
            }
        })
    }

    /// Has the log tell what was wrong with a connection that carries many requests, or with a stream of
    /// it that became none.
    pub(super) fn log_broken(&self, version: Version, kind: ErrorKind, detail: &'static str) {
        let thread = &self.thread;
        let mut record = Record::new(LogEntry::new(self.peer.address()), thread.now());
        record.entry.version = version.tenths();
        record.fail_with(kind, detail);
        self.note_tls(&mut record);
        thread.request_id(&mut record.request_id);
        record.finish(thread, &self.listener.name, &thread.current(), None);
    }

    fn refuse_handshake(&mut self, refusal: Refusal) -> Shaken {
        if refusal == Refusal::PlainHttp {
            if let Wire::Whole(stream) = &mut self.stream {
                stream.lay_bare();
            }
            let reject = Reject::new(ErrorKind::TlsExpected, refusal.detail());
            return Shaken::Bare(Head::Refused(reject));
        }
        self.blame();
        // Whoever comes and goes is no news, and many do: the metrics count them.
        if refusal != Refusal::Closed && self.thread.may_log_handshake() {
            self.log_refusal(refusal);
        }
        Shaken::Over
    }

    /// It is no request: it is in the log, and among those that were counted it is not.
    pub(crate) fn log_refusal(&self, refusal: Refusal) {
        self.log_refused(ErrorKind::TlsHandshakeError, refusal.detail());
    }
}
