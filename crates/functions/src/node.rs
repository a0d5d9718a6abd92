// SPDX-License-Identifier: Apache-2.0
use crate::cursor::{Cursor, put_bytes};
use crate::fields::put_fields;
use crate::frame::{self, CHUNK, Frame, MAX_SETS, MAX_SETTINGS, small};
use crate::{FieldList, Malformed, RequestHead, TooLarge};

pub(crate) const REQUEST: u8 = 0x01;
pub(crate) const BODY: u8 = 0x02;
pub(crate) const CANCEL: u8 = 0x03;
pub(crate) const RESPONSE: u8 = 0x04;
pub(crate) const CREDIT: u8 = 0x05;
pub(crate) const SETTINGS: u8 = 0x06;
pub(crate) const LAST: u8 = 1;

/// What a node says to a worker.
#[derive(Debug)]
pub enum NodeMessage<'a> {
    /// A new exchange.
    Request(Box<RequestHead>),
    /// The next part of the request's body.
    Body {
        /// At most [`CHUNK`] bytes; may be empty.
        bytes: &'a [u8],
        /// Whether it was the last one.
        is_last: bool,
    },
    /// Nobody waits for this exchange any more.
    Cancel,
    /// What came back for a request that was let pass with `wants_response`.
    Response {
        /// 200 to 599.
        status: u16,
        /// The response's fields as they would go to the client.
        fields: FieldList<'a>,
    },
    /// So many more bytes of the response's body may be sent.
    Credit(u32),
    /// Settings of a policy, in JSON. The frame's number is not that of an exchange but the one by
    /// which requests name them from now on; it may have stood for others before.
    Settings(&'a str),
}

impl<'a> NodeMessage<'a> {
    /// Reads the message that a frame carries.
    ///
    /// # Errors
    /// An unknown kind, or a payload that is not what the kind says.
    pub fn decode(frame: Frame<'a>) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(frame.payload);
        let message = match frame.kind {
            REQUEST => return Ok(Self::Request(Box::new(RequestHead::decode(frame.payload)?))),
            BODY => return read_body(cursor).map(|(bytes, is_last)| Self::Body { bytes, is_last }),
            CANCEL => Self::Cancel,
            RESPONSE => {
                let status = read_status(&mut cursor)?;
                Self::Response {
                    status,
                    fields: FieldList::read(&mut cursor)?,
                }
            }
            CREDIT => Self::Credit(cursor.u32()?),
            SETTINGS if !(1..=MAX_SETS).contains(&frame.exchange) => {
                return Err(Malformed("a number of settings out of bounds"));
            }
            SETTINGS => Self::Settings(cursor.text()?),
            _ => return Err(Malformed("an unknown kind")),
        };
        cursor.end()?;
        Ok(message)
    }
}

pub(crate) fn read_status(cursor: &mut Cursor<'_>) -> Result<u16, Malformed> {
    match cursor.u16()? {
        status @ 200..=599 => Ok(status),
        _ => Err(Malformed("a status out of bounds")),
    }
}

pub(crate) fn read_body(mut cursor: Cursor<'_>) -> Result<(&[u8], bool), Malformed> {
    let is_last = cursor.u8()? & LAST != 0;
    let bytes = cursor.rest();
    if bytes.len() > CHUNK {
        return Err(Malformed("a body frame over the limit"));
    }
    Ok((bytes, is_last))
}

/// Appends `Body` frames for all of `bytes`; the last one is marked when `is_last`. An empty body
/// that is not the last sends nothing.
pub(crate) fn put_body(out: &mut Vec<u8>, kind: u8, exchange: u32, bytes: &[u8], is_last: bool) {
    let mut rest = bytes;
    loop {
        let (chunk, after) = rest.split_at(rest.len().min(CHUNK));
        let ends = is_last && after.is_empty();
        if !chunk.is_empty() || ends {
            out.extend_from_slice(&((5 + 1 + chunk.len()) as u32).to_be_bytes());
            out.push(kind);
            out.extend_from_slice(&exchange.to_be_bytes());
            out.push(if ends { LAST } else { 0 });
            out.extend_from_slice(chunk);
        }
        if after.is_empty() {
            return;
        }
        rest = after;
    }
}

/// Appends the request's body, or a part of it, in `Body` frames.
pub fn encode_body(out: &mut Vec<u8>, exchange: u32, bytes: &[u8], is_last: bool) {
    put_body(out, BODY, exchange, bytes, is_last);
}

/// Appends a `Cancel` frame.
pub fn encode_cancel(out: &mut Vec<u8>, exchange: u32) {
    small(out, CANCEL, exchange, &[]);
}

/// Appends a `Credit` frame for `bytes` more of the response's body.
pub fn encode_credit(out: &mut Vec<u8>, exchange: u32, bytes: u32) {
    small(out, CREDIT, exchange, &bytes.to_be_bytes());
}

/// Appends a `Settings` frame: from now on `number`, 1 to [`MAX_SETS`], stands for `text`.
///
/// # Errors
/// [`TooLarge`] over [`MAX_SETTINGS`] bytes; `out` is as it was.
pub fn encode_settings(out: &mut Vec<u8>, number: u32, text: &str) -> Result<(), TooLarge> {
    if text.len() > MAX_SETTINGS {
        return Err(TooLarge);
    }
    let start = frame::begin(out, SETTINGS, number);
    put_bytes(out, text.as_bytes());
    frame::finish(out, start)
}

/// Appends a `Response` frame.
///
/// # Errors
/// [`TooLarge`] when the fields do not fit into a frame; `out` is as it was.
pub fn encode_response<'f>(
    out: &mut Vec<u8>,
    exchange: u32,
    status: u16,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
) -> Result<(), TooLarge> {
    let start = frame::begin(out, RESPONSE, exchange);
    out.extend_from_slice(&status.to_be_bytes());
    put_fields(out, fields);
    frame::finish(out, start)
}
