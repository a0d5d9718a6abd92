// SPDX-License-Identifier: Apache-2.0
use crate::cursor::{Cursor, put_bytes};
use crate::fields::put_fields;
use crate::{FieldList, INLINE, Malformed, TooLarge, frame, node};

const HTTP_1_0: u8 = 1;
const HAS_QUERY: u8 = 2;
const HAS_SETTINGS: u8 = 4;

/// How a request's body reaches the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BodyKind {
    /// There is none.
    None = 0,
    /// It is in the frame of the head, whole.
    Inline = 1,
    /// It follows in `Body` frames under the window.
    Stream = 2,
    /// It is sent like `Stream` once `BodyWanted` asks for it.
    OnDemand = 3,
    /// There is one, and the worker does not get it: the configuration does not ask for it.
    Withheld = 4,
}

/// A body as the node has it when it sends the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// There is none.
    None,
    /// The whole of it, at most [`INLINE`] bytes.
    Inline(&'a [u8]),
    /// See [`BodyKind::Stream`].
    Stream,
    /// See [`BodyKind::OnDemand`].
    OnDemand,
    /// See [`BodyKind::Withheld`].
    Withheld,
}

/// The single parts of a request's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestParts<'a> {
    /// Any token, as the client wrote it.
    pub method: &'a str,
    /// `http` or `https`: how the client spoke to the gateway.
    pub scheme: &'a str,
    /// `host[:port]` in lower case; empty for HTTP/1.0 without Host.
    pub authority: &'a str,
    /// The canonical path, percent-encoded.
    pub path: &'a str,
    /// What came after `?`, unchanged; `None` without one.
    pub query: Option<&'a [u8]>,
    /// The client's address, without port.
    pub client: &'a str,
    /// The route's name.
    pub route: &'a str,
    /// The request's identifier, as in the access log.
    pub request_id: &'a str,
    /// Which function of the worker is meant; a pool's workers have several.
    pub function: &'a str,
    /// Who calls, as an object of JSON; empty when that is not known.
    pub identity: &'a str,
    /// Whether the client spoke HTTP/1.0.
    pub is_http_1_0: bool,
    /// Milliseconds until the node answers for the worker; at least 1.
    pub deadline_ms: u32,
    /// The number of the settings that the code is given, told before; 0 for none.
    pub settings: u32,
}

/// A decoded head, keeping its bytes: nothing is copied or converted until it is asked for.
///
/// Wire form: `u8 flags | u8 body kind | u32 deadline_ms | u32 settings | method | scheme | authority |
/// path | query | client | route | request id | function | identity | parameters | fields | inline body`,
/// each text as `u32 length | bytes`; the settings only where a flag says so.
#[derive(Debug)]
pub struct RequestHead {
    bytes: Box<[u8]>,
    flags: u8,
    body: BodyKind,
    deadline_ms: u32,
    settings: u32,
    texts: [(u32, u32); 9],
    query: (u32, u32),
    parameters: (u16, u32, u32),
    fields: (u16, u32, u32),
    inline: u32,
}

impl RequestHead {
    /// Decodes the payload of a `Request` frame.
    ///
    /// # Errors
    /// A length beyond the end, a text that is not UTF-8, an unknown body kind, or bytes after a
    /// head whose body is elsewhere.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let bytes: Box<[u8]> = payload.into();
        let whole = bytes.len();
        let mut cursor = Cursor::new(&bytes);
        let flags = cursor.u8()?;
        let body = match cursor.u8()? {
            0 => BodyKind::None,
            1 => BodyKind::Inline,
            2 => BodyKind::Stream,
            3 => BodyKind::OnDemand,
            4 => BodyKind::Withheld,
            _ => return Err(Malformed("an unknown body kind")),
        };
        let deadline_ms = cursor.u32()?.max(1);
        let settings = match flags & HAS_SETTINGS {
            0 => 0,
            _ => cursor.u32()?,
        };
        let mut texts = [(0, 0); 9];
        let mut query = (0, 0);
        // The query stands between path and client, as bytes: it may be anything the codec let pass.
        for (position, place) in texts.iter_mut().enumerate() {
            if position == 4 {
                query = span(whole, &mut cursor, false)?;
            }
            *place = span(whole, &mut cursor, true)?;
        }
        let parameters = list(whole, &mut cursor, true)?;
        let fields = list(whole, &mut cursor, false)?;
        if body != BodyKind::Inline {
            cursor.end()?;
        }
        let inline = offset(whole, cursor);
        Ok(Self {
            flags,
            body,
            deadline_ms,
            settings,
            texts,
            query,
            parameters,
            fields,
            inline,
            bytes,
        })
    }

    fn text(&self, position: usize) -> &str {
        let (start, end) = self.texts.get(position).copied().unwrap_or_default();
        std::str::from_utf8(self.part(start, end)).unwrap_or_default()
    }

    fn part(&self, start: u32, end: u32) -> &[u8] {
        self.bytes
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }

    /// See [`RequestParts::method`].
    pub fn method(&self) -> &str {
        self.text(0)
    }

    /// See [`RequestParts::scheme`].
    pub fn scheme(&self) -> &str {
        self.text(1)
    }

    /// See [`RequestParts::authority`].
    pub fn authority(&self) -> &str {
        self.text(2)
    }

    /// See [`RequestParts::path`].
    pub fn path(&self) -> &str {
        self.text(3)
    }

    /// See [`RequestParts::query`].
    pub fn query(&self) -> Option<&[u8]> {
        (self.flags & HAS_QUERY != 0).then(|| self.part(self.query.0, self.query.1))
    }

    /// See [`RequestParts::client`].
    pub fn client(&self) -> &str {
        self.text(4)
    }

    /// See [`RequestParts::route`].
    pub fn route(&self) -> &str {
        self.text(5)
    }

    /// See [`RequestParts::request_id`].
    pub fn request_id(&self) -> &str {
        self.text(6)
    }

    /// See [`RequestParts::function`].
    pub fn function(&self) -> &str {
        self.text(7)
    }

    /// See [`RequestParts::identity`].
    pub fn identity(&self) -> &str {
        self.text(8)
    }

    /// Whether the client spoke HTTP/1.0.
    pub fn is_http_1_0(&self) -> bool {
        self.flags & HTTP_1_0 != 0
    }

    /// Milliseconds from the head's arrival until the node answers itself; at least 1.
    pub fn deadline_ms(&self) -> u32 {
        self.deadline_ms
    }

    /// See [`RequestParts::settings`].
    pub fn settings(&self) -> u32 {
        self.settings
    }

    /// Names and values of a template's parameters, percent-encoded as in the path.
    pub fn parameters(&self) -> FieldList<'_> {
        FieldList::known(
            self.parameters.0,
            self.part(self.parameters.1, self.parameters.2),
        )
    }

    /// The header fields, in the client's order and case.
    pub fn fields(&self) -> FieldList<'_> {
        FieldList::known(self.fields.0, self.part(self.fields.1, self.fields.2))
    }

    /// Where the body is.
    pub fn body(&self) -> BodyKind {
        self.body
    }

    /// The body, when it came with the head; else empty.
    pub fn inline_body(&self) -> &[u8] {
        self.bytes.get(self.inline as usize..).unwrap_or_default()
    }
}

