// SPDX-License-Identifier: Apache-2.0
//! Heads and trailers, from decoded fields: what RFC 9113 §8.2 and §8.3 ask of them.
use crate::hpack::{Key, Sink};
use tidegate_request::{FieldId, FieldSet, Storage, may_trail, syntax};

/// Memory of one section that is kept for the next. More is for sections that are rare, and a peer
/// could make each buffer grow by another of them.
const LARGE: usize = 8 << 10;

/// What must not stand in any section, RFC 9113 §8.2.2.
const FORBIDDEN: FieldSet = FieldSet::of(&[
    FieldId::Connection,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::TransferEncoding,
    FieldId::Upgrade,
]);

/// Fields that are more than a name and a value here.
const JUDGED: FieldSet = FORBIDDEN.with(FieldSet::of(&[
    FieldId::Te,
    FieldId::Host,
    FieldId::ContentLength,
    FieldId::Cookie,
    FieldId::Http2Settings,
]));

/// What a section belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// A request.
    Request,
    /// A response, final or interim.
    Response,
    /// Either one.
    Trailers,
}

/// Why a section was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Malformed, RFC 9113 §8.1.1.
    Malformed(&'static str),
    /// More fields than allowed.
    TooMany,
}

/// A piece of the text of pseudo fields.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: usize,
    end: usize,
}

/// The pseudo fields of a request, RFC 9113 §8.3.1. Free of control characters and spaces; what
/// they mean is judged by `Request::build`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pseudo<'a> {
    /// Never empty.
    pub method: &'a [u8],
    /// Empty for a plain CONNECT.
    pub scheme: &'a [u8],
    /// `:authority`; if there is none, what `Host` says. `None` without either.
    pub authority: Option<&'a [u8]>,
    /// Path and query, not empty; empty for a plain CONNECT.
    pub path: &'a [u8],
    /// `:protocol` of an extended CONNECT, RFC 8441 §4.
    pub protocol: Option<&'a [u8]>,
}

/// Collects one section. Its memory is kept from one to the next.
#[derive(Debug)]
pub struct Builder {
    /// The fields, those of pseudo fields apart.
    pub storage: Storage,
    section: Section,
    most_fields: usize,
    /// Pseudo fields and `Host`.
    text: Vec<u8>,
    /// Crumbs, joined.
    cookie: Vec<u8>,
    has_secret_cookie: bool,
    count: usize,
    method: Option<Span>,
    scheme: Option<Span>,
    authority: Option<Span>,
    path: Option<Span>,
    protocol: Option<Span>,
    host: Option<Span>,
    status: Option<u16>,
    content_length: Option<u64>,
    problem: Option<Problem>,
}

impl Builder {
    /// Takes sections of up to `most_fields` fields.
    pub fn new(most_fields: usize) -> Self {
        Self {
            storage: Storage::new(),
            section: Section::Request,
            most_fields,
            text: Vec::new(),
            cookie: Vec::new(),
            has_secret_cookie: false,
            count: 0,
            method: None,
            scheme: None,
            authority: None,
            path: None,
            protocol: None,
            host: None,
            status: None,
            content_length: None,
            problem: None,
        }
    }

    /// Forgets the section before and begins with one that belongs to `section`.
    pub fn begin(&mut self, section: Section) {
        self.shrink(LARGE);
        self.storage.fields_mut().clear();
        self.text.clear();
        self.cookie.clear();
        self.section = section;
        self.has_secret_cookie = false;
        self.count = 0;
        self.method = None;
        self.scheme = None;
        self.authority = None;
        self.path = None;
        self.protocol = None;
        self.host = None;
        self.status = None;
        self.content_length = None;
        self.problem = None;
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.storage.memory() + self.text.capacity() + self.cookie.capacity()
    }

    /// Gives memory beyond `most` bytes back.
    pub fn shrink(&mut self, most: usize) {
        for room in [&mut self.text, &mut self.cookie] {
            if room.capacity() > most {
                *room = Vec::new();
            }
        }
        if self.storage.memory() > most {
            self.storage = Storage::new();
        }
    }

