// SPDX-License-Identifier: Apache-2.0
use crate::connection::Connection;
use crate::fields::{FieldId, FieldSet, Fields};
use crate::framing::{self, ResponseFraming};
use crate::{Method, Reject, Storage, Version};

/// Fields of origin servers that tell an attacker what runs there.
const REVEALING: FieldSet = FieldSet::of(&[FieldId::Server, FieldId::XPoweredBy]);

/// A response in canonical form, from an endpoint or made here. The reason phrase is not kept.
#[derive(Clone, Debug)]
pub struct Response {
    storage: Storage,
    status: u16,
    version: Version,
    framing: ResponseFraming,
    declared_length: Option<u64>,
    keeps_alive: bool,
    switches: bool,
}

impl Response {
    /// Builds an endpoint's response to a request of `method` from the fields in `storage`.
    ///
    /// Fields that `Connection` nominates are removed.
    ///
    /// # Errors
    /// `http_protocol_error`, with the storage for the next message: a status outside 100 to 599,
    /// lengths or codings that contradict each other or do not frame the content (RFC 9112 §6.3),
    /// too many options in `Connection`.
    #[allow(clippy::result_large_err)] // the storage goes back to its owner without a box
    pub fn build(
        mut storage: Storage,
        status: u16,
        version: Version,
        method: Method,
    ) -> Result<Self, (Reject, Storage)> {
        let fields = &mut storage.fields;
        if !(100..600).contains(&status) {
            return Err((Reject::response("a status outside 100 to 599"), storage));
        }
        let Some(connection) = Connection::read(fields) else {
            return Err((Reject::response("too many options in Connection"), storage));
        };
        let (framing, declared_length) = match framing::of_response(fields, version, status, method)
        {
            Ok(found) => found,
            Err(reject) => return Err((reject, storage)),
        };
        connection.remove_nominated(fields);
        Ok(Self {
            storage,
            status,
            version,
            framing,
            declared_length,
            keeps_alive: connection.is_kept(version) && framing != ResponseFraming::Close,
            switches: connection.upgrade && version >= Version::Http11,
        })
    }

    /// A response made here to a request of `method`, with `length` bytes of content; without
    /// content where `method` or `status` says so. `status` is 200 to 599.
    pub fn local(status: u16, fields: Fields, length: u64, method: Method) -> Self {
        let framing = if framing::has_content(status, method) {
            ResponseFraming::Length(length)
        } else {
            ResponseFraming::None
        };
        Self {
            storage: Storage { fields },
            status,
            version: Version::Http11,
            framing,
            declared_length: framing::has_content(status, Method::Get).then_some(length),
            keeps_alive: true,
            switches: false,
        }
    }

    /// Removes `Server` and `X-Powered-By`.
    #[inline]
    pub fn hide_product(&mut self) {
        let fields = &mut self.storage.fields;
        if fields.may_have(REVEALING) {
            fields.retain(|entry, _| !REVEALING.has(entry.id));
        }
    }

    /// The memory, for the next message.
    pub fn into_storage(self) -> Storage {
        self.storage
    }

    /// 100 to 599.
    #[inline]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Replaces the status. Only 200 to 599 except 204 and 304 are taken, and only where the old
    /// one was such: with the others the framing would change. Returns whether it was taken.
    pub fn set_status(&mut self, status: u16) -> bool {
        let has_content =
            |status: u16| (200..600).contains(&status) && status != 204 && status != 304;
        let is_taken = has_content(status) && has_content(self.status);
        if is_taken {
            self.status = status;
        }
        is_taken
    }

    /// As received.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields as received, less those that [`Response::build`] removed.
    #[inline]
    pub fn fields(&self) -> &Fields {
        &self.storage.fields
    }

    /// The fields for a filter to change. Those that frame the response or concern a connection
    /// have been read already and are never written out, so a change to them has no effect.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.storage.fields
    }

    /// How the content was framed by the endpoint.
    #[inline]
    pub fn framing(&self) -> ResponseFraming {
        self.framing
    }

    /// Says how the content is framed after a filter has replaced it. Has no effect on a response
    /// that has none by its nature ([`ResponseFraming::None`]).
    pub fn set_framing(&mut self, framing: ResponseFraming) {
        if self.framing != ResponseFraming::None {
            self.framing = framing;
            self.declared_length = None;
        }
    }

    /// What `Content-Length` said, also where no content follows: answers to HEAD, 304.
    #[inline]
    pub fn declared_length(&self) -> Option<u64> {
        self.declared_length
    }

    /// Whether the endpoint's connection may carry another request after this. RFC 9112 §9.3.
    #[inline]
    pub fn keep_alive(&self) -> bool {
        self.keeps_alive
    }

    /// Whether it is an interim response: 1xx. 101 ends HTTP on the connection and is none.
    #[inline]
    pub fn is_informational(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// The protocol a 101 switches to. RFC 9110 §7.8.
    #[inline]
    pub fn upgrade(&self) -> Option<&[u8]> {
        if self.status == 101 && self.switches {
            self.fields().get(FieldId::Upgrade)
        } else {
            None
        }
    }
}
