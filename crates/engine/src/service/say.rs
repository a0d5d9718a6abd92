// SPDX-License-Identifier: Apache-2.0
use std::io::Write;
use std::sync::OnceLock;
use tidegate_core::Clock;
use tidegate_telemetry::Event;

/// How lines are written, as `NodeConfig::log_offset_s`. Set once, before anything is said; JSON without.
static OFFSET: OnceLock<i64> = OnceLock::new();

/// From now on lines are for people, with times `offset` seconds east of UTC.
pub(crate) fn for_people(offset: i64) {
    let _ = OFFSET.set(offset);
}

/// One line on standard error, where the supervisor's log is, in the same form: something ordinary happened.
pub(crate) fn say(text: &str) {
    write("info", text);
}

/// The same of something that is not as it should be.
pub(crate) fn warn(text: &str) {
    write("warning", text);
}

fn write(level: &str, message: &str) {
    let clock = Clock::system();
    let event = Event {
        process: "node",
        level,
        message,
        details: &[],
    };
    let line = event.line(clock.wall_micros(clock.now()), OFFSET.get().copied());
    // In one piece, so that lines of several processes do not mix. Nobody reads it any more: nothing to do.
    let _ = std::io::stderr().write_all(&line);
}
