// SPDX-License-Identifier: Apache-2.0
//! Measures the node's memory and gives some back when too little is left.
use super::state::Service;
use crate::memory::{Level, Meter, Reading};
use crate::thread::Command;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tidegate_core::Moment;
use tokio::sync::oneshot;

/// Milliseconds between two readings, and when more than half of the memory is used.
const PACE: u64 = 100;
const QUICK_PACE: u64 = 25;
/// How long what was given back takes to show: connections end in turns of their thread.
const SETTLES: u64 = 250;
/// How long new connections are refused before those that hold much are ended for them: whoever
/// holds just enough memory must not keep everybody else out.
const PATIENCE: u64 = 5_000;
/// Bytes that are much in this sense: more than any request without a large body holds.
const MUCH: u32 = 64 << 10;
/// How often it is told at most that memory is short.
const TELL_AGAIN: u64 = 60_000;

/// Measures for as long as the node lives.
pub(crate) async fn run(service: Rc<Service>) {
    let mut meter = Meter::new(Path::new("/"));
    let mut watch = Watch {
        service,
        told: None,
        acts_from: Moment(0),
        refuses_since: None,
    };
    loop {
        let setting = watch.service.snapshot().settings.config.memory;
        let reading = meter.read(setting.map(|bytes| bytes.0));
        let pace = match &reading {
            Some(reading) if reading.percent() > 50 => QUICK_PACE,
            _ => PACE,
        };
        watch.act(reading).await;
        tokio::time::sleep(Duration::from_millis(pace)).await;
    }
}

struct Watch {
    service: Rc<Service>,
    /// When it was last told that memory is short.
    told: Option<Moment>,
    acts_from: Moment,
    /// Since when new connections are refused.
    refuses_since: Option<Moment>,
}

impl Watch {
    async fn act(&mut self, reading: Option<Reading>) {
        let budget = &self.service.node.memory;
        let before = budget.level();
        let level = budget.set(reading.clone());
        let now = self.service.node.clock.now();
        if level > before {
            self.spare();
        }
        let Some(reading) = reading.filter(|_| level > Level::Ample) else {
            self.refuses_since = None;
            return;
        };
        let since = *self.refuses_since.get_or_insert(now);
        if self
            .told
            .is_none_or(|told| now >= told.after_millis(TELL_AGAIN))
        {
            self.told = Some(now);
            super::warn(&format!(
                "{} of {} bytes of memory are used ({}): {}",
                reading.used,
                reading.limit,
                reading.source,
                level.words()
            ));
        }
        let (bytes, least) = match reading.excess() {
            0 if now >= since.after_millis(PATIENCE) => (reading.unwelcome(), MUCH),
            excess => (excess, 0),
        };
        if bytes > 0 && now >= self.acts_from {
            self.acts_from = now.after_millis(SETTLES);
            self.spare();
            self.service.end_largest(bytes, least).await;
        }
    }

    /// Gives back what is only kept for later.
    fn spare(&self) {
        self.service.node.log.forget();
        for thread in &self.service.threads {
            let _ = thread.send(Command::Spare);
        }
    }
}

impl Service {
    /// Ends those connections of all threads that hold most, until they held `bytes` together; none
    /// that holds no more than `least`.
    async fn end_largest(&self, bytes: u64, least: u32) {
        let mut waits = Vec::new();
        for thread in &self.threads {
            let (done, wait) = oneshot::channel();
            let _ = thread.send(Command::Holders(done));
            waits.push(wait);
        }
        let mut holders = Vec::new();
        for (thread, wait) in waits.into_iter().enumerate() {
            // A thread that does not answer in time is not waited for: memory grows meanwhile.
            let sizes = tokio::time::timeout(Duration::from_millis(SETTLES), wait).await;
            let sizes = sizes.ok().and_then(Result::ok).unwrap_or_default();
            let sizes = sizes.into_iter().filter(|size| *size > least);
            holders.extend(sizes.map(|size| (size, thread)));
        }
        for (thread, count) in shares(holders, bytes, self.threads.len())
            .into_iter()
            .enumerate()
        {
            if let Some(thread) = self.threads.get(thread).filter(|_| count > 0) {
                let _ = thread.send(Command::EndLargest(count));
            }
        }
    }
}

/// How many of its largest holders each thread is to end for `bytes` in all. `holders` are bytes
/// and thread of each.
pub(super) fn shares(mut holders: Vec<(u32, usize)>, bytes: u64, threads: usize) -> Vec<usize> {
    holders.sort_unstable_by(|a, b| b.cmp(a));
    let mut counts = vec![0; threads];
    let mut sum = 0;
    for (size, thread) in holders {
        if sum >= bytes {
            break;
        }
        sum += u64::from(size);
        if let Some(count) = counts.get_mut(thread) {
            *count += 1;
        }
    }
    counts
}
