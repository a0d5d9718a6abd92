// SPDX-License-Identifier: Apache-2.0
use super::{Adaptive, Gradient};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tidegate_config::{AdaptiveConcurrency, Millis};
use tidegate_core::{Clock, Draw, Moment};

fn settings(least: u32, most: u32) -> AdaptiveConcurrency {
    AdaptiveConcurrency {
        least,
        most,
        tolerance_percent: 125,
        window: Millis(100),
        measure_every: Millis(30_000),
    }
}

/// A backend that works on `capacity` requests at a time, each for some `work_ms`, and has the rest
/// wait in line; asked by so many clients as the limit lets in, and never fewer than want to.
struct Simulation {
    clock: Clock,
    adaptive: Adaptive,
    draw: Draw,
    /// When each worker is free.
    workers: BinaryHeap<Reverse<u64>>,
    /// When each request ends, and when it began.
    flying: BinaryHeap<Reverse<(u64, u64)>>,
    finished: u64,
}

impl Simulation {
    fn new(settings: &AdaptiveConcurrency, capacity: usize) -> Self {
        let clock = Clock::fake();
        Self {
            adaptive: Adaptive::new(settings, clock.now()),
            clock,
            draw: Draw::from_seed(5),
            workers: vec![Reverse(0); capacity].into(),
            flying: BinaryHeap::new(),
            finished: 0,
        }
    }

    /// Goes on for so many milliseconds with `clients` that always want something.
    fn run(&mut self, millis: u64, clients: usize, work_ms: u64) {
        for _ in 0..millis {
            let now = self.clock.now();
            while let Some(Reverse((end, begun))) = self.flying.peek().copied() {
                if end > now.millis() {
                    break;
                }
                let in_flight = self.flying.len() as u32;
                self.flying.pop();
                self.finished += 1;
                self.adaptive.observe(now, (end - begun) * 1000, in_flight);
            }
            while self.flying.len() < clients.min(self.adaptive.limit() as usize) {
                let Reverse(free) = self.workers.pop().unwrap();
                let work = work_ms + self.draw.below(work_ms / 5 + 1);
                let end = free.max(now.millis()) + work;
                self.workers.push(Reverse(end));
                self.flying.push(Reverse((end, now.millis())));
            }
            self.clock.advance(1);
        }
    }
}

#[test]
fn the_limit_finds_what_the_backend_can_work_on_at_a_time() {
    for capacity in [8, 20, 60] {
        let mut simulation = Simulation::new(&settings(4, 1000), capacity);
        simulation.run(10_000, 500, 20);
        let limit = simulation.adaptive.limit() as usize;
        let most = capacity * 5 / 4 + 2 * (capacity as f64).sqrt() as usize + 4;
        assert!((capacity..=most).contains(&limit), "{capacity}: {limit}");
        let before = simulation.finished;
        simulation.run(1_000, 500, 20);
        let rate = simulation.finished - before;
        // All are at work all the time: 22 ms in the mean.
        assert!(rate * 22 >= 900 * capacity as u64, "{capacity}: {rate}");
    }
}

#[test]
fn the_limit_follows_a_backend_that_loses_half_of_itself() {
    let mut simulation = Simulation::new(&settings(4, 1000), 40);
    simulation.run(10_000, 500, 20);
    let before = simulation.adaptive.limit();
    for _ in 0..20 {
        simulation.workers.pop();
    }
    simulation.run(5_000, 500, 20);
    let after = simulation.adaptive.limit();
    assert!((20..=40).contains(&after), "{before} {after}");
}

#[test]
fn a_backend_that_became_slower_for_good_is_measured_anew() {
    let mut simulation = Simulation::new(&settings(4, 1000), 20);
    simulation.run(10_000, 500, 20);
    simulation.run(10_000, 500, 100);
    assert!(
        simulation.adaptive.limit() < 20,
        "slower than it was: held back"
    );
    simulation.run(40_000, 500, 100);
    let limit = simulation.adaptive.limit();
    assert!((18..=45).contains(&limit), "{limit}");
}

#[test]
fn a_limit_that_is_not_used_does_not_grow() {
    let mut simulation = Simulation::new(&settings(4, 1000), 50);
    simulation.run(20_000, 6, 20);
    assert!(
        simulation.adaptive.limit() <= 20,
        "{}",
        simulation.adaptive.limit()
    );
}

#[test]
fn the_limit_keeps_its_bounds() {
    let mut gradient = Gradient::new(&settings(10, 12), Moment(0));
    let mut draw = Draw::from_seed(1);
    for second in 0..10_000 {
        let limit = gradient.step(
            Moment(second * 1_000_000),
            draw.below(1 << 40) as f64,
            1 << 20,
        );
        assert!((10..=12).contains(&limit));
    }
}
