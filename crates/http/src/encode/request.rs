// SPDX-License-Identifier: Apache-2.0
use super::forwarding::WRITTEN;
use super::{Forwarding, push_field, push_length, push_text};
use tidegate_request::{CONNECTION_FIELDS, FieldId, FieldRef, FieldSet, Framing, Request, syntax};

/// Fields that are written from the canonical request, or that end here.
const LEFT_OUT: FieldSet = CONNECTION_FIELDS.with(WRITTEN).with(FieldSet::of(&[
    FieldId::Host,
    FieldId::ContentLength,
    FieldId::Expect,
]));

/// Appends the head of `request` as it goes to an endpoint, in HTTP/1.1.
///
/// It is built anew from the canonical form: request line, `Host`, the client's fields in their
/// order less those that concern its connection (RFC 9110 §7.6.1), framing as `forwarding` says,
/// `Via`, and the forwarding fields.
pub fn encode_request(out: &mut Vec<u8>, request: &Request, forwarding: &Forwarding<'_>) {
    out.extend_from_slice(request.method_bytes());
    out.push(b' ');
    if forwarding.to_proxy.is_some() {
        out.extend_from_slice(b"http://");
        out.extend_from_slice(request.authority_bytes());
    }
    if forwarding.to_proxy.is_none() || !request.is_asterisk() {
        out.extend_from_slice(request.path_bytes());
    }
    if let Some(query) = request.query() {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(request.authority_bytes());
    out.extend_from_slice(b"\r\n");
    let left_out = left_out(request);
    for field in request.fields().iter() {
        if !left_out.has(field.id) {
            push_field(out, field.name, field.value);
        }
    }
    if let Some(credentials) = forwarding.to_proxy.filter(|shown| !shown.is_empty()) {
        push_field(out, b"Proxy-Authorization", credentials.as_bytes());
    }
    write_own(out, request, forwarding);
    out.extend_from_slice(b"\r\n");
}

/// The client's fields that do not go on as they are.
fn left_out(request: &Request) -> FieldSet {
    match request.max_forwards() {
        Some(_) => LEFT_OUT.with(FieldSet::of(&[FieldId::MaxForwards])),
        None => LEFT_OUT,
    }
}

/// The fields behind those of the client, each with its line end.
fn write_own(out: &mut Vec<u8>, request: &Request, forwarding: &Forwarding<'_>) {
    write_connection(out, request);
    match forwarding.framing {
        Framing::Length(length) => push_length(out, length),
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::None if request.method_kind().expects_content() => push_length(out, 0),
        Framing::None => {}
    }
    if forwarding.passes_expect && request.expects_continue() {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    if let Some(hops) = request.max_forwards() {
        out.extend_from_slice(b"Max-Forwards: ");
        out.extend_from_slice(
            itoa::Buffer::new()
                .format(hops.saturating_sub(1))
                .as_bytes(),
        );
        out.extend_from_slice(b"\r\n");
    }
    if !forwarding.pseudonym.is_empty() {
        out.extend_from_slice(b"Via: ");
        out.extend_from_slice(request.version().number().as_bytes());
        out.push(b' ');
        push_text(out, forwarding.pseudonym);
        out.extend_from_slice(b"\r\n");
    }
    if !forwarding.is_anonymous {
        forwarding.write(out, request);
    }
}

/// The fields of a request as it goes to an endpoint that speaks HTTP/2: those of [`encode_request`] but
/// `Host`. Of those that concern a connection it may have some, which the codec of HTTP/2 leaves out.
pub struct RequestFields<'a> {
    request: &'a Request,
    left_out: FieldSet,
    /// Lines, as HTTP/1.1 has them.
    own: Vec<u8>,
}

impl<'a> RequestFields<'a> {
    /// Makes them ready.
    pub fn new(request: &'a Request, forwarding: &Forwarding<'_>) -> Self {
        let mut own = Vec::with_capacity(256);
        write_own(&mut own, request, forwarding);
        Self {
            request,
            left_out: left_out(request),
            own,
        }
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = FieldRef<'_>> + Clone {
        let left_out = self.left_out;
        let given = self.request.fields().iter();
        // No value has a line end: each was judged, or is our own.
        let own = self.own.split(|byte| *byte == b'\n').filter_map(|line| {
            let line = line.strip_suffix(b"\r")?;
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, rest) = line.split_at_checked(colon)?;
            Some(FieldRef {
                id: FieldId::recognise(name),
                name,
                value: rest.get(2..).unwrap_or_default(),
                is_secret: false,
            })
        });
        given
            .filter(move |field| !left_out.has(field.id))
            .chain(own)
    }
}

/// `TE: trailers` and an upgrade are ours to offer again, each named by `Connection`.
fn write_connection(out: &mut Vec<u8>, request: &Request) {
    const OFFERED: FieldSet = FieldSet::of(&[FieldId::Te, FieldId::Upgrade]);
    let fields = request.fields();
    if !fields.may_have(OFFERED) {
        return;
    }
    let takes_trailers = fields
        .get_all(FieldId::Te)
        .flat_map(syntax::list)
        .any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    if takes_trailers {
        out.extend_from_slice(b"TE: trailers\r\n");
    }
    let upgrade = request.upgrade();
    if let Some(protocol) = upgrade {
        push_field(out, b"Upgrade", protocol);
    }
    match (takes_trailers, upgrade) {
        (true, Some(_)) => out.extend_from_slice(b"Connection: upgrade, TE\r\n"),
        (true, None) => out.extend_from_slice(b"Connection: TE\r\n"),
        (false, Some(_)) => out.extend_from_slice(b"Connection: upgrade\r\n"),
        (false, None) => {}
    }
}
