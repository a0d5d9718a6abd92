// SPDX-License-Identifier: Apache-2.0
use crate::{LogBatch, LogFormat, format_entry};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Batches that may wait for the log thread; more are dropped and counted.
const QUEUE: usize = 256;
/// Entries kept for `why`, and the bytes of text they may hold.
const KEPT: usize = 20_000;
const KEPT_BYTES: usize = 16 << 20;

enum Message {
    Batch(LogBatch),
    /// There is something new in [`Orders`].
    Orders,
    Flush(SyncSender<()>),
}

/// What the log thread is to do before it writes on. Not in the queue: one that is full of batches
/// for a sink that blocks would block whoever gives the order.
#[derive(Debug, Default)]
struct Orders {
    output: Option<(Option<PathBuf>, LogFormat)>,
    reopen: bool,
}

#[derive(Debug, Default)]
struct Kept {
    batches: VecDeque<Arc<(LogBatch, LogFormat)>>,
    entries: usize,
    bytes: usize,
}

/// A node thread's way to the log thread. Never blocks.
#[derive(Clone, Debug)]
pub struct LogSender {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl LogSender {
    /// Hands a batch over; drops it, counted, when the log thread is behind.
    pub fn send(&self, batch: LogBatch) {
        let count = batch.len() as u64;
        if self.queue.try_send(Message::Batch(batch)).is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Owns the log thread. A sink that blocks or fails costs log lines, never requests.
#[derive(Debug)]
pub struct LogWriter {
    sender: LogSender,
    orders: Arc<Mutex<Orders>>,
    kept: Arc<Mutex<Kept>>,
}

impl LogWriter {
    /// Starts the thread, writing nowhere until [`Self::set_output`].
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start() -> io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let kept = Arc::new(Mutex::new(Kept::default()));
        let orders = Arc::new(Mutex::new(Orders::default()));
        let worker = Worker {
            messages,
            orders: orders.clone(),
            dropped: dropped.clone(),
            kept: kept.clone(),
            path: None,
            sink: None,
            format: LogFormat::default(),
        };
        std::thread::Builder::new()
            .name("tidegate-log".into())
            .spawn(move || worker.run())?;
        Ok(Self {
            sender: LogSender { queue, dropped },
            orders,
            kept,
        })
    }

    /// A way to the log for one more thread.
    pub fn sender(&self) -> LogSender {
        self.sender.clone()
    }

    /// Writes to `path` from now on; `-` is standard output, `None` nowhere. Never blocks.
    pub fn set_output(&self, path: Option<PathBuf>, format: LogFormat) {
        self.order(|orders| orders.output = Some((path, format)));
    }

    /// Opens the file again under its name, after it was moved away. Never blocks.
    pub fn reopen(&self) {
        self.order(|orders| orders.reopen = true);
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        // A full queue: the order is found with the next batch.
        let _ = self.sender.queue.try_send(Message::Orders);
    }

    /// Waits until everything sent so far has been handed to the kernel, at most `limit`; false
    /// when the sink takes nothing for so long.
    pub fn flush(&self, limit: Duration) -> bool {
        let (done, wait) = sync_channel(1);
        self.sender.queue.try_send(Message::Flush(done)).is_ok() && wait.recv_timeout(limit).is_ok()
    }

    /// Forgets what was kept for [`Self::find`].
    pub fn forget(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept::default();
    }

    /// Entries that could not be queued or written.
    pub fn dropped(&self) -> u64 {
        self.sender.dropped.load(Ordering::Relaxed)
    }

    /// The line of a recent request; `None` when it is not among the last 20,000, or fewer where
    /// these have more than 16 MiB of text.
    pub fn find(&self, request_id: &str) -> Option<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for shared in kept.batches.iter().rev() {
            let (batch, format) = &**shared;
            for entry in batch.entries() {
                if batch.text(entry, crate::Text::RequestId) == request_id.as_bytes() {
                    let mut line = Vec::new();
                    format_entry(&mut line, batch, entry, format);
                    return String::from_utf8(line).ok();
                }
            }
        }
        None
    }
}

struct Worker {
    messages: Receiver<Message>,
    orders: Arc<Mutex<Orders>>,
    dropped: Arc<AtomicU64>,
    kept: Arc<Mutex<Kept>>,
    path: Option<PathBuf>,
    sink: Option<File>,
    format: LogFormat,
}

impl Worker {
    fn run(mut self) {
        let mut lines = Vec::new();
        while let Ok(message) = self.messages.recv() {
            self.obey();
            match message {
                Message::Batch(batch) => self.write(batch, &mut lines),
                Message::Orders => {}
                Message::Flush(done) => drop(done.send(())),
            }
        }
    }

    fn obey(&mut self) {
        let Orders { output, reopen } =
            std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        let is_new = output.is_some();
        if let Some((path, format)) = output {
            (self.path, self.format) = (path, format);
        }
        if is_new || reopen {
            self.open();
        }
    }

    fn open(&mut self) {
        self.sink = match &self.path {
            None => None,
            Some(path) if path.as_os_str() == "-" => {
                OpenOptions::new().append(true).open("/dev/stdout").ok()
            }
            Some(path) => OpenOptions::new().create(true).append(true).open(path).ok(),
        };
    }

    fn write(&mut self, batch: LogBatch, lines: &mut Vec<u8>) {
        if self.path.is_some() {
            lines.clear();
            for entry in batch.entries() {
                format_entry(lines, &batch, entry, &self.format);
            }
            if self.sink.is_none() {
                self.open();
            }
            let written = self
                .sink
                .as_mut()
                .map_or(0, |sink| write_lines(sink, lines));
            if written < batch.len() {
                // A full disk: the lines are lost, the next batch tries again.
                let lost = (batch.len() - written) as u64;
                self.dropped.fetch_add(lost, Ordering::Relaxed);
                self.sink = None;
            }
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entries += batch.len();
        kept.bytes += batch.size();
        kept.batches
            .push_back(Arc::new((batch, self.format.clone())));
        while (kept.entries > KEPT || kept.bytes > KEPT_BYTES) && kept.batches.len() > 1 {
            let Some(gone) = kept.batches.pop_front() else {
                break;
            };
            kept.entries -= gone.0.len();
            kept.bytes -= gone.0.size();
        }
    }
}

/// Writes as many whole lines as there is room for; returns how many.
///
/// The beginning of one that did not fit is taken back, if the file allows it: the next line to be
/// written would follow it without an end of line, and both would be spoilt.
fn write_lines(sink: &mut File, lines: &[u8]) -> usize {
    let mut done = 0;
    while let Some(rest) = lines.get(done..).filter(|rest| !rest.is_empty()) {
        match sink.write(rest) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let written = lines.get(..done).unwrap_or_default();
    let torn = written
        .iter()
        .rev()
        .take_while(|byte| **byte != b'\n')
        .count() as u64;
    if torn > 0
        && let Ok(length) = sink.metadata().map(|found| found.len())
    {
        let _ = sink.set_len(length.saturating_sub(torn)); // a pipe or a device: nothing to take back
    }
    written.iter().filter(|byte| **byte == b'\n').count()
}
