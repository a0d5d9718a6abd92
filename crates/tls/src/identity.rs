// SPDX-License-Identifier: Apache-2.0
//! Whom a client's certificate names. What would read differently to somebody else is refused.
use crate::der::{element, sequence};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::CertificateDer;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tidegate_core::{ClientCertificate, NameKind};

const INTEGER: u8 = 2;
const OCTETS: u8 = 4;
const OBJECT: u8 = 6;
const SET: u8 = 0x31;
const BOOLEAN: u8 = 1;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17, `subjectAltName`.
const ALTERNATIVES: &[u8] = &[0x55, 0x1d, 0x11];

/// Attributes with a name in RFC 4514 §3.
const ATTRIBUTES: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
];

/// SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> Vec<u8> {
    let suite = TLS13_AES_128_GCM_SHA256.tls13();
    let hash = suite.map(|suite| suite.common.hash_provider.hash(bytes));
    hash.map_or_else(Vec::new, |hash| hash.as_ref().to_vec())
}

/// Reads a chain, the client's own certificate first; `None` when it is no certificate, has a name with
/// other bytes than visible ASCII, such as NUL, or its names twice.
pub(crate) fn identity(chain: &[CertificateDer<'_>]) -> Option<ClientCertificate> {
    let own = chain.first()?;
    let (whole, _) = sequence(own)?;
    let (mut fields, _) = sequence(whole)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    let (tag, serial, fields) = element(fields)?;
    let (_, fields) = sequence(fields)?; // signature algorithm
    let (_, fields) = sequence(fields)?; // issuer
    let (_, fields) = sequence(fields)?; // validity
    let (subject, fields) = sequence(fields)?;
    let (_, fields) = sequence(fields)?; // key
    if tag != INTEGER {
        return None;
    }
    Some(ClientCertificate {
        subject: distinguished(subject)?,
        names: names(fields)?,
        serial: hexadecimal(serial.strip_prefix(&[0]).unwrap_or(serial)),
        fingerprint: hexadecimal(&digest(own)),
        chain: chain.iter().map(|each| each.to_vec()).collect(),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The names among what follows the key.
fn names(mut fields: &[u8]) -> Option<Vec<(NameKind, String)>> {
    let mut found = None;
    while !fields.is_empty() {
        let (tag, content, rest) = element(fields)?;
        fields = rest;
        if tag != EXTENSIONS {
            continue;
        }
        let (mut extensions, _) = sequence(content)?;
        while !extensions.is_empty() {
            let (extension, rest) = sequence(extensions)?;
            extensions = rest;
            let (tag, kind, mut value) = element(extension)?;
            if tag != OBJECT || kind != ALTERNATIVES {
                continue;
            }
            if value.first() == Some(&BOOLEAN) {
                value = element(value)?.2;
            }
            let (tag, content, _) = element(value)?;
            if tag != OCTETS || found.replace(alternatives(content)?).is_some() {
                return None;
            }
        }
    }
    Some(found.unwrap_or_default())
}

/// RFC 5280 §4.2.1.6; names of kinds that nobody here asks for are passed over.
fn alternatives(value: &[u8]) -> Option<Vec<(NameKind, String)>> {
    let (mut list, _) = sequence(value)?;
    let mut found = Vec::new();
    while !list.is_empty() {
        let (tag, name, rest) = element(list)?;
        list = rest;
        let kind = match tag {
            0x81 => NameKind::Email,
            0x82 => NameKind::Dns,
            0x86 => NameKind::Uri,
            0x87 => NameKind::Ip,
            _ => continue,
        };
        found.push((kind, name_text(kind, name)?));
    }
    Some(found)
}

fn name_text(kind: NameKind, name: &[u8]) -> Option<String> {
    if kind == NameKind::Ip {
        let address = match (<[u8; 4]>::try_from(name), <[u8; 16]>::try_from(name)) {
            (Ok(bytes), _) => IpAddr::from(Ipv4Addr::from(bytes)),
            (_, Ok(bytes)) => IpAddr::from(Ipv6Addr::from(bytes)),
            _ => return None,
        };
        return Some(address.to_string());
    }
    let text = std::str::from_utf8(name).ok()?;
    let is_fit = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_fit.then(|| match kind {
        NameKind::Dns => text.to_ascii_lowercase(),
        _ => text.to_owned(),
    })
}

/// A distinguished name as RFC 4514 writes it: the last part first.
fn distinguished(mut name: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    while !name.is_empty() {
        let (tag, mut set, rest) = element(name)?;
        name = rest;
        if tag != SET {
            return None;
        }
        let mut values = Vec::new();
        while !set.is_empty() {
            let (pair, rest) = sequence(set)?;
            set = rest;
            let (tag, kind, value) = element(pair)?;
            if tag != OBJECT {
                return None;
            }
            values.push(attribute(kind, value)?);
        }
        parts.push(values.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

fn attribute(kind: &[u8], encoded: &[u8]) -> Option<String> {
    const UTF8: u8 = 12;
    const PRINTABLE: u8 = 19;
    const IA5: u8 = 22;
    let (tag, value, rest) = element(encoded)?;
    let whole = encoded.get(..encoded.len() - rest.len())?;
    let known = ATTRIBUTES.iter().find(|(object, _)| *object == kind);
    let text = std::str::from_utf8(value).ok();
    let text = text.filter(|_| matches!(tag, UTF8 | PRINTABLE | IA5));
    Some(match (known, text) {
        (Some((_, name)), Some(text)) => format!("{name}={}", escaped(text)),
        (Some((_, name)), None) => format!("{name}=#{}", hexadecimal(whole)),
        (None, _) => format!("{}=#{}", dotted(kind)?, hexadecimal(whole)),
    })
}

/// RFC 4514 §2.4, and everything that is no printable ASCII as `\XX` for each byte.
fn escaped(text: &str) -> String {
    let last = text.len().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'#' | b' ' if at == 0 => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' ' if at == last => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(byte)),
            other => {
                let _ = write!(out, "\\{other:02X}");
            }
        }
    }
    out
}

/// `2.5.4.5`.
fn dotted(object: &[u8]) -> Option<String> {
    let mut numbers: Vec<u64> = Vec::new();
    let mut number = 0u64;
    for byte in object {
        number = number.checked_shl(7).filter(|_| number < 1 << 56)? | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.extend([first, number - 40 * first]);
            } else {
                numbers.push(number);
            }
            number = 0;
        }
    }
    let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
    Some(texts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match u8::try_from(content.len()) {
            Ok(short @ ..0x80) => out.push(short),
            _ => out.extend([0x82, (content.len() >> 8) as u8, content.len() as u8]),
        }
        out.extend_from_slice(content);
        out
    }

    fn of_names(list: &[(u8, &[u8])]) -> Option<Vec<(NameKind, String)>> {
        let all: Vec<u8> = list
            .iter()
            .flat_map(|(tag, name)| encoded(*tag, name))
            .collect();
        alternatives(&encoded(0x30, &all))
    }

    #[test]
    fn names_are_visible_ascii_or_nothing() {
        let found = of_names(&[
            (0x82, b"A.example"),
            (0xa0, b"other"),
            (0x86, b"spiffe://a/b"),
            (0x81, b"Ops@a.example"),
            (0x87, &[10, 0, 0, 1]),
        ]);
        let texts = |found: Option<Vec<(NameKind, String)>>| -> Vec<String> {
            found.unwrap().into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(
            texts(found),
            ["a.example", "spiffe://a/b", "Ops@a.example", "10.0.0.1"]
        );
        for odd in [
            &b"a.example\0.evil"[..],
            b"",
            b"a b",
            b"a\r\nb",
            "\u{e9}".as_bytes(),
            b"\xff",
        ] {
            for tag in [0x81, 0x82, 0x86] {
                assert_eq!(of_names(&[(0x82, b"ok.example"), (tag, odd)]), None);
            }
        }
        assert_eq!(of_names(&[(0x87, &[10, 0, 0])]), None);
    }

    #[test]
    fn subjects_are_written_as_rfc_4514_has_it() {
        let part = |object: &[u8], tag: u8, value: &[u8]| {
            let pair = [encoded(OBJECT, object), encoded(tag, value)].concat();
            encoded(SET, &encoded(0x30, &pair))
        };
        let name = [
            part(&[0x55, 4, 6], 19, b"DE"),
            part(&[0x55, 4, 10], 12, "Bäck, \"Sohn\" ".as_bytes()),
            part(&[0x55, 4, 3], 12, b"#a\0\r\n"),
            part(&[0x55, 4, 5], 19, b"7"),
        ]
        .concat();
        assert_eq!(
            distinguished(&name).unwrap(),
            "2.5.4.5=#130137,CN=\\#a\\00\\0D\\0A,O=B\\C3\\A4ck\\, \\\"Sohn\\\"\\ ,C=DE"
        );
        assert_eq!(distinguished(b"").unwrap(), "");
        assert_eq!(distinguished(b"\x31\x05").as_deref(), None);
    }
}
