// SPDX-License-Identifier: Apache-2.0
//! Whom a certificate names: plain data, and patterns for it. Who reads and verifies one is elsewhere.
use std::net::IpAddr;

/// What a name in a certificate is (RFC 5280 §4.2.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A host, in lower case.
    Dns,
    /// A URI as written, such as `spiffe://shop/cart`.
    Uri,
    /// A mailbox as written.
    Email,
    /// An address in its shortest spelling.
    Ip,
}

impl NameKind {
    /// `dns`, `uri`, `email`, `ip`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Uri => "uri",
            Self::Email => "email",
            Self::Ip => "ip",
        }
    }
}

/// A client's certificate that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// RFC 4514, printable ASCII: `CN=cart,O=Shop`; empty where there is none.
    pub subject: String,
    /// Printable ASCII without spaces, never empty.
    pub names: Vec<(NameKind, String)>,
    /// Lower-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate, in lower-case hexadecimal.
    pub fingerprint: String,
    /// In DER: the client's own, then what it sent behind it.
    pub chain: Vec<Vec<u8>>,
}

impl ClientCertificate {
    /// Its names as one text: `dns=a.example, uri=spiffe://shop/cart`. A comma in a name is `%2C`.
    pub fn names_text(&self) -> String {
        let names = self.names.iter();
        let texts: Vec<String> = names
            .map(|(kind, name)| format!("{}={}", kind.name(), name.replace(',', "%2C")))
            .collect();
        texts.join(", ")
    }
}

/// Which names of certificates are meant. Its form decides of which kind: a name of another kind never
/// fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// `a.example`, or `*.a.example` for one label in front.
    Dns {
        /// In lower case, with the dot in front where it is wide.
        host: String,
        /// Whether a label stands in front.
        is_wide: bool,
    },
    /// `spiffe://shop/cart`, or `spiffe://shop/*` for what begins so.
    Uri {
        /// The whole, or what it begins with.
        text: String,
        /// Whether more follows.
        is_prefix: bool,
    },
    /// `ops@a.example`, or `@a.example` for every mailbox there.
    Email {
        /// As written; `None` for every one.
        mailbox: Option<String>,
        /// In lower case.
        host: String,
    },
    /// An address.
    Ip(IpAddr),
}

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("`{text}` is no name"));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let star = |rest: &str| match rest.contains('*') {
            true => Err(format!("`{text}` has a `*` where none can stand")),
            false => Ok(()),
        };
        if text.contains(':') {
            let (rest, is_prefix) = match text.strip_suffix("/*") {
                Some(_) => (text.get(..text.len() - 1).unwrap_or_default(), true),
                None => (text, false),
            };
            star(rest)?;
            return Ok(Self::Uri {
                text: rest.to_owned(),
                is_prefix,
            });
        }
        star(text.strip_prefix("*.").unwrap_or(text))?;
        if let Some((mailbox, host)) = text.rsplit_once('@') {
            return Ok(Self::Email {
                mailbox: (!mailbox.is_empty()).then(|| mailbox.to_owned()),
                host: host.to_ascii_lowercase(),
            });
        }
        let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        Ok(match host.strip_prefix('*') {
            Some(rest) => Self::Dns {
                host: rest.to_owned(),
                is_wide: true,
            },
            None => Self::Dns {
                host,
                is_wide: false,
            },
        })
    }

    /// Whether one of the certificate's names fits.
    pub fn fits(&self, certificate: &ClientCertificate) -> bool {
        let mut names = certificate.names.iter();
        names.any(|(kind, name)| self.fits_name(*kind, name))
    }

    /// Whether a name of this kind fits.
    pub fn fits_name(&self, of: NameKind, name: &str) -> bool {
        match (self, of) {
            (Self::Dns { host, is_wide }, NameKind::Dns) => match is_wide {
                false => host == name,
                // A `*` in a certificate is no label that stands for somebody.
                true => name
                    .strip_suffix(host.as_str())
                    .is_some_and(|label| !label.is_empty() && !label.contains(['.', '*'])),
            },
            (Self::Uri { text, is_prefix }, NameKind::Uri) => match is_prefix {
                false => text == name,
                // What is read as a folder further up would be somebody else's.
                true => name
                    .strip_prefix(text.as_str())
                    .is_some_and(|rest| !rest.is_empty() && !has_dots(rest)),
            },
            (Self::Email { mailbox, host }, NameKind::Email) => {
                let Some((own, at)) = name.rsplit_once('@') else {
                    return false;
                };
                at.eq_ignore_ascii_case(host)
                    && mailbox.as_ref().is_none_or(|mailbox| mailbox == own)
            }
            (Self::Ip(address), NameKind::Ip) => name.parse() == Ok(*address),
            _ => false,
        }
    }
}

fn has_dots(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "." | "..")) || path.contains('%')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[(NameKind, &str)]) -> ClientCertificate {
        ClientCertificate {
            subject: String::new(),
            names: names
                .iter()
                .map(|(kind, name)| (*kind, (*name).to_owned()))
                .collect(),
            serial: String::new(),
            fingerprint: String::new(),
            chain: Vec::new(),
        }
    }

    #[test]
    fn a_pattern_fits_names_of_its_own_kind_alone() {
        use NameKind::{Dns, Email, Ip, Uri};
        for (pattern, kind, name, fits) in [
            ("a.example", Dns, "a.example", true),
            ("A.example.", Dns, "a.example", true),
            ("a.example", Uri, "a.example", false),
            ("a.example", Email, "a.example", false),
            ("*.example", Dns, "a.example", true),
            ("*.example", Dns, "a.b.example", false),
            ("*.example", Dns, ".example", false),
            ("*.example", Dns, "*.example", false),
            ("spiffe://shop/cart", Uri, "spiffe://shop/cart", true),
            ("spiffe://shop/cart", Uri, "spiffe://shop/cart/x", false),
            ("spiffe://shop/*", Uri, "spiffe://shop/ns/cart", true),
            ("spiffe://shop/*", Uri, "spiffe://shop/", false),
            ("spiffe://shop/*", Uri, "spiffe://shop.evil/cart", false),
            ("spiffe://shop/a/*", Uri, "spiffe://shop/a/../b", false),
            ("spiffe://shop/a/*", Uri, "spiffe://shop/a/%2e%2e/b", false),
            ("spiffe://shop/*", Dns, "spiffe://shop/x", false),
            ("urn:uuid:1", Uri, "urn:uuid:1", true),
            ("ops@a.example", Email, "ops@A.example", true),
            ("ops@a.example", Email, "Ops@a.example", false),
            ("@a.example", Email, "who@a.example", true),
            ("@a.example", Email, "who@b.a.example", false),
            ("10.0.0.1", Ip, "10.0.0.1", true),
            ("10.0.0.1", Dns, "10.0.0.1", false),
            ("::1", Ip, "::1", true),
        ] {
            let read = NamePattern::parse(pattern).unwrap();
            assert_eq!(
                read.fits(&certificate(&[(kind, name)])),
                fits,
                "{pattern} {name}"
            );
        }
        let several = certificate(&[(Dns, "a.example"), (Uri, "spiffe://x/y"), (Uri, "a,b:c")]);
        assert!(NamePattern::parse("spiffe://x/y").unwrap().fits(&several));
        assert_eq!(
            several.names_text(),
            "dns=a.example, uri=spiffe://x/y, uri=a%2Cb:c"
        );
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["", "a b", "a\0b", "a.*.example", "spiffe://*/x", "*", "é"] {
            assert!(NamePattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
