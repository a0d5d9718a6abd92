// SPDX-License-Identifier: Apache-2.0
use super::forwarding::WRITTEN;
use super::{Forwarding, push_field, push_length, push_text};
use tidegate_request::{CONNECTION_FIELDS, FieldId, FieldSet, Framing, Request, syntax};

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
    out.extend_from_slice(request.path_bytes());
    if let Some(query) = request.query() {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(request.authority_bytes());
    out.extend_from_slice(b"\r\n");
    let max_forwards = request.max_forwards();
    let left_out = if max_forwards.is_some() {
        LEFT_OUT.with(FieldSet::of(&[FieldId::MaxForwards]))
    } else {
        LEFT_OUT
    };
    for field in request.fields().iter() {
        if !left_out.has(field.id) {
            push_field(out, field.name, field.value);
        }
    }
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
    if let Some(hops) = max_forwards {
        out.extend_from_slice(b"Max-Forwards: ");
        out.extend_from_slice(
            itoa::Buffer::new()
                .format(hops.saturating_sub(1))
                .as_bytes(),
        );
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"Via: ");
    out.extend_from_slice(request.version().number().as_bytes());
    out.push(b' ');
    push_text(out, forwarding.pseudonym);
    out.extend_from_slice(b"\r\n");
    forwarding.write(out, request);
    out.extend_from_slice(b"\r\n");
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
