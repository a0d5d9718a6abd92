// SPDX-License-Identifier: Apache-2.0
use crate::build::{self, Options, Parts};
use crate::fields::{FieldId, Fields, FieldsMut, Span};
use crate::framing::Framing;
use crate::target::{self, Authority};
use crate::{Method, Reject, Scheme, Storage, Version, bearer_claim, cookie_pairs, query_pairs};

/// A request in its one canonical form. Routing, policies, log and what is sent upstream all read
/// this and nothing else, so no two of them can understand a request differently.
///
/// All its bytes lie in the arena of its fields; the rest are offsets.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) storage: Storage,
    pub(crate) facts: Facts,
}

/// All of a request but its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) kind: Method,
    pub(crate) method: Span,
    pub(crate) path: Span,
    pub(crate) query: Option<Span>,
    pub(crate) authority: Authority,
    pub(crate) received_path: Span,
    pub(crate) received_authority: Authority,
    pub(crate) scheme: Scheme,
    pub(crate) version: Version,
    pub(crate) framing: Framing,
    pub(crate) is_asterisk: bool,
    pub(crate) keeps_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) has_upgrade: bool,
    pub(crate) is_proxied: bool,
    pub(crate) merge_slashes: bool,
}

impl Request {
    /// Builds a request from `parts` and the fields collected in `storage`. The only way to make one.
    ///
    /// Fields that `Connection` nominates are removed, as are names that fold onto a well-known one
    /// and, unless the peer is trusted, what only proxies may say.
    ///
    /// # Errors
    /// The refusal, with the storage for the next message. `http_request_error` for what is
    /// malformed or ambiguous in method, target, `Host`, framing (RFC 9112 §3, §6, §7) or
    /// `Connection`; `method_not_allowed` for TRACE and CONNECT; `expectation_failed`;
    /// `transfer_coding_unsupported`.
    #[allow(clippy::result_large_err)] // the storage goes back to its owner without a box
    pub fn build(
        storage: Storage,
        parts: Parts<'_>,
        options: Options,
    ) -> Result<Self, (Reject, Storage)> {
        build::build(storage, parts, options)
    }

    /// Bytes of memory that its fields take.
    pub fn memory(&self) -> usize {
        self.storage.memory()
    }

    /// The memory, for the next message.
    pub fn into_storage(self) -> Storage {
        self.storage
    }

    /// The method as sent: a token.
    #[inline]
    pub fn method(&self) -> &str {
        self.text(self.facts.method)
    }

    /// The method's bytes; saves the check that they are text.
    #[inline]
    pub fn method_bytes(&self) -> &[u8] {
        self.bytes(self.facts.method)
    }

    /// What the method means.
    #[inline]
    pub fn method_kind(&self) -> Method {
        self.facts.kind
    }

    /// The canonical path: visible ASCII from `/` on, no `.` or `..` segment; `*` for `OPTIONS *`.
    #[inline]
    pub fn path(&self) -> &str {
        self.text(self.facts.path)
    }

    /// The canonical path's bytes; saves the check that they are text.
    #[inline]
    pub fn path_bytes(&self) -> &[u8] {
        self.bytes(self.facts.path)
    }

    /// The canonical path as the client said it, whatever [`Request::set_path`] made of it since.
    #[inline]
    pub fn received_path(&self) -> &[u8] {
        self.bytes(self.facts.received_path)
    }

    /// The query as sent, without `?`: visible ASCII. `Some` and empty for `/path?`.
    #[inline]
    pub fn query(&self) -> Option<&[u8]> {
        self.facts.query.map(|query| self.bytes(query))
    }

    /// The host in lower case, without port and without a dot at its end; an IPv6 address in
    /// brackets as RFC 5952 writes it. `None` only for HTTP/1.0 without `Host`.
    #[inline]
    pub fn host(&self) -> Option<&str> {
        let host = self.facts.authority.host();
        (host.length > 0).then(|| self.text(host))
    }

    /// The host as the client said it, whatever [`Request::set_authority`] made of it since; empty
    /// for HTTP/1.0 without `Host`.
    #[inline]
    pub fn received_host(&self) -> &[u8] {
        self.bytes(self.facts.received_authority.host())
    }

    /// The port after the host; `None` if there is none or it is the scheme's own.
    #[inline]
    pub fn port(&self) -> Option<u16> {
        self.facts.authority.port
    }

    /// `host[:port]` as `Host` is to say it upstream; empty for HTTP/1.0 without `Host`.
    #[inline]
    pub fn authority(&self) -> &str {
        self.text(self.facts.authority.whole)
    }

    /// The authority's bytes; saves the check that they are text.
    #[inline]
    pub fn authority_bytes(&self) -> &[u8] {
        self.bytes(self.facts.authority.whole)
    }

    /// `host[:port]` as the client said it, whatever [`Request::set_authority`] made of it since.
    #[inline]
    pub fn received_authority(&self) -> &str {
        self.text(self.facts.received_authority.whole)
    }

