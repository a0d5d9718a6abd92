// SPDX-License-Identifier: Apache-2.0
//! Documents that somebody else keeps and publishes, such as an issuer's keys: a filter reads them, the
//! engine's service thread fetches them.
use arc_swap::ArcSwapOption;
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// Where a document is, and how fresh it must be. Equal ones are one document to the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// What it is: `keys`.
    pub kind: &'static str,
    /// `https://host[:port]/path?query`, or `http://`.
    pub url: String,
    /// Who signs the certificate of the host, in PEM; whomever the system trusts without it.
    pub ca: Option<String>,
    /// Milliseconds after which it is fetched again, unless its server names less.
    pub refresh_ms: u64,
    /// Milliseconds for which the last one is good when no newer one is to be had.
    pub stale_ms: u64,
}

/// What has been read of a document; whoever asked for it knows its type.
pub type Reading = Arc<dyn Any + Send + Sync>;

/// Reads a document's bytes; the error is for people, and nothing of the bytes is in it.
pub type Reader = fn(&[u8]) -> Result<Reading, String>;

/// One document, for all threads. It is shared by everything in the node that has the same source, and
/// outlives snapshots.
pub struct Document {
    /// Where it comes from.
    pub source: Source,
    reader: Reader,
    current: ArcSwapOption<Reading>,
    /// Changes with what is current; 0 while there has been nothing.
    version: AtomicU64,
    state: Mutex<State>,
}

/// How the last attempts went, for those who watch.
#[derive(Clone, Debug, Default)]
pub struct Fetches {
    /// Documents that came and were read.
    pub taken: u64,
    /// Attempts that came to nothing.
    pub failed: u64,
    /// Why the last one did; empty when it did not.
    pub error: String,
    /// When the current one came, by whatever clock the engine has, in milliseconds.
    pub taken_at_ms: Option<u64>,
}

struct State {
    phase: Phase,
    fetches: Fetches,
    /// Requests that wait for the end of a fetch.
    waiting: Vec<Waker>,
    /// Whoever fetches.
    fetcher: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A fetch is under way, or will be at once.
    Fetching,
    /// One was over a moment ago, and none is begun because somebody asks.
    Resting,
    /// One is begun when somebody asks.
    Ready,
}

