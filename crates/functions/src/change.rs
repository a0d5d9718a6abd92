// SPDX-License-Identifier: Apache-2.0
use crate::cursor::{Cursor, put_bytes};
use crate::{Malformed, frame};

const SET: u8 = 1;
const APPEND: u8 = 2;
const REMOVE: u8 = 3;
const PATH: u8 = 4;
const STATUS: u8 = 5;

/// One step of a difference between the message that was sent and the one wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Replaces every field of this name by one.
    Set(&'a [u8], &'a [u8]),
    /// Adds a field behind the others.
    Append(&'a [u8], &'a [u8]),
    /// Takes every field of this name away.
    Remove(&'a [u8]),
    /// Another path, for requests; canonicalised and checked again by the node.
    Path(&'a [u8]),
    /// Another status, for responses: 200 to 599.
    Status(u16),
}

/// Changes in the order in which they are to be made.
///
/// Wire form: `u16 count | (u8 operation | operands)*`; checked once when it is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Changes<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let count = cursor.u16()?;
        let before = cursor.rest();
        for _ in 0..count {
            read_change(cursor)?;
        }
        let used = before.len() - cursor.rest().len();
        Ok(Self {
            count,
            bytes: before.get(..used).unwrap_or_default(),
        })
    }

    /// Whether the message stays as it was.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Each change, first the one to make first.
    pub fn iter(self) -> impl Iterator<Item = Change<'a>> {
        let mut cursor = Cursor::new(self.bytes);
        std::iter::from_fn(move || read_change(&mut cursor).ok())
    }
}

fn read_change<'a>(cursor: &mut Cursor<'a>) -> Result<Change<'a>, Malformed> {
    Ok(match cursor.u8()? {
        SET => Change::Set(cursor.bytes()?, cursor.bytes()?),
        APPEND => Change::Append(cursor.bytes()?, cursor.bytes()?),
        REMOVE => Change::Remove(cursor.bytes()?),
        PATH => Change::Path(cursor.bytes()?),
        STATUS => match cursor.u16()? {
            status @ 200..=599 => Change::Status(status),
            _ => return Err(Malformed("a status out of bounds")),
        },
        _ => return Err(Malformed("an unknown change")),
    })
}

/// Appends changes as they travel. More than 65,535 do not fit a frame's count.
///
/// # Errors
/// [`frame::TooLarge`] when there are more; `out` is then in an unfinished state, and the caller
/// takes the whole frame back.
pub fn encode_changes<'c>(
    out: &mut Vec<u8>,
    changes: impl Iterator<Item = Change<'c>>,
) -> Result<(), frame::TooLarge> {
    let place = out.len();
    out.extend_from_slice(&[0, 0]);
    let mut count: u16 = 0;
    for change in changes {
        count = count.checked_add(1).ok_or(frame::TooLarge)?;
        match change {
            Change::Set(name, value) => put_pair(out, SET, name, value),
            Change::Append(name, value) => put_pair(out, APPEND, name, value),
            Change::Remove(name) => {
                out.push(REMOVE);
                put_bytes(out, name);
            }
            Change::Path(path) => {
                out.push(PATH);
                put_bytes(out, path);
            }
            Change::Status(status) => {
                out.push(STATUS);
                out.extend_from_slice(&status.to_be_bytes());
            }
        }
    }
    if let Some(bytes) = out.get_mut(place..place + 2) {
        bytes.copy_from_slice(&count.to_be_bytes());
    }
    Ok(())
}

fn put_pair(out: &mut Vec<u8>, operation: u8, name: &[u8], value: &[u8]) {
    out.push(operation);
    put_bytes(out, name);
    put_bytes(out, value);
}
