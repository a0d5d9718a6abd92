// SPDX-License-Identifier: Apache-2.0
//! Moves a file's bytes to the client.
use super::find::{Content, Entry};
use super::open::{self, Identity, Patience};
use super::reply::{Parts, Reply, body_of};
use crate::downstream::{Downstream, Journey, Record};
use rustix::fs::fstat;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Poll;
use tidegate_contract::Exchange;
use tidegate_core::{ErrorKind, Moment};
use tidegate_http::ResponseContext;
use tidegate_request::{Method, Response};

/// Bytes of a file that one connection sends before others get their turn, and whose presence in
/// memory is asked about at once.
const WINDOW: u64 = 512 << 10;
/// The longest body that is put behind its head for one write.
const COPIED: u64 = 32 << 10;
/// Bytes that are read at a time to bring a window into memory.
const STEP: usize = 128 << 10;

/// Why the rest of a file was not sent.
struct Cut(ErrorKind, &'static str);

const GONE: Cut = Cut(ErrorKind::ClientGone, "the client left");
const STOPPED: Cut = Cut(ErrorKind::ClientGone, "the client stopped reading");
const LATE: Cut = Cut(ErrorKind::RequestDeadline, "the exchange took too long");
const UNREADABLE: Cut = Cut(ErrorKind::ProxyInternalError, "the file could not be read");
const CHANGED: Cut = Cut(
    ErrorKind::ProxyInternalError,
    "the file changed while it was sent",
);

/// Sends `reply`, whose bytes are `entry`'s, past the response filters; returns whether the
/// connection may go on.
pub(crate) async fn send(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    exchange: &mut Exchange,
    record: &mut Record,
    entry: &Arc<Entry>,
    reply: Reply,
) -> bool {
    let Reply {
        status,
        fields,
        form,
        parts,
        length,
    } = reply;
    let Entry::File(file) = &**entry else {
        return false;
    };
    let keep_alive = journey.keep_alive && journey.upload.is_done;
    let method = exchange.request.method_kind();
    let mut response = Response::local(status, fields, length, method);
    if let Some(other) = journey.way_back(exchange, &mut response).await {
        let sent = downstream.reply(record, &exchange.request, other, keep_alive);
        return sent.await.is_ok() && keep_alive;
    }
    let mut out = downstream.thread.buffers.take_output();
    let context = ResponseContext {
        version: exchange.request.version(),
        keep_alive,
        pseudonym: &journey.current.snapshot.settings.config.name,
        date: downstream.thread.date(),
        is_local: true,
    };
    let begun = downstream.begin_response(&mut out, &response, &context);
    if begun.await.is_err() {
        record.fail_with(STOPPED.0, STOPPED.1);
        downstream.cut();
        return false;
    }
    record.responds(&response, journey.current);
    let head = out.len();
    let deadline = journey.routed.route.deadline;
    let sending = Sending {
        downstream,
        until: deadline.map(|limit| record.started.after_millis(limit.0)),
    };
    let is_short = method == Method::Head || matches!(parts, Parts::None);
    let body = body_of(file, form);
    let outcome = match &body.content {
        _ if is_short => sending.bytes(&out).await,
        Content::Memory(bytes) => match &parts {
            // Copying it behind the head would cost more than a second write.
            Parts::One(range) if length > COPIED => sending.slice(&out, bytes, range).await,
            parts => {
                if length > COPIED {
                    sending.downstream.hold(2 * length as usize);
                }
                from_memory(&mut out, bytes, parts);
                sending.bytes(&out).await
            }
        },
        Content::File(fd) => {
            let content = Kept { entry, form, fd };
            sending.file(&out, &content, body.identity, &parts).await
        }
    };
    let sent = out.len().saturating_sub(head) as u64;
    downstream.thread.buffers.give_output(out);
    match outcome {
        Ok(streamed) => {
            record.entry.bytes_out = sent + streamed;
            keep_alive
        }
        Err((Cut(kind, detail), streamed)) => {
            record.entry.bytes_out = streamed;
            record.fail_with(kind, detail);
            downstream.cut();
            false
        }
    }
}

/// Head and body in one write.
fn from_memory(out: &mut Vec<u8>, bytes: &[u8], parts: &Parts) {
    let add = |out: &mut Vec<u8>, range: &Range<u64>| {
        let range = range.start as usize..range.end as usize;
        out.extend_from_slice(bytes.get(range).unwrap_or_default());
    };
    match parts {
        Parts::None => {}
        Parts::One(range) => add(out, range),
        Parts::Several(parts, end) => {
            for (head, range) in parts {
                out.extend_from_slice(head.as_bytes());
                add(out, range);
            }
            out.extend_from_slice(end.as_bytes());
        }
    }
}

/// An open file, and what keeps it open.
struct Kept<'a> {
    entry: &'a Arc<Entry>,
    form: Option<usize>,
    fd: &'a OwnedFd,
}

struct Sending<'a> {
    downstream: &'a Downstream,
    until: Option<Moment>,
}

/// Bytes of the body that were sent, also with what cut it.
type Outcome = Result<u64, (Cut, u64)>;

