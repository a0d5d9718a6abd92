// SPDX-License-Identifier: Apache-2.0
use super::{HttpDate, push_field, push_length, push_text, reason};
use tidegate_request::{
    CONNECTION_FIELDS, FieldId, FieldRef, FieldSet, Response, ResponseFraming, Version,
};

/// What a response's head depends on beside the response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext<'a> {
    /// The client's.
    pub version: Version,
    /// Whether the connection is to carry another request.
    pub keep_alive: bool,
    /// Who we are in `Via`: a token.
    pub pseudonym: &'a str,
    /// For a missing `Date`.
    pub date: HttpDate,
    /// Made here: nothing was received that `Via` could tell of.
    pub is_local: bool,
}

/// How the content must follow a head that was written, and what was promised in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The framing the client was told.
    pub framing: ResponseFraming,
    /// Whether the client was told that the connection goes on.
    pub keep_alive: bool,
}

/// Fields that are written from the canonical response.
const LEFT_OUT: FieldSet = CONNECTION_FIELDS.with(FieldSet::of(&[FieldId::ContentLength]));

/// What is left out of `response`: our own demand for credentials of a proxy is meant for the client.
fn left_out(response: &Response, context: &ResponseContext<'_>) -> FieldSet {
    match context.is_local && response.status() == 407 {
        true => LEFT_OUT.without(FieldId::ProxyAuthenticate),
        false => LEFT_OUT,
    }
}

/// Appends the head of `response` as it goes to the client.
///
/// Content whose end only the endpoint's close tells is chunked for the client, or ended by our
/// close if it speaks HTTP/1.0, which knows no chunks (RFC 9112 §6.3, §7.1). For HTTP/2 there is
/// [`ResponseFields`].
pub fn encode_response(
    out: &mut Vec<u8>,
    response: &Response,
    context: &ResponseContext<'_>,
) -> Sent {
    let framing = framing_for(context.version, response.framing());
    let keep_alive = context.keep_alive && framing != ResponseFraming::Close;
    write_status_line(out, response.status());
    let left_out = left_out(response, context);
    for field in response.fields().iter() {
        if !left_out.has(field.id) {
            push_field(out, field.name, field.value);
        }
    }
    let is_interim = response.status() < 200;
    if framing == ResponseFraming::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    } else if let Some(length) = told_length(response) {
        push_length(out, length);
    }
    if !context.is_local {
        out.extend_from_slice(b"Via: ");
        out.extend_from_slice(response.version().number().as_bytes());
        out.push(b' ');
        push_text(out, context.pseudonym);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(protocol) = response.upgrade() {
        push_field(out, b"Upgrade", protocol);
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if !is_interim {
        if response.fields().get(FieldId::Date).is_none() {
            write_date(out, context.date);
        }
        write_connection(out, context.version, keep_alive);
    }
    out.extend_from_slice(b"\r\n");
    Sent {
        framing,
        keep_alive,
    }
}

/// What `Content-Length` says.
fn told_length(response: &Response) -> Option<u64> {
    match response.framing() {
        ResponseFraming::Length(length) => Some(length),
        // An answer to HEAD, or 304: what the content would have had (RFC 9110 §8.6).
        ResponseFraming::None if response.status() >= 200 && response.status() != 204 => {
            response.declared_length()
        }
        ResponseFraming::None | ResponseFraming::Chunked | ResponseFraming::Close => None,
    }
}

/// The fields of a response as it goes to a client of HTTP/2: those of [`encode_response`], less
/// those that frame it or concern a connection (RFC 9113 §8.2.2).
pub struct ResponseFields<'a> {
    response: &'a Response,
    length: Option<Vec<u8>>,
    /// Empty for what is made here.
    via: Vec<u8>,
    date: HttpDate,
    left_out: FieldSet,
}

impl<'a> ResponseFields<'a> {
    /// Makes them ready.
    pub fn new(response: &'a Response, context: &ResponseContext<'_>) -> Self {
        let mut via = Vec::new();
        if !context.is_local {
            via.extend_from_slice(response.version().number().as_bytes());
            via.push(b' ');
            push_text(&mut via, context.pseudonym);
        }
        // What ends with its head may be trailers alone, of which no length is told.
        let is_bare = response.framing() == ResponseFraming::Length(0)
            && response.declared_length().is_none();
        let length = told_length(response).filter(|_| !is_bare);
        Self {
            response,
            length: length.map(|length| itoa::Buffer::new().format(length).into()),
            via,
            date: context.date,
            left_out: left_out(response, context),
        }
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = FieldRef<'_>> + Clone {
        let response = self.response;
        let length = self.length.as_deref();
        let via = Some(&*self.via).filter(|via| !via.is_empty());
        let wants_date = response.status() >= 200 && response.fields().get(FieldId::Date).is_none();
        let date = wants_date.then(|| self.date.as_bytes());
        let given = response.fields().iter();
        given
            .filter(|field| !self.left_out.has(field.id))
            .chain(length.map(|value| own(FieldId::ContentLength, value)))
            .chain(via.map(|value| own(FieldId::Via, value)))
            .chain(date.map(|value| own(FieldId::Date, value)))
    }
}

fn own(id: FieldId, value: &[u8]) -> FieldRef<'_> {
    FieldRef {
        id,
        name: id.name().as_bytes(),
        value,
        is_secret: false,
    }
}

/// How a client of `version` gets content that the endpoint framed as `framing`.
fn framing_for(version: Version, framing: ResponseFraming) -> ResponseFraming {
    match framing {
        ResponseFraming::Chunked | ResponseFraming::Close if version == Version::Http10 => {
            ResponseFraming::Close
        }
        // From HTTP/2 on content ends with its stream, whether its length was told or not.
        ResponseFraming::Chunked | ResponseFraming::Close if version >= Version::Http2 => {
            ResponseFraming::Close
        }
        ResponseFraming::Close => ResponseFraming::Chunked,
        framing => framing,
    }
}

pub(super) fn write_status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    // The space belongs there also without a reason (RFC 9112 §4).
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

pub(super) fn write_date(out: &mut Vec<u8>, date: HttpDate) {
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(date.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Says only what differs from the default of the client's version. RFC 9112 §9.3.
pub(super) fn write_connection(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    match (version, keep_alive) {
        (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (Version::Http11 | Version::Http2 | Version::Http3, true) => {}
    }
}
