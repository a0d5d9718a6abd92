// SPDX-License-Identifier: Apache-2.0
//! What a connection speaks, by its first bytes, which stay where they are: whoever serves it reads all
//! of them.
use super::hello::refuse;
use super::plan::{Ends, L4Table};
use super::serve::{Says, start};
use crate::downstream::{Downstream, Serving};
use crate::thread::{BUFFER, Buffer};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::task::{Context, Poll, ready};
use tidegate_config::Carried;
use tidegate_net::{Hello, HelloReader, LONGEST_HELLO};
use tidegate_tls::Refusal;

/// Bytes of the longest method that is looked for.
const METHOD: usize = 24;

/// What the first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Too little.
    Nothing,
    Tls,
    Http,
    Other,
}

impl Seen {
    /// What `bytes` begin with; `begins` are the starts that routes have, which go before all else.
    fn of<'a>(bytes: &[u8], begins: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut may_begin = false;
        for begin in begins {
            if bytes.starts_with(begin) {
                return Self::Other;
            }
            may_begin |= begin.starts_with(bytes);
        }
        if may_begin {
            return Self::Nothing;
        }
        match bytes {
            [] | [22] => Self::Nothing,
            [22, 3, ..] => Self::Tls,
            _ => Self::request(bytes),
        }
    }

    /// A method and a target: a path, `*`, or a URL. `EHLO host` is none.
    fn request(bytes: &[u8]) -> Self {
        let is_method = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'-';
        let end = bytes.iter().position(|byte| !is_method(byte));
        let end = end.unwrap_or(bytes.len());
        if end == 0 || end > METHOD {
            return Self::Other;
        }
        let rest = bytes.get(end..).unwrap_or_default();
        let targets: [&[u8]; 4] = [b" /", b" *", b" http://", b" https://"];
        if targets.iter().any(|target| rest.starts_with(target)) {
            return Self::Http;
        }
        match targets.iter().any(|target| target.starts_with(rest)) {
            true => Self::Nothing,
            false => Self::Other,
        }
    }
}

/// What becomes of a connection.
enum Sorted {
    Requests,
    Connection(Says),
}

/// Finds out what a connection that was let in speaks, in a task of its own, and has it served.
pub(crate) fn sort(mut connection: Box<Downstream>) {
    let (thread, place) = (connection.thread.clone(), connection.holding.place());
    let task = tokio::task::spawn_local(async move {
        let sorted = look(&mut connection).await;
        match sorted {
            None => {} // gone before it said anything
            Some(Sorted::Connection(says)) => start(connection, says),
            Some(Sorted::Requests) => {
                if connection.listener.tls.is_some() {
                    connection.stream.secure();
                }
                Serving::start(connection);
            }
        }
    });
    thread.holders.attach(place, task.abort_handle());
}

/// What is looked for as it comes.
struct Looking<'a> {
    table: &'a L4Table,
    seen: Buffer,
    /// Bytes that were there when it was looked last.
    known: usize,
    /// Reads the first message of TLS, once it is known to be one.
    reader: Option<HelloReader>,
}