    /// `http` or `https`: of the client's connection.
    #[inline]
    pub fn scheme(&self) -> &'static str {
        self.facts.scheme.name()
    }

    /// Whether a forward proxy is to ask another server for it: the target was a URL (RFC 9112 §3.2.2),
    /// or host and port (§3.2.3).
    #[inline]
    pub fn is_proxied(&self) -> bool {
        self.facts.is_proxied
    }

    /// As received.
    #[inline]
    pub fn version(&self) -> Version {
        self.facts.version
    }

    /// Whether the target is the server as a whole: `OPTIONS *`, RFC 9110 §9.3.7.
    #[inline]
    pub fn is_asterisk(&self) -> bool {
        self.facts.is_asterisk
    }

    /// The fields as received, less those that [`Request::build`] removed.
    #[inline]
    pub fn fields(&self) -> &Fields {
        &self.storage.fields
    }

    /// The fields for a filter to change.
    pub fn fields_mut(&mut self) -> FieldsMut<'_> {
        FieldsMut::new(&mut self.storage.fields)
    }

    /// Says that trailers are taken, whatever the client has said: of a message that is translated for it.
    pub fn offer_trailers(&mut self) {
        // A head that is full already goes without.
        let _ = self.storage.fields.set(b"TE", b"trailers");
    }

    /// How the content was framed by the client.
    #[inline]
    pub fn framing(&self) -> Framing {
        self.facts.framing
    }

    /// Whether the client waits for `100 (Continue)` before it sends content. RFC 9110 §10.1.1.
    #[inline]
    pub fn expects_continue(&self) -> bool {
        self.facts.expects_continue
    }

    /// The one protocol the client offers to switch to, such as `websocket`; never h2c.
    #[inline]
    pub fn upgrade(&self) -> Option<&[u8]> {
        if self.facts.has_upgrade {
            self.fields().get(FieldId::Upgrade)
        } else {
            None
        }
    }

    /// How many more gateways an OPTIONS request may pass; at 0 the one that got it must answer.
    /// `None` for other methods and what is no number. RFC 9110 §7.6.2.
    pub fn max_forwards(&self) -> Option<u32> {
        if self.facts.kind != Method::Options {
            return None;
        }
        std::str::from_utf8(self.fields().get(FieldId::MaxForwards)?)
            .ok()?
            .parse()
            .ok()
    }

    /// Whether the client wants to send another request on the connection. RFC 9112 §9.3.
    #[inline]
    pub fn keep_alive(&self) -> bool {
        self.facts.keeps_alive
    }

    /// Replaces the path, after a rewrite. `path` is canonicalised like a client's: a rewrite
    /// cannot make a `..` segment or a second spelling.
    ///
    /// # Errors
    /// As for a client's path; the request is as it was.
    pub fn set_path(&mut self, path: &[u8]) -> Result<(), Reject> {
        let arena = &mut self.storage.fields.arena;
        let start = arena.len();
        if let Err(reject) = target::canonical_path(path, self.facts.merge_slashes, arena) {
            arena.truncate(start);
            return Err(reject);
        }
        self.facts.path = Span::tail(arena, start);
        self.facts.is_asterisk = false;
        Ok(())
    }

    /// Replaces the query; `None` removes it.
    ///
    /// # Errors
    /// As for a client's query; the request is as it was.
    pub fn set_query(&mut self, query: Option<&[u8]>) -> Result<(), Reject> {
        let Some(query) = query else {
            self.facts.query = None;
            return Ok(());
        };
        target::check_query(query)?;
        let arena = &mut self.storage.fields.arena;
        let start = arena.len();
        arena.extend_from_slice(query);
        self.facts.query = Some(Span::tail(arena, start));
        Ok(())
    }

    /// Replaces host and port, after a rewrite.
    ///
    /// # Errors
    /// As for a client's `Host`; the request is as it was.
    pub fn set_authority(&mut self, authority: &[u8]) -> Result<(), Reject> {
        let arena = &mut self.storage.fields.arena;
        let start = arena.len();
        match target::canonical_authority(authority, self.facts.scheme, arena) {
            Ok(authority) => {
                self.storage
                    .fields
                    .replace_value(FieldId::Host, authority.whole);
                self.facts.authority = authority;
                Ok(())
            }
            Err(reject) => {
                arena.truncate(start);
                Err(reject)
            }
        }
    }

    /// Names and values of all `Cookie` fields, in order.
    pub fn cookies(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields()
            .get_all(FieldId::Cookie)
            .flat_map(cookie_pairs)
    }

    /// The claim `name` of the token in `Authorization`, unverified; see [`bearer_claim`]. `None` as
    /// well where there are several fields of that name: endpoints differ in which they read.
    pub fn bearer_claim(&self, name: &str) -> Option<String> {
        let mut values = self.fields().get_all(FieldId::Authorization);
        let (first, second) = (values.next()?, values.next());
        second.is_none().then(|| bearer_claim(first, name))?
    }

    /// Names and values of the query, raw and in order.
    pub fn query_pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        query_pairs(self.query().unwrap_or_default())
    }

    #[inline]
    fn bytes(&self, span: Span) -> &[u8] {
        span.of(&self.storage.fields.arena)
    }

    /// Method, path and authority are ASCII by construction.
    #[inline]
    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }
}