    /// `:status` of a response that was found to be whole.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or_default()
    }

    /// What `content-length` said.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Whether `:method` is this one.
    pub fn method_is(&self, method: &[u8]) -> bool {
        self.text_of(self.method) == Some(method)
    }

    /// Request line and storage, apart so that the caller may take the storage.
    pub fn request(&mut self) -> (Pseudo<'_>, &mut Storage) {
        let text = &self.text;
        let of = |span: Option<Span>| span.and_then(|span| text.get(span.start..span.end));
        let pseudo = Pseudo {
            method: of(self.method).unwrap_or_default(),
            scheme: of(self.scheme).unwrap_or_default(),
            authority: of(self.authority.or(self.host)),
            path: of(self.path).unwrap_or_default(),
            protocol: of(self.protocol),
        };
        (pseudo, &mut self.storage)
    }

    /// Judges the section as a whole, and adds the fields that were held back: `host` from
    /// `:authority`, and the one `cookie`. `takes_protocol`: extended CONNECT was offered.
    ///
    /// # Errors
    /// What is wrong with it, or that it has too many fields.
    pub fn finish(&mut self, takes_protocol: bool) -> Result<(), Problem> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        match self.section {
            Section::Request => self
                .finish_request(takes_protocol)
                .map_err(Problem::Malformed),
            Section::Response if self.status.is_none() => {
                Err(Problem::Malformed("a response without :status"))
            }
            _ => Ok(()),
        }
    }

    fn finish_request(&mut self, takes_protocol: bool) -> Result<(), &'static str> {
        let method = self
            .text_of(self.method)
            .ok_or("a request without :method")?;
        let is_tunnel = method == b"CONNECT" && self.protocol.is_none();
        if self.protocol.is_some() && (!takes_protocol || method != b"CONNECT") {
            return Err(":protocol that was not offered, or without CONNECT");
        }
        if is_tunnel {
            if self.scheme.is_some() || self.path.is_some() || self.authority.is_none() {
                return Err("CONNECT with :scheme or :path, or without :authority");
            }
        } else if self.scheme.is_none() || self.path.is_none() {
            return Err("a request without :scheme or :path");
        }
        if let (Some(authority), Some(host)) =
            (self.text_of(self.authority), self.text_of(self.host))
            && !authority.eq_ignore_ascii_case(host)
        {
            return Err(":authority and host differ");
        }
        let fields = self.storage.fields_mut();
        let host = self.authority.or(self.host);
        if let Some(host) = host.and_then(|span| self.text.get(span.start..span.end)) {
            fields
                .append_id(FieldId::Host, host)
                .map_err(tidegate_request::FieldError::text)?;
        }
        if !self.cookie.is_empty() {
            fields
                .append_id(FieldId::Cookie, &self.cookie)
                .map_err(tidegate_request::FieldError::text)?;
            if self.has_secret_cookie {
                fields.mark_last_secret();
            }
            if self.cookie.capacity() > LARGE {
                self.cookie = Vec::new();
            }
        }
        Ok(())
    }

    fn text_of(&self, span: Option<Span>) -> Option<&[u8]> {
        span.and_then(|span| self.text.get(span.start..span.end))
    }

    fn keep(&mut self, value: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(value);
        Span {
            start,
            end: self.text.len(),
        }
    }

    fn pseudo(&mut self, key: Key, value: &[u8]) -> Result<(), Problem> {
        if self.count > 0 {
            return Err(Problem::Malformed("a pseudo field behind a field"));
        }
        // A space would end the target in HTTP/1.1.
        let is_clean = !value.is_empty()
            && syntax::is_field_value(value)
            && !value.contains(&b' ')
            && !value.contains(&b'\t');
        if !is_clean {
            return Err(Problem::Malformed(
                "a pseudo field that is empty, or with a space or control character",
            ));
        }
        if self.section == Section::Response {
            let (Key::Status, None, &[a, b, c]) = (key, self.status, value) else {
                return Err(Problem::Malformed(
                    ":status twice or malformed, or another pseudo field",
                ));
            };
            if !value.iter().all(u8::is_ascii_digit) || a == b'0' {
                return Err(Problem::Malformed(":status that is no status"));
            }
            let digits = [a, b, c].map(|digit| u16::from(digit - b'0'));
            self.status = Some(digits.iter().fold(0, |status, digit| status * 10 + digit));
            return Ok(());
        }
        if self.section == Section::Trailers {
            return Err(Problem::Malformed("a pseudo field among trailers"));
        }
        let span = self.keep(value);
        let slot = match key {
            Key::Authority => &mut self.authority,
            Key::Method => &mut self.method,
            Key::Path => &mut self.path,
            Key::Protocol => &mut self.protocol,
            Key::Scheme => &mut self.scheme,
            Key::Status | Key::UnknownPseudo | Key::Field(_) => {
                return Err(Problem::Malformed(
                    "a pseudo field that requests do not have",
                ));
            }
        };
        match slot.replace(span) {
            None => Ok(()),
            Some(_) => Err(Problem::Malformed("a pseudo field twice")),
        }
    }

    #[inline]
    fn plain(
        &mut self,
        id: FieldId,
        name: &[u8],
        value: &[u8],
        is_secret: bool,
    ) -> Result<(), Problem> {
        self.count += 1;
        if self.count > self.most_fields {
            return Err(Problem::TooMany);
        }
        if matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']) {
            return Err(Problem::Malformed("white space around a value"));
        }
        if id == FieldId::Other && name.iter().any(u8::is_ascii_uppercase) {
            return Err(Problem::Malformed("a name in upper case"));
        }
        if JUDGED.has(id) && !self.judged(id, value, is_secret)? {
            return Ok(());
        }
        if self.section == Section::Trailers && !may_trail(name) {
            // Judged all the same: a name or value that is none makes the message malformed.
            return if syntax::is_field_value(value)
                && (id != FieldId::Other || syntax::is_token(name))
            {
                Ok(())
            } else {
                Err(Problem::Malformed("a malformed trailer"))
            };
        }
        let fields = self.storage.fields_mut();
        let added = match id {
            FieldId::Other => fields.append(name, value),
            id => fields.append_id(id, value),
        };
        added.map_err(|error| Problem::Malformed(error.text()))?;
        if is_secret {
            fields.mark_last_secret();
        }
        Ok(())
    }

    /// Whether the field is to be added like any other.
    fn judged(&mut self, id: FieldId, value: &[u8], is_secret: bool) -> Result<bool, Problem> {
        if !syntax::is_field_value(value) {
            return Err(Problem::Malformed("a control character in a field value"));
        }
        match id {
            FieldId::Te if value == b"trailers" => Ok(true),
            FieldId::Te => Err(Problem::Malformed("te other than trailers")),
            FieldId::Http2Settings => Ok(false),
            FieldId::ContentLength if self.section != Section::Trailers => {
                if self.content_length.is_some() {
                    return Err(Problem::Malformed("content-length more than once"));
                }
                let length =
                    length(value).ok_or(Problem::Malformed("a malformed content-length"))?;
                self.content_length = Some(length);
                Ok(true)
            }
            FieldId::Host if self.section == Section::Request => {
                let span = self.keep(value);
                match self.host.replace(span) {
                    None => Ok(false),
                    Some(_) => Err(Problem::Malformed("host more than once")),
                }
            }
            FieldId::Cookie if self.section == Section::Request => {
                // RFC 9113 §8.2.3: crumbs are one field again before anyone else reads them.
                if !self.cookie.is_empty() {
                    self.cookie.extend_from_slice(b"; ");
                }
                self.cookie.extend_from_slice(value);
                self.has_secret_cookie |= is_secret;
                Ok(false)
            }
            id if FORBIDDEN.has(id) => Err(Problem::Malformed("a field of HTTP/1.1 connections")),
            _ => Ok(true),
        }
    }
}

/// A `content-length` below 2^63.
fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let mut length: u64 = 0;
    for byte in value {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        length = length.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (length <= i64::MAX as u64).then_some(length)
}

impl Sink for Builder {
    #[inline]
    fn field(&mut self, key: Key, name: &[u8], value: &[u8], is_secret: bool) {
        if self.problem.is_some() {
            return;
        }
        let judged = match key {
            Key::Field(id) => self.plain(id, name, value, is_secret),
            key => self.pseudo(key, value),
        };
        if let Err(problem) = judged {
            self.problem = Some(problem);
        }
    }
}
