// SPDX-License-Identifier: Apache-2.0
use crate::identity::identity;
use crate::{ClientCertificates, Refusal};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;
use tidegate_core::ClientCertificate;

/// What a client was asked to show, and what it has shown.
#[derive(Clone, Debug)]
pub struct Client {
    /// What it was judged by.
    pub asked: Arc<ClientCertificates>,
    /// Whom its certificate names; `None` if it has shown none.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Client {
    /// A client that has shown nothing.
    pub fn nobody(asked: &Arc<ClientCertificates>) -> Self {
        Self {
            asked: asked.clone(),
            certificate: None,
        }
    }

    /// Judges it anew, by what is asked now; `None` if it does not stand.
    pub fn judged_by(&self, asked: &Arc<ClientCertificates>) -> Option<Self> {
        let certificate = self.certificate.clone();
        let chain = certificate.as_deref().map(|shown| &shown.chain[..]);
        let chain = chain.unwrap_or_default().iter();
        let chain: Vec<CertificateDer<'_>> = chain.map(|each| each.as_slice().into()).collect();
        asked.verify(&chain, UnixTime::now()).ok()?;
        Some(Self {
            asked: asked.clone(),
            certificate,
        })
    }
}

/// Whom the certificate names that the client has shown. That of a session which was taken up again was
/// judged when it began: by the same lists, since the keys of tickets are theirs, but at another time.
pub(crate) fn shown(
    chain: &[CertificateDer<'_>],
    asked: &Arc<ClientCertificates>,
    is_resumed: bool,
) -> Result<Client, Refusal> {
    if is_resumed {
        let judged = asked.verify(chain, UnixTime::now());
        judged.map_err(|error| Refusal::of(&error))?;
    }
    let certificate = match chain {
        [] => None,
        chain => Some(identity(chain).ok_or(Refusal::CertificateInvalid)?),
    };
    Ok(Client {
        asked: asked.clone(),
        certificate: certificate.map(Arc::new),
    })
}
