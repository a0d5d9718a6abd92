// SPDX-License-Identifier: Apache-2.0
use smallvec::SmallVec;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_core::{ErrorKind, GrpcCode};

/// Upper bounds of the duration histogram in microseconds; one more bucket takes the rest.
pub const DURATION_BUCKETS_US: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Reasons for which a TLS handshake comes to nothing, at most.
const REFUSALS: usize = 24;

/// Adds to a counter that only one thread writes: no locked instruction.
#[inline]
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(amount),
        Ordering::Relaxed,
    );
}

/// What became of a copy of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrored {
    /// It was sent and answered.
    Sent,
    /// No endpoint took it, or none answered in time.
    Failed,
    /// The body is larger than what is copied.
    TooLarge,
    /// As many as may were under way, or memory was short.
    Limit,
}

impl Mirrored {
    /// All with their names in metrics.
    pub const NAMES: [(Self, &'static str); 4] = [
        (Self::Sent, "sent"),
        (Self::Failed, "failed"),
        (Self::TooLarge, "too_large"),
        (Self::Limit, "limit"),
    ];
}

/// What one thread counted for one route.
#[derive(Debug, Default)]
#[repr(C, align(128))] // what every exchange counts lies together, in front
pub struct RouteStats {
    /// Sum of all durations in microseconds.
    pub duration_sum_us: AtomicU64,
    /// Body bytes to clients.
    pub bytes_out: AtomicU64,
    /// Responses by status class: index 0 for none sent, 1 to 5 for 1xx to 5xx.
    pub by_class: [AtomicU64; 6],
    /// Durations; see [`DURATION_BUCKETS_US`].
    pub durations: [AtomicU64; DURATION_BUCKETS_US.len() + 1],
    /// Body bytes from clients.
    pub bytes_in: AtomicU64,
    /// Tries beyond the first.
    pub retries: AtomicU64,
    /// Copies of requests by what became of them: the variants of [`Mirrored`] in order.
    pub mirrored: [AtomicU64; 4],
    /// Calls of gRPC by the number of the code they ended with.
    pub calls: [AtomicU64; GrpcCode::COUNT],
}

impl RouteStats {
    /// Counts one copy of a request.
    pub fn count_mirrored(&self, outcome: Mirrored) {
        if let Some(counter) = self.mirrored.get(outcome as usize) {
            add(counter, 1);
        }
    }

    /// Counts one finished call of gRPC.
    pub fn count_call(&self, code: GrpcCode) {
        if let Some(counter) = self.calls.get(usize::from(code.number())) {
            add(counter, 1);
        }
    }

    /// Counts one finished exchange.
    #[inline]
    pub fn record(
        &self,
        status: u16,
        duration_us: u64,
        bytes_in: u64,
        bytes_out: u64,
        retries: u8,
    ) {
        if let Some(class) = self.by_class.get(usize::from(status / 100)) {
            add(class, 1);
        }
        let bucket = DURATION_BUCKETS_US.partition_point(|bound| *bound < duration_us);
        if let Some(counter) = self.durations.get(bucket) {
            add(counter, 1);
        }
        add(&self.duration_sum_us, duration_us);
        if bytes_in > 0 {
            add(&self.bytes_in, bytes_in);
        }
        add(&self.bytes_out, bytes_out);
        if retries > 0 {
            add(&self.retries, u64::from(retries));
        }
    }
}

/// What one thread counted for one route of connections.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct L4Stats {
    /// Bytes from clients.
    pub bytes_in: AtomicU64,
    /// Bytes to clients.
    pub bytes_out: AtomicU64,
    /// Connections that the route has taken.
    pub opened: AtomicU64,
    /// Those that are over.
    pub closed: AtomicU64,
    /// Of these, the ones that came to nothing or were cut.
    pub failed: AtomicU64,
    /// Endpoints that could not be connected to while another was left.
    pub retries: AtomicU64,
}

impl L4Stats {
    /// Adds to one of the counters; the thread's own alone.
    #[inline]
    pub fn add(&self, counter: impl Fn(&Self) -> &AtomicU64, amount: u64) {
        add(counter(self), amount);
    }
}

