// SPDX-License-Identifier: Apache-2.0
use super::connection::{Connection, lock};
use super::core::{Core, EXIT_MEMORY, EXIT_STUCK};
use super::exchange::{Exchange, Stage};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tidegate_core::Moment;
use tidegate_functions::encode_fatal;
use tidegate_telemetry::Event;

/// How long past its deadline code may hold up the loop or a thread before the process is ended.
const GRACE_MS: u64 = 1000;
/// How often the watchdog looks while there is work.
const TICK: Duration = Duration::from_millis(200);
/// How often it looks when there is none: the users' own tasks may get stuck as well.
const REST: Duration = Duration::from_secs(1);
/// The most bytes of stack traces that go into the log.
const DUMP: usize = 16 << 10;

/// What the watchdog's thread shares with the loop's.
///
/// The thread never takes the GIL, so it sees a loop or an extension that keeps it for ever. It asks
/// the loop for a sign of life through a socket; a loop that gives none is stuck.
pub(super) struct Watch {
    longest_ms: u64,
    log: File,
    /// As `Event::line` takes it.
    log_offset: Option<i64>,
    dump: File,
    dump_signal: i32,
    asking: UnixStream,
    asked: UnixStream,
    /// Asked and answered so often.
    questions: AtomicU64,
    answers: AtomicU64,
    /// Connection and exchange whose code runs on the loop right now, or 0.
    stepping: AtomicU64,
    is_asleep: AtomicBool,
    is_stopped: Mutex<bool>,
    wake: Condvar,
}

fn duplicate(descriptor: RawFd) -> std::io::Result<File> {
    // SAFETY: the descriptor was just handed over by our own Python side, which keeps it open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    borrowed.try_clone_to_owned().map(File::from)
}

impl Watch {
    pub(super) fn new(
        longest_ms: u64,
        log: RawFd,
        log_offset: Option<i64>,
        dump: RawFd,
        dump_signal: i32,
    ) -> std::io::Result<Self> {
        let (asking, asked) = UnixStream::pair()?;
        asking.set_nonblocking(true)?;
        asked.set_nonblocking(true)?;
        Ok(Self {
            longest_ms,
            log: duplicate(log)?,
            log_offset,
            dump: duplicate(dump)?,
            dump_signal,
            asking,
            asked,
            questions: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            stepping: AtomicU64::new(0),
            is_asleep: AtomicBool::new(false),
            is_stopped: Mutex::new(false),
            wake: Condvar::new(),
        })
    }

    /// Readable when the watchdog asks; then call [`Watch::answer`].
    pub(super) fn descriptor(&self) -> RawFd {
        self.asked.as_raw_fd()
    }

    /// The loop's sign of life.
    pub(super) fn answer(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.asked).read(&mut bytes), Ok(1..)) {}
        self.answers
            .store(self.questions.load(Ordering::Acquire), Ordering::Release);
    }

    /// Work arrived.
    pub(super) fn rouse(&self) {
        if self.is_asleep.load(Ordering::Relaxed) && self.is_asleep.swap(false, Ordering::Relaxed) {
            self.wake.notify_one();
        }
    }

    /// Notes whose code is about to run on the loop; `None` when none is.
    pub(super) fn step(&self, exchange: Option<&Exchange>) {
        let key = exchange.map_or(0, |e| {
            u64::from(e.connection.id) << 32 | u64::from(e.number)
        });
        self.stepping.store(key, Ordering::Relaxed);
    }

    /// Lets the thread end.
    pub(super) fn stop(&self) {
        *lock(&self.is_stopped) = true;
        self.wake.notify_one();
    }

    fn rest(&self, time: Duration) -> bool {
        let stopped = lock(&self.is_stopped);
        let (stopped, _) = self
            .wake
            .wait_timeout(stopped, time)
            .unwrap_or_else(PoisonError::into_inner);
        !*stopped
    }
}

/// What is wrong, for the log.
struct Trouble {
    exchange: Option<Arc<Exchange>>,
    what: &'static str,
}

/// The watchdog's thread.
pub(super) fn watch(core: &Core) {
    let watch = &core.watch;
    let mut asked_at: Option<Moment> = None;
    let mut rest = TICK;
    while watch.rest(rest) {
        let now = core.clock.now();
        let running = exchanges(core);
        rest = if running.is_empty() { REST } else { TICK };
        watch.is_asleep.store(running.is_empty(), Ordering::Relaxed);
        if watch.answers.load(Ordering::Acquire) == watch.questions.load(Ordering::Acquire) {
            asked_at = None;
        }
        if let Some(trouble) = trouble(core, &running, now, asked_at) {
            die(core, &trouble);
        }
        if asked_at.is_none() {
            watch.questions.fetch_add(1, Ordering::AcqRel);
            // A full socket holds a question already.
            let _ = (&watch.asking).write(&[1]);
            asked_at = Some(now);
        }
    }
}

