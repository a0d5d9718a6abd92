// SPDX-License-Identifier: Apache-2.0
use crate::combined::format_combined;
use crate::kept::Kept;
use crate::sink::Sink;
use crate::spans::Spans;
use crate::{LogBatch, LogEntry, LogFormat, format_entry};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_core::Draw;

/// Batches that may wait for the log thread; more are dropped and counted.
const QUEUE: usize = 256;

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
    spans: Arc<Mutex<Spans>>,
}

impl LogWriter {
    /// Starts the thread, writing nowhere until [`Self::set_output`].
    ///
    /// `tell` hears, on that thread, of an output that can not be opened or written: once for each trouble,
    /// not for each line that is lost by it.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(tell: impl Fn(&str) + Send + 'static) -> io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let kept = Arc::new(Mutex::new(Kept::default()));
        let orders = Arc::new(Mutex::new(Orders::default()));
        let spans = Arc::new(Mutex::new(Spans::default()));
        let worker = Worker {
            messages,
            orders: orders.clone(),
            dropped: dropped.clone(),
            kept: kept.clone(),
            spans: spans.clone(),
            path: None,
            sink: None,
            trouble: None,
            tell: Box::new(tell),
            format: Arc::default(),
            draw: Draw::from_entropy(),
        };
        std::thread::Builder::new()
            .name("tidegate-log".into())
            .spawn(move || worker.run())?;
        Ok(Self {
            sender: LogSender { queue, dropped },
            orders,
            kept,
            spans,
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
        self.kept().forget();
    }

    /// Entries that could not be queued or written.
    pub fn dropped(&self) -> u64 {
        self.sender.dropped.load(Ordering::Relaxed)
    }

    /// The line of a recent request; `None` when it is not among the last 20,000, or fewer where
    /// these have more than 16 MiB of text.
    pub fn find(&self, request_id: &str) -> Option<String> {
        self.kept().find(request_id)
    }

    /// The last slow requests, oldest first, each a JSON object in one line with its `timing`.
    pub fn slow(&self) -> Vec<String> {
        self.kept().slow()
    }

    /// Calls `see` with every kept entry that began at `since` or later, in microseconds since 1970;
    /// newest batches first.
    pub fn recent(&self, since: u64, see: impl FnMut(&LogBatch, &LogEntry)) {
        self.kept().recent(since, see);
    }

    /// The oldest spans that wait to be sent, at most `most`, each in the JSON of OTLP.
    pub fn take_spans(&self, most: usize) -> Vec<String> {
        self.spans().take(most)
    }

    /// Counts spans that could not be sent.
    pub fn lose_spans(&self, count: u64) {
        self.spans().lost += count;
    }

    /// Spans that were lost: too many waited, or nobody took them.
    pub fn lost_spans(&self) -> u64 {
        self.spans().lost
    }

    fn spans(&self) -> std::sync::MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker {
    messages: Receiver<Message>,
    orders: Arc<Mutex<Orders>>,
    dropped: Arc<AtomicU64>,
    kept: Arc<Mutex<Kept>>,
    spans: Arc<Mutex<Spans>>,
    path: Option<PathBuf>,
    sink: Option<Sink>,
    /// What was told last, until the output is another one or is opened anew.
    trouble: Option<String>,
    tell: Box<dyn Fn(&str) + Send>,
    format: Arc<LogFormat>,
    draw: Draw,
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
            (self.path, self.format) = (path, Arc::new(format));
        }
        if is_new || reopen {
            self.trouble = None;
            self.open();
        }
    }

    fn open(&mut self) {
        self.sink = None;
        let Some(path) = &self.path else { return };
        match Sink::open(path) {
            Ok(sink) => self.sink = Some(sink),
            Err(error) => self.complain(&format!(
                "can not be opened: {error}; no request is logged until the user that the node runs as \
                 may write there"
            )),
        }
    }

    /// Tells what is wrong with the output unless that was the last thing told of it.
    fn complain(&mut self, trouble: &str) {
        if self.trouble.as_deref() == Some(trouble) {
            return;
        }
        let path = self.path.as_deref().unwrap_or(Path::new("")).display();
        (self.tell)(&format!("access log: {path} {trouble}"));
        self.trouble = Some(trouble.into());
    }

    fn write(&mut self, batch: LogBatch, lines: &mut Vec<u8>) {
        if self.path.is_some() {
            let entries = self.format_chosen(&batch, lines);
            if self.sink.is_none() && !entries.is_empty() {
                self.open();
            }
            let written = match &mut self.sink {
                Some(sink) => sink.write(lines, &batch, &entries),
                None => Err((0, io::ErrorKind::NotConnected.into())),
            };
            if let Err((written, error)) = written {
                // A full disk: the lines are lost, the next batch tries again.
                let lost = (entries.len() - written) as u64;
                self.dropped.fetch_add(lost, Ordering::Relaxed);
                if self.sink.take().is_some() {
                    self.complain(&format!(
                        "takes no more lines: {error}; they are lost, and counted in \
                         tidegate_log_dropped_entries"
                    ));
                }
            }
        }
        if batch.has_spans() {
            let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
            spans.add(&batch, &self.format);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keep(batch, &self.format);
    }

    /// Formats those entries of a batch that are to be logged, and returns them.
    fn format_chosen<'a>(&mut self, batch: &'a LogBatch, lines: &mut Vec<u8>) -> Vec<&'a LogEntry> {
        lines.clear();
        let format = &self.format;
        let mut chosen = Vec::with_capacity(batch.len());
        for entry in batch.entries() {
            let is_sampled = format.one_in > 1 && !entry.is_failure() && !format.is_slow(entry);
            if is_sampled && self.draw.below(u64::from(format.one_in)) != 0 {
                continue;
            }
            match format.is_combined {
                true => format_combined(lines, batch, entry, format),
                false => format_entry(lines, batch, entry, format, is_sampled),
            }
            chosen.push(entry);
        }
        chosen
    }
}
