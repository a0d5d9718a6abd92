// SPDX-License-Identifier: Apache-2.0
//! What a client sends on an HTTP/2 connection: the same events and answers however it arrives, and
//! never more memory than promised.
use tidegate_http2::{Connection, ErrorCode, Event, Settings};
use tidegate_request::Fields;

/// What connections of this kind are made of: frames, whole and in pieces.
pub const PIECES: &[&[u8]] = &[
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\0\0\0\x04\0\0\0\0\0",
    b"\0\0\0\x04\x01\0\0\0\0",
    b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\x05",
    b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a",
    b"\0\0\x06\x01\x04\0\0\0\x03\x83\x86\x84\x41\x01a",
    b"\0\0\x06\x01\0\0\0\0\x05\x82\x86\x84\x41\x01a",
    b"\0\0\0\x09\x04\0\0\0\x05",
    b"\0\0\x06\x01\x05\0\0\0\x03\x40\x01x\x02yz",
    b"\0\0\x03\0\0\0\0\0\x03abc",
    b"\0\0\x05\0\x09\0\0\0\x03\x02ab\0\0",
    b"\0\0\x04\x03\0\0\0\0\x03\0\0\0\x08",
    b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01",
    b"\0\0\x04\x08\0\0\0\0\x03\x7f\xff\xff\xff",
    b"\0\0\x05\x02\0\0\0\0\x03\0\0\0\x01\0",
    b"\x3f\xe1\x1f",
    b"\xbe",
    b"\0\0",
    b"\x05",
];

/// What is worth comparing of a connection: events, content joined, and everything it said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    events: Vec<String>,
    content: Vec<(u32, Vec<u8>)>,
    output: Vec<u8>,
    error: Option<ErrorCode>,
}

/// Feeds `data` to a server that answers every request, `step` bytes at a time.
fn serve(data: &[u8], step: usize) -> Seen {
    let mut server = Connection::server(Settings::default());
    let mut seen = Seen::default();
    let (mut at, mut end) = (0, 0);
    loop {
        let input = data.get(at..end).unwrap_or_default();
        let (mut release, mut answer, mut is_empty) = (None, None, false);
        match server.receive(Default::default(), input) {
            Ok(received) => {
                at += received.consumed;
                match received.event {
                    None => is_empty = true,
                    Some(Event::Data { stream, data, ends }) => {
                        match seen.content.last_mut() {
                            Some((last, text)) if *last == stream => text.extend_from_slice(data),
                            _ => seen.content.push((stream, data.to_vec())),
                        }
                        release = Some((stream, data.len()));
                        answer = ends.then_some(stream);
                    }
                    Some(event) => {
                        match &event {
                            Event::Request { stream, ends, .. }
                            | Event::Refused { stream, ends, .. } => {
                                answer = ends.then_some(*stream);
                            }
                            Event::Trailers { stream, .. } => answer = Some(*stream),
                            _ => {}
                        }
                        seen.events.push(format!("{event:?}"));
                    }
                }
            }
            Err(error) => {
                seen.error = Some(error.code);
                break;
            }
        }
        if let Some((stream, length)) = release {
            server.release(stream, length);
        }
        if let Some(stream) = answer {
            let answered = server.send_response(stream, 200, Fields::new().iter(), true);
            assert_eq!(answered, Ok(()));
        }
        assert!(server.memory() <= 256 << 10);
        if is_empty {
            if end == data.len() {
                break;
            }
            end = data.len().min(end + step);
        }
    }
    seen.output = server.output().to_vec();
    seen
}

/// Judges `data` as what a client sent; whether a request in it was answered and nothing was wrong.
pub fn run(data: &[u8]) -> bool {
    let whole = serve(data, usize::MAX >> 1);
    assert_eq!(whole, serve(data, 1));
    assert_eq!(whole, serve(data, 7));
    // Everything said is frames, whole ones.
    let mut rest = &whole.output[..];
    while let [a, b, c, _, _, _, _, _, _, payload @ ..] = rest {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        assert!(length <= payload.len());
        rest = payload.get(length..).unwrap_or_default();
    }
    assert!(rest.is_empty());
    whole.error.is_none()
        && whole
            .events
            .iter()
            .any(|event| event.starts_with("Request"))
}