fn connections(core: &Core) -> Vec<Arc<Connection>> {
    lock(&core.connections).values().cloned().collect()
}

fn exchanges(core: &Core) -> Vec<Arc<Exchange>> {
    connections(core)
        .iter()
        .flat_map(|c| lock(&c.exchanges).values().cloned().collect::<Vec<_>>())
        .collect()
}

fn trouble(
    core: &Core,
    running: &[Arc<Exchange>],
    now: Moment,
    asked_at: Option<Moment>,
) -> Option<Trouble> {
    let is_overdue = |exchange: &Exchange| now >= exchange.deadline.after_millis(GRACE_MS);
    let on_thread = |e: &&Arc<Exchange>| is_overdue(e) && e.flow().stage == Stage::OnThread;
    if let Some(exchange) = running.iter().find(on_thread) {
        let what = "a call did not end within a second after its deadline";
        return Some(Trouble {
            exchange: Some(Arc::clone(exchange)),
            what,
        });
    }
    let silent_ms = now.micros_since(asked_at?) / 1000;
    let waits = |e: &Arc<Exchange>| is_overdue(e) && e.is_awaited();
    let is_stuck = silent_ms >= GRACE_MS && running.iter().any(waits);
    if !is_stuck && silent_ms < core.watch.longest_ms.saturating_add(GRACE_MS) {
        return None;
    }
    let key = core.watch.stepping.load(Ordering::Relaxed);
    let is_stepping =
        |e: &&Arc<Exchange>| u64::from(e.connection.id) << 32 | u64::from(e.number) == key;
    let what = "the event loop is held up by code that does not give it back";
    Some(Trouble {
        exchange: running.iter().find(is_stepping).cloned(),
        what,
    })
}

fn die(core: &Core, trouble: &Trouble) -> ! {
    let traces = traces(&core.watch);
    let message = format!("function worker ends itself: {}", trouble.what);
    log(core, trouble.exchange.as_deref(), &message, Some(&traces));
    farewell(core);
    exit(EXIT_STUCK)
}

/// Ends the process because it reached its memory limit while working on `exchange`.
pub(super) fn die_of_memory(core: &Core, exchange: &Exchange) -> ! {
    log(
        core,
        Some(exchange),
        "function worker ends itself: it reached its memory limit",
        None,
    );
    farewell(core);
    exit(EXIT_MEMORY)
}

/// Tells every node which exchanges had begun, so that it may send the others elsewhere.
fn farewell(core: &Core) {
    for connection in connections(core) {
        let begun: Vec<u32> = lock(&connection.exchanges)
            .values()
            .filter(|exchange| exchange.flow().stage != Stage::Queued)
            .map(|exchange| exchange.number)
            .collect();
        // Too many to tell: the node then takes all for begun.
        let _ = connection.put(|out| encode_fatal(out, begun.into_iter()));
        let _ = connection.flush();
    }
}

fn exit(code: i32) -> ! {
    // SAFETY: ends the process without running anything; the usual way out would wait for the
    // very threads that are stuck.
    unsafe { libc::_exit(code) }
}

/// Where every thread stands, as `faulthandler` writes it from a signal handler, without the GIL.
fn traces(watch: &Watch) -> String {
    // SAFETY: sends a signal to ourselves, for which the Python side registered `faulthandler`.
    unsafe { libc::kill(libc::getpid(), watch.dump_signal) };
    let mut length = 0;
    // Waits until it has stopped growing; at most half a second.
    for _ in 0..10 {
        std::thread::park_timeout(Duration::from_millis(50));
        match watch.dump.metadata().map(|metadata| metadata.len()) {
            Ok(now) if now > 0 && now == length => break,
            Ok(now) => length = now,
            Err(_) => break,
        }
    }
    let mut bytes = vec![0; DUMP];
    let count = watch.dump.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned()
}

/// One line in the form of `_log.py`, which needs the GIL.
fn log(core: &Core, exchange: Option<&Exchange>, message: &str, trace: Option<&str>) {
    let mut details = Vec::new();
    if let Some(exchange) = exchange {
        details.push(("function", exchange.head.function()));
        details.push(("request", exchange.head.request_id()));
    }
    details.extend(trace.map(|trace| ("traceback", trace)));
    let event = Event {
        process: "worker",
        level: "error",
        message,
        details: &details,
    };
    let micros = core.clock.wall_micros(core.clock.now());
    let bytes = event.line(micros, core.watch.log_offset);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        match (&core.watch.log).write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The log is full or gone; that must not keep the process alive.
            Err(_) => return,
        }
    }
}
