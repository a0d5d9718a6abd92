// SPDX-License-Identifier: Apache-2.0
//! Who asks, by the certificate that the connection was begun with.
use super::connection::Downstream;
use super::record::Record;
use crate::secure;
use crate::snapshot::Snapshot;
use tidegate_core::ErrorKind;
use tidegate_request::{Reject, Request};
use tidegate_tls::Client;

impl Downstream {
    /// Finds out whether the request may come on this connection, and tells in its fields who asks.
    ///
    /// What was asked of clients may be something else by now than in the handshake: other authorities, a
    /// new list of revoked certificates. The certificate is judged again by that, once.
    ///
    /// # Errors
    /// `misdirected_request`: on a connection of its own it may be served.
    pub(super) fn identify(
        &self,
        snapshot: &Snapshot,
        request: &mut Request,
        record: &mut Record,
    ) -> Result<(), Reject> {
        let Some(tls) = &self.listener.tls else {
            return Ok(());
        };
        let mut client = self.stream.client();
        if client.is_none() && !secure::may_be_misdirected(snapshot, &self.listener) {
            return Ok(());
        }
        let name = self.stream.server_name();
        let asked = tls.acceptance.asked(name.as_deref());
        let was = client.as_ref().map(|client| client.asked.key());
        if was != asked.map(|asked| asked.key()) {
            client = match asked {
                None => None,
                Some(asked) => {
                    let found = client.unwrap_or_else(|| Client::nobody(asked));
                    let judged = found.judged_by(asked);
                    let detail = "other client certificates are asked for by now";
                    Some(judged.ok_or(Reject::new(ErrorKind::Misdirected, detail))?)
                }
            };
            self.stream.set_client(client.clone());
        }
        let certificate = client.and_then(|client| client.certificate);
        record.certificate.clone_from(&certificate);
        // The host is another server's, and nobody is introduced to it.
        if self.listener.egress.is_some() {
            return Ok(());
        }
        if secure::is_misdirected(snapshot, &self.listener, name.as_deref(), request.host()) {
            let detail = "the host is served under other terms of TLS than the connection has";
            return Err(Reject::new(ErrorKind::Misdirected, detail));
        }
        if tls.acceptance.asks_any() {
            let forward = tls.forward(name.as_deref());
            secure::introduce(request, certificate.as_deref(), forward);
        }
        Ok(())
    }
}
