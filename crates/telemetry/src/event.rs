// SPDX-License-Identifier: Apache-2.0
use tidegate_core::digits;

/// A line of the log of events, as every process of an instance writes it (`python/tidegate/events.py`).
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Who says it: `node`, `worker`.
    pub process: &'a str,
    /// `info`, `warning` or `error`.
    pub level: &'a str,
    /// What happened.
    pub message: &'a str,
    /// More about it, by name, in order.
    pub details: &'a [(&'a str, &'a str)],
}

impl Event<'_> {
    /// The line with its end: an object with `time` (RFC 3339, UTC, milliseconds), `level`, `process`,
    /// `message` and the details; for people, where there is an `offset` in seconds east of UTC,
    /// `HH:MM:SS PROCESS: LEVEL: MESSAGE NAME=VALUE`. There a detail of several lines follows indented, so that
    /// no text passes as another line.
    pub fn line(&self, wall_micros: u64, offset: Option<i64>) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + self.message.len());
        match offset {
            Some(offset) => self.write_plain(&mut out, wall_micros / 1_000_000, offset),
            None => self.write_json(&mut out, wall_micros),
        }
        out.push(b'\n');
        out
    }

    fn write_plain(&self, out: &mut Vec<u8>, seconds: u64, offset: i64) {
        digits::push_clock(out, seconds.saturating_add_signed(offset) % 86_400);
        out.push(b' ');
        out.extend_from_slice(self.process.as_bytes());
        out.extend_from_slice(b": ");
        if self.level != "info" {
            out.extend_from_slice(self.level.as_bytes());
            out.extend_from_slice(b": ");
        }
        out.extend_from_slice(one_line(self.message).as_bytes());
        let (short, long): (Vec<_>, Vec<_>) = self
            .details
            .iter()
            .partition(|(_, value)| !value.contains('\n'));
        for (name, value) in short {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            match value.is_empty() || value.contains([' ', '"', '\t', '\r']) {
                true => write_string(out, value),
                false => out.extend_from_slice(one_line(value).as_bytes()),
            }
        }
        for line in long.iter().flat_map(|(_, value)| value.lines()) {
            out.extend_from_slice(b"\n    ");
            out.extend_from_slice(one_line(line).as_bytes());
        }
    }

    fn write_json(&self, out: &mut Vec<u8>, wall_micros: u64) {
        out.extend_from_slice(b"{\"time\": \"");
        digits::push_time::<3>(out, wall_micros);
        out.push(b'"');
        let own = [
            ("level", self.level),
            ("process", self.process),
            ("message", self.message),
        ];
        for (name, value) in own.iter().chain(self.details) {
            out.extend_from_slice(b", ");
            write_string(out, name);
            out.extend_from_slice(b": ");
            write_string(out, value);
        }
        out.push(b'}');
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

/// Without anything that ends a line or steers a terminal.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
        .replace(|char: char| char.is_control() && char != '\t', "?")
}

#[cfg(test)]
mod tests {
    use super::Event;

    const MICROS: u64 = 971_186_136_250_000; // 2000-10-10 13:55:36.25

    fn line(level: &str, message: &str, details: &[(&str, &str)], offset: Option<i64>) -> String {
        let event = Event {
            process: "node",
            level,
            message,
            details,
        };
        String::from_utf8(event.line(MICROS, offset)).expect("text")
    }

    #[test]
    fn a_line_is_as_the_other_processes_write_theirs() {
        assert_eq!(
            line("info", "a \"b\"\n", &[("request", "r")], None),
            "{\"time\": \"2000-10-10T13:55:36.250Z\", \"level\": \"info\", \"process\": \"node\", \
             \"message\": \"a \\\"b\\\"\\n\", \"request\": \"r\"}\n"
        );
        assert_eq!(
            line("info", "a\nb", &[], Some(7200)),
            "15:55:36 node: a b\n"
        );
        assert_eq!(
            line("warning", "a", &[], Some(-50_400)),
            "23:55:36 node: warning: a\n"
        );
    }

    #[test]
    fn details_for_people_stay_in_their_line_or_are_indented() {
        let details = [
            ("trace", "one\n\x1b[2Jtwo\n"),
            ("who", "me"),
            ("why", "a b"),
        ];
        assert_eq!(
            line("error", "\x1b[2Ja", &details, Some(0)),
            "13:55:36 node: error: ?[2Ja who=me why=\"a b\"\n    one\n    ?[2Jtwo\n"
        );
    }
}
