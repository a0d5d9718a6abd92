// SPDX-License-Identifier: Apache-2.0
use std::net::IpAddr;
use tidegate_core::{ErrorKind, GrpcCode};

/// Bytes of one text kept in an entry; the rest is cut. A 16 KiB user agent must not become a
/// 16 KiB line.
const MAX_TEXT: usize = 1024;

/// The texts of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Text {
    /// `req-…`, unique in the fleet.
    RequestId,
    /// The listener's name.
    Listener,
    /// As sent.
    Method,
    /// Canonical, without the port.
    Host,
    /// Canonical.
    Path,
    /// As sent, redacted when it is formatted.
    Query,
    /// The route's name; empty when none took it.
    Route,
    /// The backend's name; empty when it was answered here.
    Backend,
    /// The address of the endpoint that answered, or was tried last.
    Endpoint,
    /// The field.
    UserAgent,
    /// What was refused, in our own words; empty when nothing was.
    Detail,
    /// Request fields the operator asked for: name, LF, value, LF, and so on.
    Fields,
    /// Response fields, likewise.
    ResponseFields,
    /// The field; only where the format has it.
    Referer,
    /// `TRACE-SPAN-PARENT` of an exchange that is sampled.
    Trace,
    /// Of such an exchange: what endpoints were asked for, LF, and a line for each try, as
    /// [`Try::write`](crate::Try::write) has it.
    Tries,
    /// The client's certificate: name, LF, value, LF, and so on.
    Certificate,
    /// Who calls: the user of a forward proxy, or what a policy has proved.
    User,
    /// What policies that are only tried would have answered: name, LF, status, LF, and so on.
    WouldAnswer,
    /// The name of the policy that answered.
    Policy,
}

/// How many texts an entry has.
pub const TEXTS: usize = 20;

/// The numbers of one finished exchange.
#[derive(Clone, Copy, Debug)]
pub struct LogEntry {
    /// Microseconds since 1970 when the head was complete.
    pub wall_micros: u64,
    /// Microseconds from the complete head to the last byte handed to the kernel.
    pub duration_us: u64,
    /// Microseconds to the first byte from the endpoint; 0 without one.
    pub first_byte_us: u64,
    /// Microseconds spent connecting; 0 on a kept connection.
    pub connect_us: u64,
    /// Microseconds from the complete head until there was a connection to the endpoint tried last;
    /// 0 without one.
    pub connected_us: u64,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// The snapshot that decided.
    pub snapshot: u64,
    /// The user agent's address.
    pub client: IpAddr,
    /// Sent to the client; 0 when none was.
    pub status: u16,
    /// Tries beyond the first.
    pub retries: u8,
    /// Of HTTP, times ten: 10, 11 or 20.
    pub version: u8,
    /// Of HTTP that was spoken with the endpoint tried last, likewise; 0 where none was reached.
    pub endpoint_version: u8,
    /// `grpc-status` of a call's answer.
    pub grpc_status: Option<GrpcCode>,
    /// The version of TLS; empty without.
    pub tls: &'static str,
    /// The cipher suite, likewise.
    pub cipher: &'static str,
    /// What went wrong.
    pub error: Option<ErrorKind>,
    /// How a connection without requests ended; empty for an exchange.
    pub ended: &'static str,
    /// Whether a tunnel came of it: how long it took is nobody's doing.
    pub is_tunnel: bool,
    /// Whether it was datagrams that were passed on.
    pub is_datagrams: bool,
    start: u32,
    /// Where each text ends, counted from `start`.
    ends: [u16; TEXTS],
}

// An entry's texts together fit what counts them.
const _: () = assert!(TEXTS * MAX_TEXT <= u16::MAX as usize);

/// Entries of one thread on their way to the log thread.
#[derive(Debug, Default)]
pub struct LogBatch {
    entries: Vec<LogEntry>,
    text: Vec<u8>,
}

impl LogEntry {
    /// An entry with every number 0.
    pub fn new(client: IpAddr) -> Self {
        Self {
            wall_micros: 0,
            duration_us: 0,
            first_byte_us: 0,
            connect_us: 0,
            connected_us: 0,
            bytes_in: 0,
            bytes_out: 0,
            snapshot: 0,
            client,
            status: 0,
            retries: 0,
            version: 11,
            endpoint_version: 0,
            grpc_status: None,
            tls: "",
            cipher: "",
            error: None,
            ended: "",
            is_tunnel: false,
            is_datagrams: false,
            start: 0,
            ends: [0; TEXTS],
        }
    }
}

impl LogEntry {
    /// Whether it went wrong, here or at the endpoint.
    pub fn is_failure(&self) -> bool {
        self.error.is_some() || self.status >= 500 || (self.status == 0 && self.ended.is_empty())
    }
}

impl LogBatch {
    /// Adds an entry with its texts, in the order of [`Text`].
    pub fn push(&mut self, mut entry: LogEntry, texts: [&[u8]; TEXTS]) {
        let start = self.text.len();
        entry.start = start as u32;
        for (end, text) in entry.ends.iter_mut().zip(texts) {
            self.text
                .extend_from_slice(text.get(..MAX_TEXT).unwrap_or(text));
            *end = (self.text.len() - start) as u16;
        }
        self.entries.push(entry);
    }

    /// Whether one of the entries is sampled in a trace.
    pub(crate) fn has_spans(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| !self.text(entry, Text::Trace).is_empty())
    }

    /// Bytes of text held.
    pub fn size(&self) -> usize {
        self.text.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[LogEntry] {
        &self.entries
    }

    /// All texts of an entry of this batch, one after the other.
    pub(crate) fn texts(&self, entry: &LogEntry) -> &[u8] {
        let start = entry.start as usize;
        let length = entry.ends.last().map_or(0, |end| usize::from(*end));
        self.text.get(start..start + length).unwrap_or_default()
    }

    /// One text of an entry of this batch.
    pub fn text(&self, entry: &LogEntry, which: Text) -> &[u8] {
        let which = which as usize;
        let begin = which
            .checked_sub(1)
            .and_then(|before| entry.ends.get(before));
        let span = begin.map_or(0, |end| usize::from(*end))
            ..entry.ends.get(which).map_or(0, |end| usize::from(*end));
        let texts = self.text.get(entry.start as usize..).unwrap_or_default();
        texts.get(span).unwrap_or_default()
    }
}
