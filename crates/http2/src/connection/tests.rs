// SPDX-License-Identifier: Apache-2.0
mod frames;
mod limits;
mod messages;
mod pair;
mod sending;
mod states;

use super::{Connection, RequestHead};
use crate::frame::{self, FrameHeader};
use crate::hpack::Encoder;
use crate::{ConnectionError, ErrorCode, Event, Settings};
use tidegate_core::Moment;
use tidegate_request::{FieldId, Fields};

/// An event with all its bytes, to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Request(u32, String, Vec<(String, String)>, bool),
    Response(u32, u16, Vec<(String, String)>, bool),
    Refused(u32, u16, bool),
    Data(u32, Vec<u8>, bool),
    Trailers(u32, Vec<(String, String)>),
    Reset(u32, ErrorCode, bool),
    GoAway(u32, ErrorCode),
    Settings,
    Pong,
}

fn texts(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields
        .iter()
        .map(|field| (text(field.name), text(field.value)))
        .collect()
}

fn seen(event: Event<'_>) -> Seen {
    match event {
        Event::Request {
            stream,
            pseudo,
            storage,
            ends,
        } => {
            let line = [pseudo.method, pseudo.scheme, pseudo.path].join(&b' ');
            let line = String::from_utf8_lossy(&line).into_owned();
            Seen::Request(stream, line, texts(storage.fields()), ends)
        }
        Event::Response {
            stream,
            status,
            storage,
            ends,
        } => Seen::Response(stream, status, texts(storage.fields()), ends),
        Event::Refused {
            stream, kind, ends, ..
        } => Seen::Refused(stream, kind.status(), ends),
        Event::Data { stream, data, ends } => Seen::Data(stream, data.to_vec(), ends),
        Event::Trailers { stream, storage } => Seen::Trailers(stream, texts(storage.fields())),
        Event::Reset {
            stream,
            code,
            by_peer,
            ..
        } => Seen::Reset(stream, code, by_peer),
        Event::GoAway { last_stream, code } => Seen::GoAway(last_stream, code),
        Event::Settings => Seen::Settings,
        Event::Pong => Seen::Pong,
    }
}

/// All events of `input`, and the bytes that were consumed.
fn receive_at(
    connection: &mut Connection,
    now: Moment,
    input: &[u8],
) -> Result<(Vec<Seen>, usize), ConnectionError> {
    let (mut events, mut at) = (Vec::new(), 0);
    loop {
        let received = connection.receive(now, &input[at..])?;
        at += received.consumed;
        match received.event {
            Some(event) => events.push(seen(event)),
            None => return Ok((events, at)),
        }
    }
}

fn receive(connection: &mut Connection, input: &[u8]) -> Result<Vec<Seen>, ConnectionError> {
    let (events, consumed) = receive_at(connection, Moment::default(), input)?;
    assert_eq!(consumed, input.len());
    Ok(events)
}

fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        length: payload.len() as u32,
        kind,
        flags,
        stream,
    };
    [&header.bytes()[..], payload].concat()
}

/// A header block; nothing of it goes into a table.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "a"),
    (":path", "/"),
];

fn get(stream: u32) -> Vec<u8> {
    raw(
        frame::HEADERS,
        frame::END_HEADERS | frame::END_STREAM,
        stream,
        &block(&GET),
    )
}

/// A request whose content is to come.
fn post(stream: u32) -> Vec<u8> {
    let fields = [&[(":method", "POST")][..], &GET[1..]].concat();
    raw(frame::HEADERS, frame::END_HEADERS, stream, &block(&fields))
}

fn data(stream: u32, text: &[u8], ends: bool) -> Vec<u8> {
    let flags = if ends { frame::END_STREAM } else { 0 };
    raw(frame::DATA, flags, stream, text)
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    let payload = [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    raw(frame::SETTINGS, 0, 0, &payload)
}

fn number(kind: u8, stream: u32, value: u32) -> Vec<u8> {
    raw(kind, 0, stream, &value.to_be_bytes())
}

/// A server whose client has sent its preface and acknowledged the server's settings.
fn server_with(settings: Settings) -> Connection {
    let mut server = Connection::server(settings);
    let start = [
        frame::PREFACE.to_vec(),
        raw(frame::SETTINGS, 0, 0, &[]),
        raw(frame::SETTINGS, frame::ACK, 0, &[]),
    ];
    assert_eq!(receive(&mut server, &start.concat()), Ok(Vec::new()));
    drain(&mut server);
    server
}

fn server() -> Connection {
    server_with(Settings::default())
}

/// A client whose server has said its settings.
fn client() -> Connection {
    let mut client = Connection::client(Settings::default());
    let start = [
        raw(frame::SETTINGS, 0, 0, &[]),
        raw(frame::SETTINGS, frame::ACK, 0, &[]),
    ];
    assert_eq!(
        receive(&mut client, &start.concat()),
        Ok(vec![Seen::Settings])
    );
    drain(&mut client);
    client
}

const HEAD: RequestHead<'static> = RequestHead {
    method: b"GET",
    scheme: "http",
    authority: b"a",
    path: b"/",
    query: None,
    protocol: None,
};

fn open(client: &mut Connection) -> u32 {
    client
        .send_request(HEAD, Fields::new().iter(), true)
        .unwrap()
}

fn answer(server: &mut Connection, stream: u32) {
    server
        .send_response(stream, 200, Fields::new().iter(), true)
        .unwrap();
}

/// Takes the output.
fn drain(connection: &mut Connection) -> Vec<u8> {
    let output = connection.output().to_vec();
    connection.sent(output.len());
    output
}

/// The frames of the output, taken: kind, flags, stream, payload.
fn frames(connection: &mut Connection) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let output = drain(connection);
    let mut rest = &output[..];
    let mut frames = Vec::new();
    while let Some(header) = FrameHeader::read(rest) {
        let end = frame::HEADER + header.length as usize;
        let payload = rest[frame::HEADER..end].to_vec();
        frames.push((header.kind, header.flags, header.stream, payload));
        rest = &rest[end..];
    }
    assert!(rest.is_empty());
    frames
}

/// The code of the RST_STREAM for `stream` in the output, taken.
fn reset_code(connection: &mut Connection, stream: u32) -> Option<ErrorCode> {
    let reset = frames(connection)
        .into_iter()
        .find(|frame| frame.0 == frame::RST_STREAM && frame.2 == stream)?;
    frame::number(&reset.3).map(ErrorCode)
}

/// The code that `input` ends the connection with; GOAWAY says the same.
fn fatal(mut connection: Connection, input: &[u8]) -> ErrorCode {
    drain(&mut connection);
    let error = receive_at(&mut connection, Moment::default(), input).unwrap_err();
    let said = frames(&mut connection).pop().unwrap();
    assert_eq!(said.0, frame::GOAWAY);
    assert_eq!(frame::number(&said.3[4..]), Some(error.code.0));
    assert_eq!(
        connection.receive(Moment::default(), &[]).err(),
        Some(error)
    );
    error.code
}

fn fields(list: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in list {
        fields.append(name.as_bytes(), value.as_bytes()).unwrap();
    }
    fields
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    list.iter().map(text).collect()
}

/// A block of another encoder than ours would make, with entries in the table.
fn indexed(encoder: &mut Encoder, list: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for (name, value) in list {
        let id = FieldId::recognise(name.as_bytes());
        encoder.field(&mut out, id, name.as_bytes(), value.as_bytes(), false);
    }
    out
}
