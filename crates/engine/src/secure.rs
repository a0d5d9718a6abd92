// SPDX-License-Identifier: Apache-2.0
//! What a listener asks of requests before a route takes them, and says with every response, about
//! TLS: pure functions, as in `decide`.
use crate::snapshot::{ListenerPlan, Snapshot};
use std::sync::Arc;
use tidegate_config::CertificatePart;
use tidegate_contract::Answer;
use tidegate_core::{ClientCertificate, ErrorKind, base64_encoded};
use tidegate_request::{Fields, Reject, Request, Response};
use tidegate_tls::ClientCertificates;

/// Told with every response inside of TLS, where the listener has it (RFC 6797 §7.1).
const HSTS: &[u8] = b"Strict-Transport-Security";

/// Told with every response that did not come over HTTP/3, where the listener speaks it (RFC 7838 §3).
const ALT_SVC: &[u8] = b"Alt-Svc";

/// What every response on a connection tells of the listener.
#[derive(Clone, Default)]
pub(crate) struct Said {
    /// The value of `Strict-Transport-Security`.
    pub(crate) hsts: Option<Arc<str>>,
    /// The value of `Alt-Svc`.
    pub(crate) alt_svc: Option<Arc<str>>,
}

impl Said {
    /// Says it. The former goes in the place of whatever an endpoint says: browsers heed the first field
    /// alone, and the connection that is judged by it ends here. The latter gives way to the endpoint's,
    /// which may know of more.
    pub(crate) fn tell(&self, response: &mut Response) {
        // Its fields may have no room for one more.
        if let Some(value) = &self.hsts {
            let _ = response.fields_mut().set(HSTS, value.as_bytes());
        }
        if let Some(value) = &self.alt_svc
            && response.fields().get_name(ALT_SVC).is_none()
        {
            let _ = response.fields_mut().append(ALT_SVC, value.as_bytes());
        }
    }
}

/// Whether `host` is served under other terms of TLS than a connection to `listener` has on which the
/// client wanted `name`: another certificate is asked of clients, or the name would have been refused. So
/// that nobody gets behind a question by answering another one (RFC 9110 §15.5.20).
///
/// A host that this listener has no certificate for, and another listener has, is that one's, with what
/// it asks.
pub(crate) fn is_misdirected(
    snapshot: &Snapshot,
    listener: &ListenerPlan,
    name: Option<&str>,
    host: Option<&str>,
) -> bool {
    let (Some(tls), Some(host)) = (&listener.tls, host) else {
        return false;
    };
    let own = &tls.acceptance;
    let asked = key(own.asked(Some(host)));
    if key(own.asked(name)) != asked || (name.is_some() && !own.serves(Some(host))) {
        return true;
    }
    let of_other = |other: &Arc<ListenerPlan>| {
        other.tls.as_ref().is_some_and(|tls| {
            let there = tls.acceptance.asked(Some(host));
            there.is_some() && key(there) != asked && tls.acceptance.covers(host)
        })
    };
    !own.covers(host) && snapshot.listeners.iter().any(of_other)
}

/// What tells questions to clients apart.
fn key(asked: Option<&Arc<ClientCertificates>>) -> Option<&[u8]> {
    asked.map(|asked| asked.key())
}

/// Whether [`is_misdirected`] can be true of any request to `listener`.
pub(crate) fn may_be_misdirected(snapshot: &Snapshot, listener: &ListenerPlan) -> bool {
    let mut all = snapshot.listeners.iter();
    listener.tls.as_ref().is_some_and(|tls| {
        tls.acceptance.refuses_unknown()
            || all.any(|each| {
                each.tls
                    .as_ref()
                    .is_some_and(|tls| tls.acceptance.asks_any())
            })
    })
}

/// Fields that tell of a client's certificate, by what of it.
const PARTS: [(CertificatePart, &[u8]); 6] = [
    (CertificatePart::Certificate, b"Client-Cert"),
    (CertificatePart::Chain, b"Client-Cert-Chain"),
    (CertificatePart::Subject, b"X-Client-Cert-Subject"),
    (CertificatePart::Names, b"X-Client-Cert-Names"),
    (CertificatePart::Fingerprint, b"X-Client-Cert-Fingerprint"),
    (CertificatePart::Serial, b"X-Client-Cert-Serial"),
];

/// Puts what is told of the client's certificate into the request, and takes out whatever else is there in
/// these fields. Strangers' are gone already; a trusted proxy's would be of somebody else.
pub(crate) fn introduce(
    request: &mut Request,
    certificate: Option<&ClientCertificate>,
    forward: &[CertificatePart],
) {
    let mut fields = request.fields_mut();
    for (part, name) in PARTS {
        // None of these is a field that is protected.
        let _ = fields.remove(name);
        let Some(certificate) = certificate.filter(|_| forward.contains(&part)) else {
            continue;
        };
        let value = value_of(part, certificate);
        if !value.is_empty() {
            let _ = fields.append(name, &value);
        }
    }
}

/// RFC 9440 §2.2, §2.3 for the first two: Structured Fields with the bytes in base64.
fn value_of(part: CertificatePart, certificate: &ClientCertificate) -> Vec<u8> {
    let encoded = |chain: &[Vec<u8>]| {
        let mut out = Vec::new();
        for each in chain {
            out.extend_from_slice(if out.is_empty() { b":" } else { b", :" });
            out.extend_from_slice(base64_encoded(each).as_bytes());
            out.push(b':');
        }
        out
    };
    match part {
        CertificatePart::Certificate => encoded(certificate.chain.get(..1).unwrap_or_default()),
        CertificatePart::Chain => encoded(certificate.chain.get(1..).unwrap_or_default()),
        CertificatePart::Subject => certificate.subject.clone().into_bytes(),
        CertificatePart::Names => certificate.names_text().into_bytes(),
        CertificatePart::Fingerprint => certificate.fingerprint.clone().into_bytes(),
        CertificatePart::Serial => certificate.serial.clone().into_bytes(),
    }
}

/// The answer to a request that no route takes, on a listener that sends clients to HTTPS; `None`
/// on others.
///
/// # Errors
/// `http_request_error` without a host, which HTTP/1.0 allows: there is no URL to go to.
pub(crate) fn redirected(
    listener: &ListenerPlan,
    request: &Request,
) -> Option<Result<Answer, Reject>> {
    let redirect = listener.config.redirect.as_ref()?;
    if request.is_asterisk() {
        // It asks for nothing that is elsewhere.
        return None;
    }
    let Some(host) = request.host() else {
        let detail = "no host, so that there is nowhere to redirect to";
        return Some(Err(Reject::new(ErrorKind::HttpRequestError, detail)));
    };
    // The port of this listener is not the other's: it is not kept.
    let mut target = match redirect.port {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    };
    target.push_str(request.path());
    if let Some(query) = request.query() {
        target.push('?');
        target.push_str(&String::from_utf8_lossy(query));
    }
    let mut fields = Fields::default();
    let _ = fields.append(b"Location", target.as_bytes());
    Some(Ok(Answer {
        status: redirect.status,
        fields,
        body: Vec::new(),
        error: None,
    }))
}
