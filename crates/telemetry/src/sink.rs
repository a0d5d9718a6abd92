// SPDX-License-Identifier: Apache-2.0
use crate::{LogBatch, LogEntry, Text};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Where the system's journal takes datagrams.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Where lines go.
pub(crate) enum Sink {
    /// A file, a pipe or a device.
    File(File),
    /// The journal, by its native protocol.
    Journal(UnixDatagram),
}

impl Sink {
    /// `-` is standard output, `journald` the system's journal, `journald:/path` one at that socket,
    /// all else a file that is appended to.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let text = path.to_str().unwrap_or_default();
        if let Some(rest) = text.strip_prefix("journald")
            && (rest.is_empty() || rest.starts_with(':'))
        {
            let socket = UnixDatagram::unbound()?;
            socket.connect(rest.strip_prefix(':').unwrap_or(JOURNAL))?;
            return Ok(Self::Journal(socket));
        }
        let mut options = OpenOptions::new();
        options.append(true);
        match text {
            // As it was handed over, where its name is closed to us: the user who started the program
            // may be another one than we became.
            "-" => options.open("/dev/stdout").or_else(|_| {
                let handed = io::stdout().as_fd().try_clone_to_owned()?;
                Ok(File::from(handed))
            }),
            _ => options.create(true).open(path),
        }
        .map(Self::File)
    }

    /// Writes whole lines, one for each entry.
    ///
    /// # Errors
    /// How many were written, and why no more.
    pub(crate) fn write(
        &mut self,
        lines: &[u8],
        batch: &LogBatch,
        entries: &[&LogEntry],
    ) -> Result<(), (usize, io::Error)> {
        match self {
            Self::File(file) => write_lines(file, lines),
            Self::Journal(socket) => {
                let lines = lines.split(|byte| *byte == b'\n');
                for (done, (line, entry)) in lines.zip(entries).enumerate() {
                    let sent = socket.send(&datagram(line, batch, entry));
                    sent.map_err(|error| (done, error))?;
                }
                Ok(())
            }
        }
    }
}

/// One entry in the journal's native protocol: `NAME=VALUE` and LF for each field
/// (systemd, "Native Journal Protocol"). No value has a line end: the message is an escaped line, and
/// a text with control characters is left to it.
fn datagram(line: &[u8], batch: &LogBatch, entry: &LogEntry) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len() + 512);
    out.extend_from_slice(b"MESSAGE=");
    out.extend_from_slice(line);
    let priority = if entry.is_failure() { 4 } else { 6 }; // warning, informational
    let _ = write!(
        out,
        "\nPRIORITY={priority}\nSYSLOG_IDENTIFIER=tidegate\nTIDEGATE_STATUS={}\nTIDEGATE_CLIENT={}\n\
         TIDEGATE_DURATION_US={}\n",
        entry.status, entry.client, entry.duration_us
    );
    for (name, which) in [
        ("REQUEST_ID", Text::RequestId),
        ("LISTENER", Text::Listener),
        ("METHOD", Text::Method),
        ("HOST", Text::Host),
        ("PATH", Text::Path),
        ("ROUTE", Text::Route),
        ("BACKEND", Text::Backend),
        ("ENDPOINT", Text::Endpoint),
    ] {
        let value = batch.text(entry, which);
        if !value.is_empty() && !value.iter().any(u8::is_ascii_control) {
            let _ = write!(out, "TIDEGATE_{name}=");
            out.extend_from_slice(value);
            out.push(b'\n');
        }
    }
    if let Some(error) = entry.error {
        let _ = writeln!(out, "TIDEGATE_ERROR={}", error.name());
    }
    out
}

/// Writes whole lines.
///
/// The beginning of one that did not fit is taken back, if the file allows it: the next line to be
/// written would follow it without an end of line, and both would be spoilt.
fn write_lines(sink: &mut File, lines: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    let error = loop {
        let rest = lines.get(done..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        match sink.write(rest) {
            Ok(0) => break io::ErrorKind::WriteZero.into(),
            Ok(taken) => done += taken,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break error,
        }
    };
    let written = lines.get(..done).unwrap_or_default();
    let torn = written
        .iter()
        .rev()
        .take_while(|byte| **byte != b'\n')
        .count() as u64;
    if torn > 0
        && let Ok(length) = sink.metadata().map(|found| found.len())
    {
        let _ = sink.set_len(length.saturating_sub(torn)); // a pipe or a device: nothing to take back
    }
    let whole = written.iter().filter(|byte| **byte == b'\n').count();
    Err((whole, error))
}
