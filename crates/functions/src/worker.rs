// SPDX-License-Identifier: Apache-2.0
use crate::cursor::Cursor;
use crate::fields::put_fields;
use crate::frame::{self, Frame, small};
use crate::node::{put_body, read_body, read_status};
use crate::{Change, Changes, FieldList, INLINE, Malformed, TooLarge, VERSION, encode_changes};

const READY: u8 = 0x41;
const CONTINUE: u8 = 0x42;
const RESPOND: u8 = 0x43;
const CHANGES: u8 = 0x44;
const BODY: u8 = 0x45;
const CREDIT: u8 = 0x46;
const BODY_WANTED: u8 = 0x47;
const ERROR: u8 = 0x48;
const CLOSING: u8 = 0x49;
const FATAL: u8 = 0x4a;

const WANTS_RESPONSE: u8 = 1;
const BODY_FOLLOWS: u8 = 1;

/// Why an exchange got no answer. The text of the failure is in the worker's log only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The code raised.
    Exception = 1,
    /// The code returned something that is no answer.
    BadAnswer = 2,
    /// It was cancelled, by the node or by itself.
    Cancelled = 3,
    /// The process reached its memory limit.
    Memory = 4,
    /// The request's body is over the function's limit: the client gets 413.
    BodySize = 5,
}

/// What a worker says to a node.
#[derive(Debug, PartialEq, Eq)]
pub enum WorkerMessage<'a> {
    /// The first frame on each connection.
    Ready {
        /// Exchanges that it works on at once; more wait inside it.
        capacity: u32,
    },
    /// The request may go on, changed like this.
    Continue {
        /// What to change first.
        changes: Changes<'a>,
        /// Whether the response's head is to be shown before it is sent.
        wants_response: bool,
    },
    /// This is the response.
    Respond {
        /// 200 to 599.
        status: u16,
        /// Without framing fields, except that `content-length` may stand for a body that follows.
        fields: FieldList<'a>,
        /// The body, or its beginning.
        body: &'a [u8],
        /// Whether the rest of the body comes in `Body` frames.
        body_follows: bool,
    },
    /// The response that was shown may be sent, changed like this.
    Changes(Changes<'a>),
    /// The next part of the response's body.
    Body {
        /// At most [`crate::CHUNK`] bytes.
        bytes: &'a [u8],
        /// Whether it was the last one.
        is_last: bool,
    },
    /// So many more bytes of the request's body may be sent.
    Credit(u32),
    /// Send the body of this request, which was on demand.
    BodyWanted,
    /// No answer comes.
    Error(Reason),
    /// No new exchange may be sent on this connection; those sent are finished.
    Closing,
    /// The process ends now. Exchanges not listed had not begun and may go to another worker.
    Fatal {
        /// Exchanges of this connection that had begun: four bytes each, big-endian.
        begun: &'a [u8],
    },
}

impl<'a> WorkerMessage<'a> {
    /// Reads the message that a frame carries.
    ///
    /// # Errors
    /// An unknown kind or version, or a payload that is not what the kind says.
    pub fn decode(frame: Frame<'a>) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(frame.payload);
        let message = match frame.kind {
            READY => {
                if cursor.u16()? != VERSION {
                    return Err(Malformed("another version of the protocol"));
                }
                Self::Ready {
                    capacity: cursor.u32()?,
                }
            }
            CONTINUE => {
                let wants_response = cursor.u8()? & WANTS_RESPONSE != 0;
                Self::Continue {
                    changes: Changes::read(&mut cursor)?,
                    wants_response,
                }
            }
            RESPOND => return Self::respond(cursor),
            CHANGES => Self::Changes(Changes::read(&mut cursor)?),
            BODY => return read_body(cursor).map(|(bytes, is_last)| Self::Body { bytes, is_last }),
            CREDIT => Self::Credit(cursor.u32()?),
            BODY_WANTED => Self::BodyWanted,
            ERROR => Self::Error(match cursor.u8()? {
                1 => Reason::Exception,
                2 => Reason::BadAnswer,
                3 => Reason::Cancelled,
                4 => Reason::Memory,
                5 => Reason::BodySize,
                _ => return Err(Malformed("an unknown reason")),
            }),
            CLOSING => Self::Closing,
            FATAL => {
                let begun = cursor.rest();
                if !begun.len().is_multiple_of(4) {
                    return Err(Malformed("a list of exchanges cut off"));
                }
                return Ok(Self::Fatal { begun });
            }
            _ => return Err(Malformed("an unknown kind")),
        };
        cursor.end()?;
        Ok(message)
    }