impl Sending<'_> {
    async fn bytes(&self, bytes: &[u8]) -> Outcome {
        let sent = self.downstream.write_all(bytes).await;
        sent.map(|()| 0).map_err(|_| (STOPPED, 0))
    }

    /// Head and a part of what is in memory, one after the other.
    async fn slice(&self, head: &[u8], bytes: &[u8], range: &Range<u64>) -> Outcome {
        let range = range.start as usize..range.end as usize;
        let bytes = bytes.get(range).unwrap_or_default();
        self.text(head, true).await.map_err(|cut| (cut, 0))?;
        self.text(bytes, false).await.map_err(|cut| (cut, 0))?;
        Ok(bytes.len() as u64)
    }

    async fn file(
        &self,
        head: &[u8],
        kept: &Kept<'_>,
        identity: Identity,
        parts: &Parts,
    ) -> Outcome {
        let mut sent = 0;
        let outcome = self.all(head, kept, identity, parts, &mut sent).await;
        outcome.map(|()| sent).map_err(|cut| (cut, sent))
    }

    async fn all(
        &self,
        head: &[u8],
        kept: &Kept<'_>,
        identity: Identity,
        parts: &Parts,
        sent: &mut u64,
    ) -> Result<(), Cut> {
        self.text(head, true).await?;
        match parts {
            Parts::None => {}
            Parts::One(range) => self.range(kept, identity, range, sent).await?,
            Parts::Several(parts, end) => {
                for (head, range) in parts {
                    self.text(head.as_bytes(), true).await?;
                    *sent += head.len() as u64;
                    self.range(kept, identity, range, sent).await?;
                }
                self.text(end.as_bytes(), false).await?;
                *sent += end.len() as u64;
            }
        }
        Ok(())
    }

    /// `has_more` keeps the kernel from sending a short packet before what follows.
    async fn text(&self, text: &[u8], has_more: bool) -> Result<(), Cut> {
        let mut sent = 0;
        let mut pause = Pause::default();
        poll_fn(|cx| {
            while let Some(rest) = text.get(sent..).filter(|rest| !rest.is_empty()) {
                match self.downstream.stream.poll_write_part(cx, rest, has_more) {
                    Poll::Ready(Ok(count)) => {
                        sent += count;
                        pause.is_set = false;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(GONE)),
                    Poll::Pending => return pause.poll(self, cx),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Sends `range` of a file in windows. Its size and time are looked at again before the last one:
    /// bytes of two states must never pass for one file.
    async fn range(
        &self,
        kept: &Kept<'_>,
        identity: Identity,
        range: &Range<u64>,
        sent: &mut u64,
    ) -> Result<(), Cut> {
        let mut offset = range.start;
        while offset < range.end {
            let end = range.end.min(offset + WINDOW);
            if !is_warm(kept.fd, offset, end) {
                self.warm(kept, offset, end).await?;
            }
            if end == range.end {
                let stat = fstat(kept.fd).map_err(|_| UNREADABLE)?;
                let now = Identity::of(&stat);
                if (now.modified, now.length) != (identity.modified, identity.length) {
                    return Err(CHANGED);
                }
            }
            self.window(kept.fd, &mut offset, end, sent).await?;
            if offset < range.end {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    async fn window(
        &self,
        fd: &OwnedFd,
        offset: &mut u64,
        end: u64,
        sent: &mut u64,
    ) -> Result<(), Cut> {
        let mut pause = Pause::default();
        poll_fn(|cx| {
            while *offset < end {
                let count = (end - *offset) as usize;
                match self
                    .downstream
                    .stream
                    .poll_send_file(cx, fd, *offset, count)
                {
                    // Nothing left where something was: the file was cut short.
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(CHANGED)),
                    Poll::Ready(Ok(count)) => {
                        *offset += count as u64;
                        *sent += count as u64;
                        pause.is_set = false;
                    }
                    Poll::Ready(Err(error)) => {
                        let is_disk = error.raw_os_error() == Some(5);
                        return Poll::Ready(Err(if is_disk { UNREADABLE } else { GONE }));
                    }
                    Poll::Pending => return pause.poll(self, cx),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Has the kernel read a window from the disk, away from this thread.
    async fn warm(&self, kept: &Kept<'_>, mut offset: u64, end: u64) -> Result<(), Cut> {
        let (entry, form) = (kept.entry.clone(), kept.form);
        let mut reading = tokio::task::spawn_blocking(move || {
            let Entry::File(file) = &*entry else { return };
            let Content::File(fd) = &body_of(file, form).content else {
                return;
            };
            let mut bytes = vec![0; STEP];
            while offset < end {
                match open::read_at(fd, &mut bytes, offset, Patience::Any) {
                    Ok(count) if count > 0 => offset += count as u64,
                    _ => return,
                }
            }
        });
        let mut pause = Pause::default();
        poll_fn(|cx| match std::pin::Pin::new(&mut reading).poll(cx) {
            Poll::Ready(_) => Poll::Ready(Ok(())),
            Poll::Pending => pause.poll(self, cx).map(|_| Err(UNREADABLE)),
        })
        .await
    }
}

/// A wait for the client, or the disk, of at most `send_stall` and the exchange's own end.
#[derive(Default)]
struct Pause {
    is_set: bool,
}

impl Pause {
    fn poll(
        &mut self,
        sending: &Sending<'_>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Result<(), Cut>> {
        let downstream = sending.downstream;
        let now = downstream.thread.now();
        if !self.is_set {
            let stall = downstream.listener.config.timeouts.send_stall.0;
            let at = now.after_millis(stall);
            downstream
                .timer
                .set(sending.until.map_or(at, |until| at.min(until)));
            self.is_set = true;
        }
        let is_late = sending.until.is_some_and(|until| now >= until);
        let cut = if is_late { LATE } else { STOPPED };
        downstream.timer.poll_expired(cx).map(|()| Err(cut))
    }
}

/// Whether the first and the last byte of a window are in memory; what lies between usually is, too.
fn is_warm(fd: &OwnedFd, offset: u64, end: u64) -> bool {
    let mut byte = [0];
    [offset, end.saturating_sub(1)]
        .iter()
        .all(|at| open::read_at(fd, &mut byte, *at, Patience::Now).is_ok())
}
