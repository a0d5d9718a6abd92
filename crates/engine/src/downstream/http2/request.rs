// SPDX-License-Identifier: Apache-2.0
use crate::downstream::connection::Downstream;
use crate::downstream::head_limits;
use tidegate_core::{ErrorKind, base64_encoded};
use tidegate_http2::Pseudo;
use tidegate_request::{
    FieldError, FieldId, Fields, Options, Parts, Reject, Request, Storage, Version,
};

impl Downstream {
    /// The canonical request; if there is none, why, and whether it was a HEAD.
    pub(in crate::downstream) fn request_of(
        &self,
        pseudo: Pseudo<'_>,
        mut storage: Storage,
        ends: bool,
        version: Version,
    ) -> Result<Request, (Reject, bool)> {
        let is_head = pseudo.method == b"HEAD";
        let thread = self.thread.clone();
        let limits = head_limits(&self.listener.config.limits);
        let is_proxy = self.listener.egress.is_some();
        let url;
        let target = match pseudo.path {
            // CONNECT, which but a forward proxy refuses like that of HTTP/1.1.
            [] => pseudo.authority.unwrap_or_default(),
            path if is_proxy && pseudo.scheme.eq_ignore_ascii_case(b"http") => {
                let authority = pseudo.authority.unwrap_or_default();
                url = [b"http://", authority, path].concat();
                &url
            }
            path => path,
        };
        let refuse = |reject, storage| {
            thread.give_storage(Some(storage));
            Err((reject, is_head))
        };
        if target.len() > limits.target_size {
            let reject = Reject::new(ErrorKind::RequestTargetSize, "the target is too long");
            return refuse(reject, storage);
        }
        if let Some(protocol) = pseudo.protocol {
            if let Err(error) = self.ask_for(protocol, storage.fields_mut()) {
                return refuse(Reject::request(error.text()), storage);
            }
        } else if !ends
            && !pseudo.path.is_empty()
            && storage.fields().get(FieldId::ContentLength).is_none()
        {
            // Content of a length that is not known yet, in the words of the canonical form.
            let told = storage
                .fields_mut()
                .append_id(FieldId::TransferEncoding, b"chunked");
            if let Err(error) = told {
                return refuse(Reject::request(error.text()), storage);
            }
        }
        let parts = Parts {
            method: match pseudo.protocol {
                Some(_) => b"GET",
                None => pseudo.method,
            },
            target,
            version,
            scheme: self.scheme(),
        };
        let options = Options {
            merge_slashes: self.listener.config.merge_slashes,
            is_trusted: self.is_trusted && !is_proxy,
            is_proxy,
        };
        Request::build(storage, parts, options).or_else(|(reject, storage)| refuse(reject, storage))
    }

    /// Puts extended CONNECT (RFC 8441 §5, RFC 9220 §3) into the words of HTTP/1.1, in which endpoints are asked.
    fn ask_for(&self, protocol: &[u8], fields: &mut Fields) -> Result<(), FieldError> {
        fields.append_id(FieldId::Connection, b"upgrade")?;
        fields.append_id(FieldId::Upgrade, protocol)?;
        if protocol == b"websocket" {
            let mut draw = self.thread.draw.borrow_mut();
            let bits = u128::from(draw.bits()) << 64 | u128::from(draw.bits());
            let key = base64_encoded(&bits.to_be_bytes());
            fields.set(b"Sec-WebSocket-Key", key.as_bytes())?;
        }
        Ok(())
    }
}