    fn respond(mut cursor: Cursor<'a>) -> Result<Self, Malformed> {
        let body_follows = cursor.u8()? & BODY_FOLLOWS != 0;
        let status = read_status(&mut cursor)?;
        let fields = FieldList::read(&mut cursor)?;
        let body = cursor.rest();
        if body.len() > INLINE {
            return Err(Malformed("an inline body over the limit"));
        }
        Ok(Self::Respond {
            status,
            fields,
            body,
            body_follows,
        })
    }
}

/// Appends the `Ready` frame.
pub fn encode_ready(out: &mut Vec<u8>, capacity: u32) {
    let mut payload = [0; 6];
    let (version, rest) = payload.split_at_mut(2);
    version.copy_from_slice(&VERSION.to_be_bytes());
    rest.copy_from_slice(&capacity.to_be_bytes());
    small(out, READY, 0, &payload);
}

/// Appends a `Continue` frame.
///
/// # Errors
/// [`TooLarge`] when the changes do not fit into a frame; `out` is as it was.
pub fn encode_continue<'c>(
    out: &mut Vec<u8>,
    exchange: u32,
    changes: impl Iterator<Item = Change<'c>>,
    wants_response: bool,
) -> Result<(), TooLarge> {
    let start = frame::begin(out, CONTINUE, exchange);
    out.push(if wants_response { WANTS_RESPONSE } else { 0 });
    put_changes(out, start, changes)
}

/// Appends a `Changes` frame: how to change the response that was shown.
///
/// # Errors
/// [`TooLarge`] when the changes do not fit into a frame; `out` is as it was.
pub fn encode_response_changes<'c>(
    out: &mut Vec<u8>,
    exchange: u32,
    changes: impl Iterator<Item = Change<'c>>,
) -> Result<(), TooLarge> {
    let start = frame::begin(out, CHANGES, exchange);
    put_changes(out, start, changes)
}

fn put_changes<'c>(
    out: &mut Vec<u8>,
    start: usize,
    changes: impl Iterator<Item = Change<'c>>,
) -> Result<(), TooLarge> {
    if let Err(error) = encode_changes(out, changes) {
        out.truncate(start);
        return Err(error);
    }
    frame::finish(out, start)
}

/// Appends a `Respond` frame with the first bytes of the body; with `body_follows` the rest comes
/// by [`encode_worker_body`].
///
/// # Errors
/// [`TooLarge`] when the fields do not fit into a frame or `body` is over [`INLINE`]; `out` is as
/// it was.
pub fn encode_respond<'f>(
    out: &mut Vec<u8>,
    exchange: u32,
    status: u16,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    body: &[u8],
    body_follows: bool,
) -> Result<(), TooLarge> {
    if body.len() > INLINE {
        return Err(TooLarge);
    }
    let start = frame::begin(out, RESPOND, exchange);
    out.push(if body_follows { BODY_FOLLOWS } else { 0 });
    out.extend_from_slice(&status.to_be_bytes());
    put_fields(out, fields);
    out.extend_from_slice(body);
    frame::finish(out, start)
}

/// Appends the response's body, or a part of it, in `Body` frames.
pub fn encode_worker_body(out: &mut Vec<u8>, exchange: u32, bytes: &[u8], is_last: bool) {
    put_body(out, BODY, exchange, bytes, is_last);
}

/// Appends a `Credit` frame for `bytes` more of the request's body.
pub fn encode_worker_credit(out: &mut Vec<u8>, exchange: u32, bytes: u32) {
    small(out, CREDIT, exchange, &bytes.to_be_bytes());
}

/// Appends a `BodyWanted` frame.
pub fn encode_body_wanted(out: &mut Vec<u8>, exchange: u32) {
    small(out, BODY_WANTED, exchange, &[]);
}

/// Appends an `Error` frame.
pub fn encode_error(out: &mut Vec<u8>, exchange: u32, reason: Reason) {
    small(out, ERROR, exchange, &[reason as u8]);
}

/// Appends a `Closing` frame.
pub fn encode_closing(out: &mut Vec<u8>) {
    small(out, CLOSING, 0, &[]);
}

/// Appends a `Fatal` frame naming the exchanges that had begun. Those beyond what a frame holds
/// are left out, so the caller keeps under 200,000 per connection.
///
/// # Errors
/// [`TooLarge`] above that; `out` is as it was.
pub fn encode_fatal(out: &mut Vec<u8>, begun: impl Iterator<Item = u32>) -> Result<(), TooLarge> {
    let start = frame::begin(out, FATAL, 0);
    for exchange in begun {
        out.extend_from_slice(&exchange.to_be_bytes());
    }
    frame::finish(out, start)
}
