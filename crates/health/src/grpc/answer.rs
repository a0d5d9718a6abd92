// SPDX-License-Identifier: Apache-2.0
//! The messages of `grpc.health.v1.Health/Check`, read and written as Protocol Buffers have them.

/// Bytes before a message in a stream: whether it is compressed, and its length in four of them.
const PREFIX: usize = 5;
/// Bytes that a number takes at most.
const LONGEST_NUMBER: usize = 10;

/// What a health service says of itself or of a service (`ServingStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    Unknown,
    Yes,
    No,
    /// It knows no such service.
    NoService,
    /// A number that has no name.
    Other,
}

/// A message `HealthCheckRequest { string service = 1; }`, as it stands in a stream.
pub(super) fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        push_number(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut out = vec![0];
    out.extend_from_slice(&length.to_be_bytes());
    out.append(&mut message);
    out
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads the one message of an answer, `HealthCheckResponse { ServingStatus status = 1; }`.
///
/// Fields of other numbers are passed over, and of several statuses the last one counts.
///
/// # Errors
/// It is not one whole message, is compressed, or is no such message.
pub(super) fn answer(content: &[u8]) -> Result<Serving, &'static str> {
    let (prefix, message) = content
        .split_at_checked(PREFIX)
        .ok_or("its answer has no message")?;
    let &[compressed, a, b, c, d] = prefix else {
        return Err("its answer has no message");
    };
    if compressed != 0 {
        return Err("its answer is compressed, which was not asked for");
    }
    if u32::from_be_bytes([a, b, c, d]) as usize != message.len() {
        return Err("its answer is not one whole message");
    }
    let status = status(message).ok_or("its answer is no HealthCheckResponse")?;
    Ok(match status {
        0 => Serving::Unknown,
        1 => Serving::Yes,
        2 => Serving::No,
        3 => Serving::NoService,
        _ => Serving::Other,
    })
}

/// Field 1 as a number; 0 without it.
fn status(mut rest: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !rest.is_empty() {
        let key = number(&mut rest)?;
        if key >> 3 == 0 {
            return None; // there is no such field
        }
        match key & 7 {
            0 => {
                let value = number(&mut rest)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            1 => skip(&mut rest, 8)?,
            2 => {
                let length = number(&mut rest)?;
                skip(&mut rest, usize::try_from(length).ok()?)?;
            }
            5 => skip(&mut rest, 4)?,
            _ => return None,
        }
    }
    Some(status)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for at in 0..LONGEST_NUMBER {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        // Of the tenth byte one bit is left; what goes beyond it is cut off, as other readers do.
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn skip(rest: &mut &[u8], count: usize) -> Option<()> {
    *rest = rest.get(count..)?;
    Some(())
}