fn offset(whole: usize, cursor: Cursor<'_>) -> u32 {
    // A payload is at most MAX_FRAME bytes, which fits.
    (whole - cursor.rest().len()) as u32
}

fn span(whole: usize, cursor: &mut Cursor<'_>, is_text: bool) -> Result<(u32, u32), Malformed> {
    let start = offset(whole, *cursor) + 4;
    if is_text {
        cursor.text()?;
    } else {
        cursor.bytes()?;
    }
    Ok((start, offset(whole, *cursor)))
}

fn list(
    whole: usize,
    cursor: &mut Cursor<'_>,
    is_text: bool,
) -> Result<(u16, u32, u32), Malformed> {
    let start = offset(whole, *cursor) + 2;
    let fields = FieldList::read(cursor)?;
    if is_text
        && fields
            .iter()
            .any(|(name, value)| !(name.is_ascii() && value.is_ascii()))
    {
        return Err(Malformed("a parameter that is not ASCII"));
    }
    Ok((fields.parts().0, start, offset(whole, *cursor)))
}

/// Appends a `Request` frame.
///
/// # Errors
/// [`TooLarge`] when head and body are over [`crate::MAX_FRAME`] or an inline body is over
/// [`INLINE`]; `out` is as it was.
pub fn encode_request<'f>(
    out: &mut Vec<u8>,
    exchange: u32,
    parts: &RequestParts<'_>,
    parameters: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    body: Body<'_>,
) -> Result<(), TooLarge> {
    let (kind, inline) = match body {
        Body::None => (BodyKind::None, &[][..]),
        Body::Inline(bytes) if bytes.len() <= INLINE => (BodyKind::Inline, bytes),
        Body::Inline(_) => return Err(TooLarge),
        Body::Stream => (BodyKind::Stream, &[][..]),
        Body::OnDemand => (BodyKind::OnDemand, &[][..]),
        Body::Withheld => (BodyKind::Withheld, &[][..]),
    };
    let mut flags = 0;
    if parts.is_http_1_0 {
        flags |= HTTP_1_0;
    }
    if parts.query.is_some() {
        flags |= HAS_QUERY;
    }
    if parts.settings != 0 {
        flags |= HAS_SETTINGS;
    }
    let start = frame::begin(out, node::REQUEST, exchange);
    out.extend_from_slice(&[flags, kind as u8]);
    out.extend_from_slice(&parts.deadline_ms.to_be_bytes());
    if parts.settings != 0 {
        out.extend_from_slice(&parts.settings.to_be_bytes());
    }
    for text in [parts.method, parts.scheme, parts.authority, parts.path] {
        put_bytes(out, text.as_bytes());
    }
    put_bytes(out, parts.query.unwrap_or_default());
    let rest = [parts.client, parts.route, parts.request_id, parts.function];
    for text in rest.into_iter().chain([parts.identity]) {
        put_bytes(out, text.as_bytes());
    }
    put_fields(out, parameters);
    put_fields(out, fields);
    out.extend_from_slice(inline);
    frame::finish(out, start)
}