async fn look(connection: &mut Downstream) -> Option<Sorted> {
    let thread = connection.thread.clone();
    let limit = connection.listener.config.timeouts.first_bytes.0;
    connection.timer.set(thread.now().after_millis(limit));
    let current = thread.current();
    let mut looking = Looking {
        table: &current.snapshot.l4,
        seen: Buffer::default(),
        known: 0,
        reader: None,
    };
    let mut is_late = false;
    let sorted = poll_fn(|cx| {
        thread.timers.look();
        if thread.closes_idle.get() {
            return Poll::Ready(None);
        }
        if looking.seen.size() == 0 {
            looking.seen = thread.buffers.take();
        }
        let polled = looking.poll(connection, cx);
        if polled.is_pending() && looking.known == 0 {
            thread.buffers.give(std::mem::take(&mut looking.seen));
        }
        connection.holding.hold(looking.seen.size());
        if polled.is_ready() {
            return polled;
        }
        is_late = connection.timer.poll_expired(cx).is_ready();
        match is_late {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    });
    let sorted = sorted.await;
    let is_tls = looking.reader.is_some();
    thread.buffers.give(looking.seen);
    connection.holding.hold(0);
    match (is_late, is_tls) {
        (false, _) => sorted,
        (true, true) => {
            refuse(connection, Refusal::Timeout);
            None
        }
        (true, false) => late(connection),
    }
}

/// What becomes of a connection that took too long: its server may be who speaks first.
fn late(connection: &mut Downstream) -> Option<Sorted> {
    // What has come is taken now: the runtime has told of it, and does not again.
    let mut buffer = connection.thread.buffers.take();
    let stream = connection.stream.whole()?;
    match stream.read_now(buffer.room(BUFFER)) {
        Ok(0) => return None,
        Ok(count) => buffer.filled(count),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(_) => return None,
    }
    let first = buffer.data().to_vec();
    match first.is_empty() {
        true => connection.thread.buffers.give(buffer),
        false => connection.buffer = buffer,
    }
    Some(Sorted::Connection(Says::Anything(first)))
}

impl Looking<'_> {
    /// Ready when it is known what the connection speaks; with `None` when it is over.
    fn poll(&mut self, connection: &Downstream, cx: &mut Context<'_>) -> Poll<Option<Sorted>> {
        let Some(stream) = connection.stream.whole() else {
            return Poll::Ready(None);
        };
        loop {
            let size = match self.reader {
                Some(_) => LONGEST_HELLO,
                None => BUFFER,
            };
            let room = self.seen.whole_room(size);
            let Ok(count) = ready!(stream.poll_peek(cx, room, self.known)) else {
                return Poll::Ready(None);
            };
            if count == 0 {
                return Poll::Ready(None);
            }
            let before = std::mem::replace(&mut self.known, count);
            let bytes = room.get(..count).unwrap_or_default();
            if let Some(reader) = &mut self.reader {
                let fresh = bytes.get(before..).unwrap_or_default();
                let hello = reader.take(fresh);
                if let Some(sorted) = self.judge(connection, hello.map_err(drop)) {
                    return Poll::Ready(Some(sorted));
                }
                continue;
            }
            let begins = self.table.begins(&connection.listener.name);
            let sorted = match Seen::of(bytes, begins) {
                Seen::Nothing => continue,
                Seen::Http => Sorted::Requests,
                Seen::Other => Sorted::Connection(Says::Anything(bytes.to_vec())),
                Seen::Tls if !self.table.passes_tls(&connection.listener.name) => {
                    self.ends_here(connection)
                }
                Seen::Tls => {
                    connection.begin_handshake();
                    let mut reader = HelloReader::default();
                    let hello = reader.take(bytes);
                    self.reader = Some(reader);
                    match self.judge(connection, hello.map_err(drop)) {
                        Some(sorted) => sorted,
                        None => continue,
                    }
                }
            };
            return Poll::Ready(Some(sorted));
        }
    }

    /// What becomes of TLS whose first message is `hello`, if it is whole or none.
    fn judge(&self, connection: &Downstream, hello: Result<Option<Hello>, ()>) -> Option<Sorted> {
        let hello = match hello {
            Ok(None) if self.known < LONGEST_HELLO => return None,
            Ok(Some(hello)) => hello,
            Ok(None) | Err(()) => return Some(self.ends_here(connection)),
        };
        let local = || connection.dialled_address();
        let ends = Ends {
            client: connection.peer.address(),
            local: &local,
            hello: Some(&hello),
            chosen: None,
            first: &[],
        };
        let listener = &connection.listener.name;
        Some(match self.table.find(listener, Carried::Tls, &ends) {
            Some(_) => Sorted::Connection(Says::Hello),
            None => self.ends_here(connection),
        })
    }

    /// TLS that no route passes on: it ends here, if it can, or is refused by who reads it.
    fn ends_here(&self, connection: &Downstream) -> Sorted {
        match connection.listener.tls {
            Some(_) => Sorted::Requests,
            None => Sorted::Connection(Says::Hello),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    fn seen(bytes: &[u8]) -> Seen {
        Seen::of(
            bytes,
            [&b"SSH-"[..], b"GET-IT", b"\x16\x03\x09"].into_iter(),
        )
    }

    #[test]
    fn first_bytes_tell_what_is_spoken_and_every_start_of_them_nothing_yet() {
        let told: [(&[u8], usize, Seen); 12] = [
            (b"SSH-2.0-x", 4, Seen::Other),
            (b"SSI", 3, Seen::Nothing),
            (b"GET / HTTP/1.1", 5, Seen::Http),
            (b"GET-IT", 6, Seen::Other),
            (b"OPTIONS * HTTP/1.1", 9, Seen::Http),
            (b"PRI * HTTP/2.0", 5, Seen::Http),
            (b"GET http://a/", 11, Seen::Http),
            (b"EHLO host", 6, Seen::Nothing),
            (b"EHLO mail", 6, Seen::Other),
            (b"\x16\x03\x01\x02", 3, Seen::Tls),
            (b"\x16\x03\x09", 3, Seen::Other),
            (b"\0\0\0\x08", 1, Seen::Other),
        ];
        for (bytes, at, wanted) in told {
            for length in 0..at {
                assert_eq!(seen(&bytes[..length]), Seen::Nothing, "{bytes:?} {length}");
            }
            assert_eq!(seen(&bytes[..at]), wanted, "{bytes:?}");
        }
        assert_eq!(seen(b"EHLO host"), Seen::Other);
        assert_eq!(seen(b"ABCDEFGHIJKLMNOPQRSTUVWXY"), Seen::Other);
        assert_eq!(seen(b"quit"), Seen::Other);
    }
}