impl Document {
    /// A document that is to be fetched at once.
    pub fn new(source: Source, reader: Reader) -> Self {
        Self {
            source,
            reader,
            current: ArcSwapOption::empty(),
            version: AtomicU64::new(0),
            state: Mutex::new(State {
                phase: Phase::Fetching,
                fetches: Fetches::default(),
                waiting: Vec::new(),
                fetcher: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that is another one whenever [`Document::current`] gives something else.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What was read last; `None` before the first, and when the last is too old.
    pub fn current(&self) -> Option<Reading> {
        self.current.load().as_deref().cloned()
    }

    /// Waits until a fetch is over, and has one begun for that unless the last was a moment ago: then, and
    /// when it is not to be had, `None`. A fetch takes a few seconds at most.
    ///
    /// However many ask, there is one fetch at a time, and a pause between two.
    pub fn newer(self: &Arc<Self>) -> Option<Newer> {
        let mut state = self.lock();
        match state.phase {
            Phase::Resting => return None,
            Phase::Fetching => {}
            Phase::Ready => {
                state.phase = Phase::Fetching;
                if let Some(fetcher) = state.fetcher.take() {
                    fetcher.wake();
                }
            }
        }
        Some(Newer(Arc::downgrade(self)))
    }

    /// For whoever fetches: a fetch begins.
    pub fn begin(&self) {
        self.lock().phase = Phase::Fetching;
    }

    /// For whoever fetches: a fetch is over. `now_ms` is by any clock that goes forward.
    ///
    /// # Errors
    /// Why there is nothing newer; what there was stays until it is too old.
    pub fn end(&self, fetched: Result<Vec<u8>, String>, now_ms: u64) -> Result<(), String> {
        let read = fetched.and_then(|bytes| (self.reader)(&bytes));
        let mut state = self.lock();
        state.phase = Phase::Resting;
        let outcome = match read {
            Ok(reading) => {
                self.current.store(Some(Arc::new(reading)));
                self.version.fetch_add(1, Ordering::Release);
                state.fetches.taken += 1;
                state.fetches.taken_at_ms = Some(now_ms);
                state.fetches.error.clear();
                Ok(())
            }
            Err(why) => {
                state.fetches.failed += 1;
                state.fetches.error.clone_from(&why);
                let age = state
                    .fetches
                    .taken_at_ms
                    .map(|at| now_ms.saturating_sub(at));
                if age.is_some_and(|age| age >= self.source.stale_ms) {
                    self.current.store(None);
                    self.version.fetch_add(1, Ordering::Release);
                    state.fetches.taken_at_ms = None;
                }
                Err(why)
            }
        };
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        outcome
    }

    /// For whoever fetches: requests may ask for it from now on.
    pub fn rested(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Resting {
            state.phase = Phase::Ready;
        }
    }

    /// For whoever fetches: whether a request asks for it; else `cx` is woken when one does.
    pub fn poll_asked(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.phase == Phase::Fetching {
            return Poll::Ready(());
        }
        state.fetcher = Some(cx.waker().clone());
        Poll::Pending
    }

    /// How fetching went so far.
    pub fn fetches(&self) -> Fetches {
        self.lock().fetches.clone()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Document({})", self.source.url)
    }
}

/// The end of a fetch. Dropping it is giving up waiting.
pub struct Newer(Weak<Document>);

impl Future for Newer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(document) = self.0.upgrade() else {
            return Poll::Ready(());
        };
        let mut state = document.lock();
        if state.phase != Phase::Fetching {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|own| own.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Arc<Document> {
        let source = Source {
            kind: "text",
            url: "https://a.test/".into(),
            ca: None,
            refresh_ms: 1000,
            stale_ms: 5000,
        };
        Arc::new(Document::new(source, |bytes| {
            let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
            Ok(Arc::new(text.to_owned()))
        }))
    }

    fn text(document: &Document) -> Option<String> {
        let reading = document.current()?.downcast::<String>().ok()?;
        Some((*reading).clone())
    }

    fn is_over(newer: &mut Option<Newer>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let newer = newer.as_mut().expect("a fetch is under way");
        Pin::new(newer).poll(&mut cx).is_ready()
    }

    #[test]
    fn who_asks_before_the_first_fetch_waits_for_its_end() {
        let own = document();
        let mut newer = own.newer();
        assert!(!is_over(&mut newer));
        own.end(Ok(b"one".to_vec()), 0).unwrap();
        assert!(is_over(&mut newer));
        assert_eq!((text(&own).as_deref(), own.version()), (Some("one"), 1));
    }

    #[test]
    fn many_who_ask_cause_one_fetch_and_none_while_it_rests() {
        let own = document();
        own.end(Ok(b"one".to_vec()), 0).unwrap();
        assert!(own.newer().is_none());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(own.poll_asked(&cx).is_pending());
        own.rested();
        assert!(own.poll_asked(&cx).is_pending());
        let mut all: Vec<_> = (0..100).map(|_| own.newer()).collect();
        assert!(own.poll_asked(&cx).is_ready());
        own.begin();
        assert!(all.iter_mut().all(|newer| !is_over(newer)));
        own.end(Ok(b"two".to_vec()), 0).unwrap();
        assert!(all.iter_mut().all(is_over));
        assert!(own.newer().is_none());
        cx = Context::from_waker(Waker::noop());
        assert!(own.poll_asked(&cx).is_pending());
        assert_eq!(own.fetches().taken, 2);
    }

    #[test]
    fn what_cannot_be_fetched_stays_until_it_is_too_old() {
        let own = document();
        assert!(own.end(Err("away".into()), 0).is_err());
        assert_eq!((text(&own), own.version()), (None, 0));
        own.end(Ok(b"one".to_vec()), 1000).unwrap();
        assert!(own.end(Err("away".into()), 5999).is_err());
        assert!(own.end(Ok(vec![0xff]), 5999).is_err());
        assert_eq!((text(&own).as_deref(), own.version()), (Some("one"), 1));
        assert!(own.end(Err("away".into()), 6000).is_err());
        assert_eq!((text(&own), own.version()), (None, 2));
        let fetches = own.fetches();
        assert_eq!((fetches.taken, fetches.failed), (1, 4));
        assert_eq!(fetches.error, "away");
    }
}
