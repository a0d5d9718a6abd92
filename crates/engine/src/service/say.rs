// SPDX-License-Identifier: Apache-2.0
use std::io::Write;
use std::sync::OnceLock;
use tidegate_core::{Clock, civil};

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

fn write(level: &str, text: &str) {
    let clock = Clock::system();
    let line = line(
        level,
        text,
        clock.wall_micros(clock.now()),
        OFFSET.get().copied(),
    );
    // In one piece, so that lines of several processes do not mix. Nobody reads it any more: nothing to do.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// `HH:MM:SS node: TEXT` where there is an offset, otherwise an object with `time` (RFC 3339, UTC), `level`,
/// `process` and `message`; with its end of line.
fn line(level: &str, text: &str, micros: u64, offset: Option<i64>) -> String {
    let clock = |seconds: u64| {
        format!(
            "{:02}:{:02}:{:02}",
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60
        )
    };
    let seconds = micros / 1_000_000;
    if let Some(offset) = offset {
        let shown = if level == "info" {
            String::new()
        } else {
            format!("{level}: ")
        };
        let local = clock(seconds.saturating_add_signed(offset));
        let clean = text.replace(['\r', '\n'], " ");
        return format!("{local} node: {shown}{clean}\n");
    }
    let (year, month, day) = civil(seconds / 86_400);
    let time = format!(
        "{year:04}-{month:02}-{day:02}T{}.{:03}Z",
        clock(seconds),
        micros / 1000 % 1000
    );
    let text = serde_json::Value::from(text);
    format!(
        "{{\"time\": \"{time}\", \"level\": \"{level}\", \"process\": \"node\", \"message\": {text}}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_line_is_as_the_other_processes_write_theirs() {
        let micros = 971_186_136_250_000; // 2000-10-10 13:55:36.25
        assert_eq!(
            line("info", "a \"b\"", micros, None),
            "{\"time\": \"2000-10-10T13:55:36.250Z\", \"level\": \"info\", \"process\": \"node\", \
             \"message\": \"a \\\"b\\\"\"}\n"
        );
        assert_eq!(
            line("info", "a\nb", micros, Some(7200)),
            "15:55:36 node: a b\n"
        );
        assert_eq!(
            line("warning", "a", micros, Some(-50_400)),
            "23:55:36 node: warning: a\n"
        );
    }
}
