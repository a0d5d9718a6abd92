// SPDX-License-Identifier: Apache-2.0
//! What an authority says of a certificate it has signed: good or revoked (OCSP, RFC 6960). What is asked,
//! and whether an answer may be believed; who asks and when is the caller's.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::Certificate;
use x509_cert::der::asn1::{Null, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::AuthorityInfoAccessSyntax;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspRequest, OcspResponse, OcspResponseStatus, Request,
    TbsRequest,
};

/// `authorityInfoAccess` and in it the responder (RFC 5280 §4.2.2.1).
const ACCESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1");
const RESPONDER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");
/// `tlsfeature` (RFC 7633 §4), and in it the number of `status_request`.
const FEATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.24");
const STATUS_REQUEST: u32 = 5;
/// `id-pkix-ocsp-basic` (RFC 6960 §4.2.1).
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// The content of `id-kp-OCSPSigning`, 1.3.6.1.5.5.7.3.9 (RFC 6960 §4.2.2.2).
const SIGNS_ANSWERS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 9];
/// Seconds by which a responder's clock may be ahead of ours.
const AHEAD: u64 = 300;

/// What can be asked about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// The URL of the responder that the certificate names; empty for none.
    pub responder: String,
    /// Whether clients are told to take it with an answer alone (`must-staple`, RFC 7633).
    pub is_bound: bool,
    /// What the responder is sent, in DER; empty when who signed the certificate does not stand behind it.
    pub request: Vec<u8>,
}

/// What an authority says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    Good,
    /// It does not any more.
    Revoked,
    /// The responder does not know it.
    Unknown,
}

/// An answer that may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it says.
    pub standing: Standing,
    /// Since when it is so, in seconds since 1970.
    pub since: u64,
    /// Until when it may be shown, in seconds since 1970.
    pub until: u64,
}

/// A certificate and the one that signed it.
struct Pair {
    own: Certificate,
    signer: Option<(Certificate, CertificateDer<'static>)>,
}

impl Pair {
    /// Reads the first two of a text in PEM; the second counts if it is by name who signed the first.
    fn read(text: &str) -> Option<Self> {
        let mut chain = CertificateDer::pem_slice_iter(text.as_bytes());
        let own = Certificate::from_der(&chain.next()?.ok()?).ok()?;
        let behind = chain.next().and_then(Result::ok).and_then(|der| {
            let read = Certificate::from_der(&der).ok()?;
            Some((read, der))
        });
        let issuer = &own.tbs_certificate.issuer;
        let signer = behind.filter(|(signer, _)| signer.tbs_certificate.subject == *issuer);
        Some(Self { own, signer })
    }

    /// How it is called among those of its authority.
    fn id<D: Digest>(&self, algorithm: ObjectIdentifier) -> Option<CertId> {
        let (signer, _) = self.signer.as_ref()?;
        let signer = &signer.tbs_certificate;
        let key = signer
            .subject_public_key_info
            .subject_public_key
            .raw_bytes();
        let name = signer.subject.to_der().ok()?;
        let hashed = |bytes: &[u8]| OctetString::new(D::digest(bytes).to_vec()).ok();
        Some(CertId {
            hash_algorithm: AlgorithmIdentifierOwned {
                oid: algorithm,
                parameters: Some(Null.into()),
            },
            issuer_name_hash: hashed(&name)?,
            issuer_key_hash: hashed(key)?,
            serial_number: self.own.tbs_certificate.serial_number.clone(),
        })
    }

    fn extension(&self, object: ObjectIdentifier) -> Option<&[u8]> {
        let mut all = self.own.tbs_certificate.extensions.iter().flatten();
        let found = all.find(|each| each.extn_id == object)?;
        Some(found.extn_value.as_bytes())
    }

    fn responder(&self) -> Option<String> {
        let access = AuthorityInfoAccessSyntax::from_der(self.extension(ACCESS)?).ok()?;
        let mut urls = access.0.into_iter().filter_map(|each| {
            match (each.access_method == RESPONDER, each.access_location) {
                (true, GeneralName::UniformResourceIdentifier(url)) => Some(url.to_string()),
                _ => None,
            }
        });
        urls.find(|url| url.starts_with("http://") || url.starts_with("https://"))
    }

