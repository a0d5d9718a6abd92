// SPDX-License-Identifier: Apache-2.0
//! An authority for names that no other computer is reached by.
use crate::requests::Pair;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use time::OffsetDateTime;

/// Names that stand for this computer, for tests or for a network of one's own (RFC 6761, RFC 6762, RFC 8375;
/// `internal` by ICANN's resolution): the authority can sign these and what is under them, and nothing else.
pub const DOMAINS: [&str; 5] = ["localhost", "test", "internal", "home.arpa", "local"];

/// From when to when, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    /// The first second.
    pub begin: i64,
    /// The last second.
    pub end: i64,
}

impl Period {
    fn put(self, params: &mut CertificateParams) -> Result<(), String> {
        let moment = |seconds| {
            OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| error.to_string())
        };
        params.not_before = moment(self.begin)?;
        params.not_after = moment(self.end)?;
        Ok(())
    }
}

/// Makes an authority. Its certificate says that it is for [`DOMAINS`] and the loopback addresses alone (name
/// constraints, RFC 5280 §4.2.1.10), so that whoever steals its key can not pass for a site of the internet.
///
/// # Errors
/// When the system gives no random bytes, or a moment is beyond what can be written.
pub fn authority(period: Period) -> Result<Pair, String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string())?;
    let mut params = authority_params(&key);
    period.put(&mut params)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.name_constraints = Some(constraints());
    let certificate = params
        .self_signed(&key)
        .map_err(|error| error.to_string())?;
    Ok(Pair {
        cert: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// A certificate for `names` and addresses, signed by the authority that has `key` (in PEM); a new key.
///
/// # Errors
/// What is wrong with the key or a name, names beyond [`DOMAINS`] among them.
pub fn leaf(key: &str, names: &[String], period: Period) -> Result<Pair, String> {
    for name in names {
        if !may_sign(name) {
            return Err(format!(
                "`{name}` is not for development: the authority signs loopback addresses, {} and names under these alone",
                DOMAINS.join(", ")
            ));
        }
    }
    let signing = KeyPair::from_pem(key)
        .map_err(|error| format!("the authority's key can not be read: {error}"))?;
    let issuer = Issuer::new(authority_params(&signing), signing);
    let own = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string())?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(|error| error.to_string())?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "tidegate development");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    period.put(&mut params)?;
    let certificate = params
        .signed_by(&own, &issuer)
        .map_err(|error| error.to_string())?;
    Ok(Pair {
        cert: certificate.pem(),
        key: own.serialize_pem(),
    })
}

/// Whether the authority may sign `name`, a host name or an address.
pub fn may_sign(name: &str) -> bool {
    if let Ok(address) = name.parse::<std::net::IpAddr>() {
        return address.is_loopback();
    }
    let name = name.to_ascii_lowercase();
    DOMAINS.iter().any(|domain| {
        name.strip_suffix(domain)
            .is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

fn constraints() -> NameConstraints {
    let names = DOMAINS.map(|domain| GeneralSubtree::DnsName(domain.to_owned()));
    let mut permitted_subtrees = names.to_vec();
    permitted_subtrees.push(GeneralSubtree::IpAddress(CidrSubnet::V4(
        [127, 0, 0, 0],
        [255, 0, 0, 0],
    )));
    let mut loopback = [0; 16];
    loopback[15] = 1;
    permitted_subtrees.push(GeneralSubtree::IpAddress(CidrSubnet::V6(
        loopback, [255; 16],
    )));
    NameConstraints {
        permitted_subtrees,
        excluded_subtrees: Vec::new(),
    }
}

/// What of an authority follows from its key: the name ends in a part of it, so that two authorities whose
/// certificates are trusted by one browser are not taken for each other.
fn authority_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let tail = key.der_bytes().iter().rev().take(4).rev();
    let mark: String = tail.map(|byte| format!("{byte:02x}")).collect();
    let mut name = DistinguishedName::new();
    name.push(
        DnType::CommonName,
        format!("tidegate development CA {mark}"),
    );
    name.push(DnType::OrganizationName, "tidegate development");
    params.distinguished_name = name;
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
