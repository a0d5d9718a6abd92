// SPDX-License-Identifier: Apache-2.0
//! What people, and those who renew certificates, want to know of one.
use crate::der::{Outline, element, sequence};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::{Ipv4Addr, Ipv6Addr};

const EXTENSIONS: u8 = 0xa3;
const OBJECT: u8 = 6;
const OCTETS: u8 = 4;
const DNS_NAME: u8 = 0x82;
const ADDRESS: u8 = 0x87;
const KEY_IDENTIFIER: u8 = 0x80;
/// 2.5.29.17, 2.5.29.35 (RFC 5280 §4.2.1.6, §4.2.1.1).
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];
/// 2.5.4.3, 2.5.4.10: common name and organization (RFC 5280 §4.1.2.4).
const SHOWN: [&[u8]; 2] = [&[0x55, 4, 3], &[0x55, 4, 10]];

/// The details of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Host names and addresses that it is for, as written.
    pub names: Vec<String>,
    /// Who signed it: the common name, or the organization; may be empty.
    pub issuer: String,
    /// The serial number, as encoded.
    pub serial: Vec<u8>,
    /// Which key signed it, as it says; may be empty.
    pub authority_key: Vec<u8>,
    /// The first second, since 1970, at which it is good.
    pub not_before: u64,
    /// The last one.
    pub not_after: u64,
}

/// Reads the first certificate of a text in PEM; `None` when there is none that can be read.
pub fn details(text: &str) -> Option<Details> {
    let first = CertificateDer::pem_slice_iter(text.as_bytes())
        .next()?
        .ok()?;
    let outline = Outline::read(&first)?;
    let mut found = Details {
        issuer: shown(&outline.issuer).unwrap_or_default(),
        not_before: outline.not_before,
        not_after: outline.not_after,
        ..Details::default()
    };
    let (whole, _) = sequence(&first)?;
    let (mut fields, _) = sequence(whole)?;
    let mut is_serial_read = false;
    while !fields.is_empty() {
        let (tag, content, rest) = element(fields)?;
        if tag == 2 && !is_serial_read {
            found.serial = content.to_vec();
            is_serial_read = true;
        }
        if tag == EXTENSIONS {
            let (list, _) = sequence(content)?;
            each(list, |tag, extension| {
                if tag == 0x30 {
                    found.take(extension);
                }
            });
        }
        fields = rest;
    }
    Some(found)
}

impl Details {
    fn take(&mut self, extension: &[u8]) {
        let Some((OBJECT, object, mut rest)) = element(extension) else {
            return;
        };
        if let Some((1, _, after)) = element(rest) {
            rest = after; // it says whether it is critical
        }
        let Some((OCTETS, value, _)) = element(rest) else {
            return;
        };
        let Some((list, _)) = sequence(value) else {
            return;
        };
        if object == ALTERNATIVE_NAMES {
            each(list, |tag, name| {
                let told = match tag {
                    DNS_NAME => Some(String::from_utf8_lossy(name).into_owned()),
                    ADDRESS => address(name),
                    _ => None,
                };
                self.names.extend(told);
            });
        } else if object == AUTHORITY_KEY {
            each(list, |tag, key| {
                if tag == KEY_IDENTIFIER {
                    self.authority_key = key.to_vec();
                }
            });
        }
    }
}

/// Calls back with the tag and the content of each element.
fn each(mut list: &[u8], mut found: impl FnMut(u8, &[u8])) {
    while let Some((tag, content, rest)) = element(list) {
        found(tag, content);
        list = rest;
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|found| Ipv4Addr::from(found).to_string());
    let v6 = || <[u8; 16]>::try_from(bytes).map(|found| Ipv6Addr::from(found).to_string());
    v4.or_else(|_| v6()).ok()
}

/// What people call the bearer of a name.
fn shown(name: &[u8]) -> Option<String> {
    SHOWN.iter().find_map(|wanted| {
        let mut told = None;
        each(name, |_, set| {
            each(set, |_, pair| {
                if let Some((OBJECT, object, rest)) = element(pair)
                    && object == *wanted
                    && let Some((_, text, _)) = element(rest)
                {
                    told = Some(String::from_utf8_lossy(text).into_owned());
                }
            });
        });
        told
    })
}
