// SPDX-License-Identifier: Apache-2.0
use super::{push_field, push_text};
use tidegate_request::{FieldId, FieldSet, Framing, Request};

/// What the gateway adds to a request on its way upstream.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// The address at the other end of the client's connection, without port, IPv6 without
    /// brackets; `unknown` for a Unix socket. If it is a trusted proxy's, it is added to what that
    /// proxy said, which [`Request::build`] has kept; else it stands alone.
    pub client: &'a str,
    /// Who we are in `Via` and `Forwarded`: a token.
    pub pseudonym: &'a str,
    /// Whether nothing is told of the client, and of us `pseudonym` alone, if it is not empty.
    pub is_anonymous: bool,
    /// To another proxy: the target is a URL (RFC 9112 §3.2.2), and these are the credentials, if any.
    pub to_proxy: Option<&'a str>,
    /// What a rewrite took from the front of the path.
    pub prefix: Option<&'a str>,
    /// Replaces whatever came as `X-Request-Id`.
    pub request_id: &'a str,
    /// How the content is framed to the endpoint.
    pub framing: Framing,
    /// Whether `Expect: 100-continue` goes along, so that the endpoint decides.
    pub passes_expect: bool,
}

/// Fields written anew here.
pub(crate) const WRITTEN: FieldSet = FieldSet::of(&[
    FieldId::Forwarded,
    FieldId::XForwardedFor,
    FieldId::XForwardedProto,
    FieldId::XForwardedHost,
    FieldId::XForwardedPort,
    FieldId::XForwardedPrefix,
    FieldId::XRequestId,
]);

impl Forwarding<'_> {
    /// Appends the forwarding fields. Whatever `request` has of them came from a trusted proxy:
    /// lists are added to, and what it says of the first connection stands.
    pub(crate) fn write(&self, out: &mut Vec<u8>, request: &Request) {
        let fields = request.fields();
        out.extend_from_slice(b"X-Forwarded-For: ");
        if fields.may_have(WRITTEN) {
            push_list(out, request, FieldId::XForwardedFor);
        }
        push_text(out, self.client);
        out.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
        out.extend_from_slice(
            fields
                .get(FieldId::XForwardedProto)
                .unwrap_or(request.scheme().as_bytes()),
        );
        out.extend_from_slice(b"\r\n");
        self.write_host(out, request);
        self.write_prefix(out, request);
        out.extend_from_slice(b"X-Request-Id: ");
        push_text(out, self.request_id);
        out.extend_from_slice(b"\r\n");
        if fields.get(FieldId::Forwarded).is_some() {
            self.write_forwarded(out, request);
        }
    }

    fn write_host(&self, out: &mut Vec<u8>, request: &Request) {
        let fields = request.fields();
        if let Some(host) = fields.get(FieldId::XForwardedHost) {
            push_field(out, b"X-Forwarded-Host", host);
            if let Some(port) = fields.get(FieldId::XForwardedPort) {
                push_field(out, b"X-Forwarded-Port", port);
            }
            return;
        }
        let authority = request.received_authority();
        if authority.is_empty() {
            return;
        }
        push_field(out, b"X-Forwarded-Host", authority.as_bytes());
        if let Some(port) = fields.get(FieldId::XForwardedPort) {
            push_field(out, b"X-Forwarded-Port", port);
        } else if let Some((_, port)) = authority
            .rsplit_once(':')
            .filter(|_| !authority.ends_with(']'))
        {
            push_field(out, b"X-Forwarded-Port", port.as_bytes());
        }
    }

    /// Prefixes add up: the outer gateway's first, since it was cut off first.
    fn write_prefix(&self, out: &mut Vec<u8>, request: &Request) {
        let outer = request.fields().get(FieldId::XForwardedPrefix);
        if outer.is_none() && self.prefix.is_none() {
            return;
        }
        let outer = outer.unwrap_or_default();
        out.extend_from_slice(b"X-Forwarded-Prefix: ");
        out.extend_from_slice(if self.prefix.is_some() {
            outer.strip_suffix(b"/").unwrap_or(outer)
        } else {
            outer
        });
        push_text(out, self.prefix.unwrap_or_default());
        out.extend_from_slice(b"\r\n");
    }

    /// RFC 7239 §4: only where a trusted proxy uses it already, so that one family of fields
    /// suffices otherwise.
    fn write_forwarded(&self, out: &mut Vec<u8>, request: &Request) {
        out.extend_from_slice(b"Forwarded: ");
        push_list(out, request, FieldId::Forwarded);
        let (open, close) = if self.client.contains(':') {
            ("\"[", "]\"")
        } else {
            ("", "")
        };
        for text in [
            "for=",
            open,
            self.client,
            close,
            ";host=\"",
            request.received_authority(),
            "\";proto=",
        ] {
            push_text(out, text);
        }
        push_text(out, request.scheme());
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends all values of `id` as one list that goes on.
fn push_list(out: &mut Vec<u8>, request: &Request, id: FieldId) {
    for value in request
        .fields()
        .get_all(id)
        .filter(|value| !value.is_empty())
    {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
}