    fn is_bound(&self) -> bool {
        let features = self.extension(FEATURE).map(Vec::<u32>::from_der);
        matches!(features, Some(Ok(list)) if list.contains(&STATUS_REQUEST))
    }
}

/// What can be asked about the first certificate of a text in PEM; `None` when there is none that can be read.
pub fn inquiry(text: &str) -> Option<Inquiry> {
    let pair = Pair::read(text)?;
    // SHA-1 names and proves nothing here, and it is what every responder knows (RFC 9654 §3.1).
    let request = pair.id::<Sha1>(SHA_1).and_then(|id| {
        let request = Request {
            req_cert: id,
            single_request_extensions: None,
        };
        let tbs_request = TbsRequest {
            request_list: vec![request],
            ..TbsRequest::default()
        };
        let whole = OcspRequest {
            tbs_request,
            optional_signature: None,
        };
        whole.to_der().ok()
    });
    Some(Inquiry {
        responder: pair.responder().unwrap_or_default(),
        is_bound: pair.is_bound(),
        request: request.unwrap_or_default(),
    })
}

/// Reads what a responder answered about the first certificate of `text`, in PEM with who signed it behind,
/// at `now`, seconds since 1970. It is signed by the latter, or by one whom that has signed for it
/// (RFC 6960 §4.2.2.2), and counts already; it may have expired, which [`Verdict::until`] tells. One that
/// does not say until when it counts is refused, since it could be shown for ever.
///
/// # Errors
/// Why it is not to be believed.
pub fn verdict(text: &str, answer: &[u8], now: u64) -> Result<Verdict, String> {
    let pair = Pair::read(text).ok_or("there is no certificate that can be read")?;
    let (_, signer) = pair.signer.as_ref().ok_or(
        "the certificate that signed the site's own does not stand behind it, so that nothing can be verified",
    )?;
    let broken = |_| "it is no answer of OCSP (RFC 6960), in DER";
    let outer = OcspResponse::from_der(answer).map_err(broken)?;
    if outer.response_status != OcspResponseStatus::Successful {
        return Err(match outer.response_status {
            OcspResponseStatus::TryLater => "the responder wants to be asked later",
            OcspResponseStatus::Unauthorized => {
                "the responder does not answer for this certificate"
            }
            OcspResponseStatus::InternalError => "the responder has an error of its own",
            _ => "the responder does not take the question",
        }
        .to_owned());
    }
    let inner = outer
        .response_bytes
        .filter(|each| each.response_type == BASIC);
    let inner = inner.ok_or("it is an answer of a kind that nobody knows")?;
    let basic = BasicOcspResponse::from_der(inner.response.as_bytes()).map_err(broken)?;
    let ids = [pair.id::<Sha1>(SHA_1), pair.id::<Sha256>(SHA_256)];
    let is_own = |id: &CertId| {
        // Some leave out what stands for no parameters.
        ids.iter().flatten().any(|own| {
            own.hash_algorithm.oid == id.hash_algorithm.oid
                && own.issuer_name_hash == id.issuer_name_hash
                && own.issuer_key_hash == id.issuer_key_hash
                && own.serial_number == id.serial_number
        })
    };
    let mut all = basic.tbs_response_data.responses.iter();
    let single = all.find(|each| is_own(&each.cert_id));
    let single = single.ok_or("it is about another certificate")?;
    let since = single.this_update.0.to_unix_duration().as_secs();
    let until = single.next_update.as_ref();
    let until = until.ok_or("it does not say until when it counts")?;
    let until = until.0.to_unix_duration().as_secs();
    if since > now + AHEAD {
        return Err(
            "it counts from a later moment on; see that this machine's clock is right".into(),
        );
    }
    // Of one that is over it is asked whether it was right once.
    check_signature(&basic, signer, if until > now { now } else { since })?;
    Ok(Verdict {
        standing: match single.cert_status {
            CertStatus::Good(_) => Standing::Good,
            CertStatus::Revoked(_) => Standing::Revoked,
            CertStatus::Unknown(_) => Standing::Unknown,
        },
        since,
        until,
    })
}

fn check_signature(
    basic: &BasicOcspResponse,
    signer: &CertificateDer<'_>,
    now: u64,
) -> Result<(), String> {
    let known = default_provider().signature_verification_algorithms;
    if is_signed_by(basic, signer, known) {
        return Ok(());
    }
    let broken = |_| "the certificate behind the site's own can not be read";
    let anchor = anchor_from_trusted_cert(signer).map_err(broken)?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    let mut delegates = basic.certs.iter().flatten().filter_map(|each| {
        let der = CertificateDer::from(each.to_der().ok()?);
        let parsed = EndEntityCert::try_from(&der).ok()?;
        let usage = KeyUsage::required(SIGNS_ANSWERS);
        let chain = parsed.verify_for_usage(
            known.all,
            std::slice::from_ref(&anchor),
            &[],
            now,
            usage,
            None,
            None,
        );
        chain.ok()?;
        Some(der.clone())
    });
    match delegates.any(|each| is_signed_by(basic, &each, known)) {
        true => Ok(()),
        false => Err("nobody has signed it who may: neither who signed the certificate, nor one with a certificate of his for that".into()),
    }
}

fn is_signed_by(
    basic: &BasicOcspResponse,
    signer: &CertificateDer<'_>,
    known: WebPkiSupportedAlgorithms,
) -> bool {
    let whole = (
        EndEntityCert::try_from(signer),
        basic.tbs_response_data.to_der(),
        basic.signature_algorithm.to_der(),
        basic.signature.as_bytes(),
    );
    let (Ok(signer), Ok(signed), Ok(algorithm), Some(signature)) = whole else {
        return false;
    };
    // Kinds of keys share an algorithm's name: each of those is tried.
    let mut fitting = known.all.iter().filter(|each| {
        let content = each.signature_alg_id();
        algorithm.ends_with(content.as_ref()) && algorithm.len() <= content.as_ref().len() + 4
    });
    fitting.any(|each| signer.verify_signature(*each, &signed, signature).is_ok())
}
