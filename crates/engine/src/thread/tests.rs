// SPDX-License-Identifier: Apache-2.0
use super::buffers::BUFFER;
use super::{Buffers, Timer, Timers};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use tidegate_core::{Clock, Moment};

struct Told(AtomicUsize);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn told() -> (Arc<Told>, Waker) {
    let told = Arc::new(Told(AtomicUsize::new(0)));
    (told.clone(), Waker::from(told))
}

fn wheel() -> (Clock, Rc<Timers>, Timer) {
    let clock = Clock::fake();
    let timers = Timers::new(clock.clone());
    let timer = timers.timer();
    (clock, timers, timer)
}

#[test]
fn a_deadline_wakes_its_task_once_it_has_passed() {
    let (clock, timers, timer) = wheel();
    let (told, waker) = told();
    let mut cx = Context::from_waker(&waker);
    timer.set(Moment(0).after_millis(100));
    assert!(timer.poll_expired(&mut cx).is_pending());
    clock.advance(90);
    timers.turn();
    assert_eq!(told.0.load(Ordering::Relaxed), 0);
    clock.advance(40);
    timers.turn();
    assert_eq!(told.0.load(Ordering::Relaxed), 1);
    assert!(timer.poll_expired(&mut cx).is_ready());
}

#[test]
fn a_deadline_moved_later_does_not_fire_at_its_old_place() {
    let (clock, timers, timer) = wheel();
    let (told, waker) = told();
    let mut cx = Context::from_waker(&waker);
    timer.set(Moment(0).after_millis(100));
    assert!(timer.poll_expired(&mut cx).is_pending());
    timer.set(Moment(0).after_millis(500));
    for _ in 0..25 {
        clock.advance(16);
        timers.turn();
    }
    assert_eq!(told.0.load(Ordering::Relaxed), 0);
    clock.advance(160);
    timers.turn();
    assert_eq!(told.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_deadline_moved_earlier_fires_at_its_new_place() {
    let (clock, timers, timer) = wheel();
    let (told, waker) = told();
    timer.set(Moment(0).after_millis(900));
    assert!(
        timer
            .poll_expired(&mut Context::from_waker(&waker))
            .is_pending()
    );
    timer.set(Moment(0).after_millis(50));
    clock.advance(96);
    timers.turn();
    assert_eq!(told.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_deadline_beyond_the_wheel_waits_its_full_time() {
    let (clock, timers, timer) = wheel();
    let (told, waker) = told();
    timer.set(Moment(0).after_millis(60_000));
    assert!(
        timer
            .poll_expired(&mut Context::from_waker(&waker))
            .is_pending()
    );
    for _ in 0..59 {
        clock.advance(1000);
        timers.turn();
    }
    assert_eq!(told.0.load(Ordering::Relaxed), 0);
    clock.advance(1100);
    timers.turn();
    assert_eq!(told.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_wheel_that_slept_long_still_fires_what_is_due() {
    let (clock, timers, first) = wheel();
    let (told, waker) = told();
    let mut cx = Context::from_waker(&waker);
    clock.advance(3_600_000);
    let second = timers.timer();
    first.set(Moment(0).after_millis(3_600_050));
    second.set(Moment(0).after_millis(3_600_080));
    assert!(first.poll_expired(&mut cx).is_pending() && second.poll_expired(&mut cx).is_pending());
    timers.turn();
    clock.advance(200);
    timers.turn();
    assert_eq!(told.0.load(Ordering::Relaxed), 2);
}

#[test]
fn nothing_waits_when_no_timer_is_set() {
    let (_clock, timers, timer) = wheel();
    assert_eq!(timers.turn(), None);
    timer.set(Moment(0).after_millis(10));
    assert!(timers.turn().is_some());
    drop(timer);
}

#[test]
fn the_running_wheel_wakes_for_a_deadline_set_while_it_slept() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build_local(Default::default())
        .unwrap();
    runtime.block_on(async {
        let clock = Clock::system();
        let timers = Timers::new(clock.clone());
        tokio::task::spawn_local(timers.clone().run());
        tokio::task::yield_now().await;
        let timer = timers.timer();
        let begun = clock.now();
        timer.set(begun.after_millis(30));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert!(clock.now().micros_since(begun) >= 30_000);
    });
}

#[test]
fn a_buffer_keeps_what_was_not_consumed_when_it_grows() {
    let buffers = Buffers::default();
    let mut buffer = buffers.take();
    let room = buffer.room(40_000);
    room.fill(b'a');
    let count = room.len();
    assert_eq!(count, BUFFER);
    buffer.filled(count);
    buffer.consume(10);
    // Compacted first, then grown, never beyond the limit.
    let room = buffer.room(40_000);
    assert_eq!(room.len(), 10);
    room.fill(b'b');
    buffer.filled(10);
    assert_eq!(buffer.room(40_000).len(), BUFFER);
    buffer.filled(BUFFER);
    assert!(buffer.room(BUFFER * 2).is_empty());
    assert!(buffer.data().starts_with(b"aaa") && buffer.len() == BUFFER * 2);
}

#[test]
fn a_buffer_that_grew_is_not_kept() {
    let buffers = Buffers::default();
    let mut buffer = buffers.take();
    buffer.filled(BUFFER);
    assert!(!buffer.room(64 << 10).is_empty());
    buffers.give(buffer);
    assert_eq!(buffers.take().room(1).len(), BUFFER);
}

#[test]
fn a_poll_before_the_deadline_is_pending_and_after_it_ready() {
    let (clock, timers, timer) = wheel();
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(timer.poll_expired(&mut cx), Poll::Pending);
    timer.set(Moment(0).after_millis(5));
    assert_eq!(timer.poll_expired(&mut cx), Poll::Pending);
    clock.advance(6);
    assert_eq!(timer.poll_expired(&mut cx), Poll::Pending);
    timers.look();
    assert_eq!(timer.poll_expired(&mut cx), Poll::Ready(()));
}
