// SPDX-License-Identifier: Apache-2.0
//! The client's role, towards a server of rustls' own.
use super::{CA, certificate};
use crate::verifier::Accepted;
use crate::{Approach, ApproachTerms, Authorities, Fault, Inside, Policy, Reason, Session};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::SingleCertAndKey;
use rustls::{NamedGroup, ServerConfig, ServerConnection};
use std::sync::Arc;

fn authorities() -> Authorities {
    Authorities::read(std::str::from_utf8(CA).unwrap(), "ca.pem").unwrap()
}

fn approach(names: &[&str]) -> Approach {
    let terms = ApproachTerms {
        authorities: Some(authorities()),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        certificate: None,
        policy: Policy::Intermediate,
    };
    Approach::new(terms).unwrap()
}

fn server() -> ServerConnection {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate().key)));
    ServerConnection::new(Arc::new(config)).unwrap()
}

/// Talks until the handshake is over.
fn shaken(approach: &Approach, name: &str) -> Result<(Session, ServerConnection), Fault> {
    let (mut session, mut server) = (
        Session::with_endpoint(approach, name, Inside::Http)?,
        server(),
    );
    loop {
        let mut bytes = Vec::new();
        while session.wants_write() {
            session.write_to(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().unwrap();
        }
        if session.told().is_some() && !server.is_handshaking() {
            return Ok((session, server));
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        session.answered(&bytes)?;
    }
}

#[test]
fn keys_are_agreed_on_in_a_way_that_a_quantum_computer_does_not_break() {
    let (session, server) = shaken(&approach(&[]), "localhost").unwrap();
    let group = server.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(server.server_name(), Some("localhost"));
    assert!(session.fault().is_none());
}

#[test]
fn the_name_decides() {
    for (names, asked, reason) in [
        (&[][..], "a.shop.example", None),
        (&[], "other.example", Some(Reason::WrongName)),
        (&[], "127.0.0.1", Some(Reason::WrongName)),
        (&["localhost"], "other.example", None),
        (
            &["spiffe://a/b", "other.example"],
            "localhost",
            Some(Reason::WrongName),
        ),
        (&[], "", Some(Reason::NoName)),
    ] {
        let found = shaken(&approach(names), asked)
            .err()
            .map(|fault| fault.reason);
        assert_eq!(found, reason, "{names:?} {asked}");
    }
}

#[test]
fn whoever_is_not_trusted_is_told_by_its_issuer() {
    let mut terms = authorities();
    // Somebody else's word: the site's own certificate is no authority for itself.
    terms.roots = Arc::new(rustls::RootCertStore::empty());
    terms.known = Arc::new([]);
    let approach = Approach::new(ApproachTerms {
        authorities: Some(terms),
        names: Vec::new(),
        certificate: None,
        policy: Policy::Modern,
    })
    .unwrap();
    let fault = shaken(&approach, "localhost").err().unwrap();
    assert_eq!(fault.reason, Reason::UnknownIssuer);
    assert!(fault.detail.contains("unknown issuer, `"), "{fault}");
}

#[test]
fn authorities_that_can_not_be_read_are_named() {
    for (text, says) in [
        ("", "`ca.pem` has no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "`ca.pem` has a certificate that can not be used",
        ),
        ("-----BEGIN CERTIFICATE-----\n!\n", "`ca.pem` is broken PEM"),
    ] {
        let error = Authorities::read(text, "ca.pem").unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    assert!(Accepted::read("not a name").is_err());
}

#[test]
fn reasons_are_numbered_as_they_are_listed() {
    for (place, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, place);
    }
}