/// One route's counters, a set for each thread, made when a thread first needs its own.
#[derive(Debug)]
pub struct PerThread<T> {
    threads: SmallVec<[OnceLock<Box<T>>; 4]>,
}

/// Those of a route with requests.
pub type SharedRouteStats = PerThread<RouteStats>;
/// Those of a route with connections.
pub type SharedL4Stats = PerThread<L4Stats>;

impl<T: Default> PerThread<T> {
    /// Room for `threads` sets.
    pub fn new(threads: usize) -> Self {
        Self {
            threads: (0..threads).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The set of `thread`; `None` beyond the number of threads.
    #[inline]
    pub fn of(&self, thread: usize) -> Option<&T> {
        self.threads
            .get(thread)
            .map(|slot| &**slot.get_or_init(Box::default))
    }

    /// The sum of one counter over all threads.
    pub fn sum(&self, counter: impl Fn(&T) -> &AtomicU64) -> u64 {
        let sets = self.threads.iter().filter_map(OnceLock::get);
        sets.map(|stats| counter(stats).load(Ordering::Relaxed))
            .sum()
    }
}

/// What one thread counted whatever the route.
#[derive(Debug)]
#[repr(align(128))]
pub struct ThreadStats {
    /// Connections ever accepted.
    pub accepted: AtomicU64,
    /// Connections refused by a limit of their listener.
    pub refused: AtomicU64,
    /// Idle connections that rest now.
    pub resting: AtomicU64,
    /// Times that accepting stopped for want of descriptors.
    pub refused_descriptors: AtomicU64,
    /// Connections refused for want of memory.
    pub refused_memory: AtomicU64,
    /// Connections refused because of the address that they came from.
    pub refused_client: AtomicU64,
    /// Connections refused because they came too fast.
    pub refused_rate: AtomicU64,
    /// Connections of proxies refused because they did not say whose they are.
    pub refused_proxy: AtomicU64,
    /// Connections that had to wait, since others from their address had come to nothing.
    pub delayed: AtomicU64,
    /// Connections ended in the middle for want of memory.
    pub ended: AtomicU64,
    /// TLS handshakes that began a session.
    pub handshakes_full: AtomicU64,
    /// TLS handshakes that took one up again.
    pub handshakes_resumed: AtomicU64,
    /// TLS handshakes that came to nothing, by why.
    handshakes_failed: [AtomicU64; REFUSALS],
    /// Exchanges finished.
    pub requests: AtomicU64,
    /// Tasks that panicked. Never anything but 0.
    pub panics: AtomicU64,
    errors: Vec<AtomicU64>,
}

impl Default for ThreadStats {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            resting: AtomicU64::new(0),
            refused_descriptors: AtomicU64::new(0),
            refused_memory: AtomicU64::new(0),
            refused_client: AtomicU64::new(0),
            refused_rate: AtomicU64::new(0),
            refused_proxy: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            handshakes_full: AtomicU64::new(0),
            handshakes_resumed: AtomicU64::new(0),
            handshakes_failed: Default::default(),
            requests: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            errors: ErrorKind::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl ThreadStats {
    /// Adds one to a counter of this thread.
    #[inline]
    pub fn count(&self, counter: impl Fn(&Self) -> &AtomicU64) {
        add(counter(self), 1);
    }

    /// Adds to a counter of this thread.
    pub fn count_many(&self, counter: impl Fn(&Self) -> &AtomicU64, amount: u64) {
        add(counter(self), amount);
    }

    /// Counts a TLS handshake that came to nothing, for the reason with this number.
    pub fn count_refusal(&self, reason: usize) {
        if let Some(counter) = self.handshakes_failed.get(reason) {
            add(counter, 1);
        }
    }

    /// TLS handshakes that came to nothing for the reason with this number.
    pub fn refusals(&self, reason: usize) -> u64 {
        let counter = self.handshakes_failed.get(reason);
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Counts one failure.
    pub fn count_error(&self, kind: ErrorKind) {
        if let Some(counter) = self.errors.get(kind as usize) {
            add(counter, 1);
        }
    }

    /// Failures of one kind.
    pub fn errors(&self, kind: ErrorKind) -> u64 {
        self.errors
            .get(kind as usize)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}
