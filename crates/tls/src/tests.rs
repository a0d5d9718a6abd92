// SPDX-License-Identifier: Apache-2.0
use crate::{
    Acceptance, Certificate, Challenges, Files, Policy, Protocols, Refusal, Session, Terms,
    Tickets, validity,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, NamedGroup, RootCertStore,
    SupportedProtocolVersion,
};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use tidegate_core::Clock;

mod endpoint;
mod tickets;

const CERT: &str = include_str!("testdata/site.pem");
const KEY: &str = include_str!("testdata/site.key");
const CA: &[u8] = include_bytes!("testdata/ca.pem");

fn certificate() -> Certificate {
    let files = Files {
        cert: CERT,
        cert_name: "site.pem",
        key: KEY,
        key_name: "site.key",
    };
    Certificate::read(files).unwrap()
}

fn terms(tickets: Tickets) -> Terms {
    Terms {
        certificates: vec![certificate()],
        awaited: Vec::new(),
        policy: Policy::Intermediate,
        refuses_unknown: false,
        quic_tickets: None,
        tickets,
        protocols: Protocols::Http1,
        challenges: Challenges::default(),
        clients: Vec::new(),
    }
}

fn acceptance() -> Acceptance {
    let tickets = Tickets::new(&Clock::system()).unwrap();
    Acceptance::new(terms(tickets)).unwrap()
}

fn config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(CA).unwrap())
        .unwrap();
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn client() -> ClientConnection {
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(Arc::new(config(ALL_VERSIONS)), name).unwrap()
}

/// What the client has for its socket.
fn sent(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Gives the client what the session has for its socket.
fn deliver(session: &mut Session, client: &mut ClientConnection) {
    let mut bytes = Vec::new();
    while session.wants_write() {
        session.write_to(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        client.read_tls(&mut rest).unwrap();
        client.process_new_packets().unwrap();
    }
}

fn connected() -> (Session, ClientConnection) {
    let (terms, mut session, mut client) = (acceptance(), Session::default(), client());
    let mut alert = Vec::new();
    while session.told().is_none() {
        session
            .greet(&sent(&mut client), &terms, &mut alert)
            .unwrap();
        deliver(&mut session, &mut client);
    }
    (session, client)
}

fn read(session: &mut Session) -> std::io::Result<Vec<u8>> {
    let mut buffer = vec![0; 100];
    let count = session.read(&mut buffer)?;
    buffer.truncate(count);
    Ok(buffer)
}

#[test]
fn keys_are_agreed_on_in_a_way_that_a_quantum_computer_does_not_break() {
    let (session, client) = connected();
    let group = client.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(session.told().unwrap().version, "TLSv1.3");
}

#[test]
fn what_was_taken_is_told_as_sent_once_and_other_bytes_are_not_taken_meanwhile() {
    let (mut session, _) = connected();
    let bytes = vec![7; 200_000];
    session.take(&bytes).unwrap();
    let taken = session.taken();
    assert!(taken > 0 && taken < bytes.len());
    // The same bytes again, as long as the socket takes nothing.
    session.take(&bytes).unwrap();
    assert_eq!(session.taken(), taken);
    assert!(session.take(b"other").is_err());
    let mut socket = Vec::new();
    while session.wants_write() {
        session.write_to(&mut socket).unwrap();
    }
    assert!(socket.len() > taken);
    assert_eq!((session.sent(), session.taken()), (taken, 0));
}

#[test]
fn an_end_that_is_not_said_is_no_end() {
    let (mut session, mut client) = connected();
    client.writer().write_all(b"half").unwrap();
    session.feed(&sent(&mut client));
    assert_eq!(read(&mut session).unwrap(), b"half");
    assert_eq!(
        read(&mut session).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    assert!(!session.is_readable());
    session.feed(&[]);
    assert!(session.is_readable());
    assert_eq!(
        read(&mut session).unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
}

#[test]
fn an_end_that_is_said_is_one() {
    let (mut session, mut client) = connected();
    client.send_close_notify();
    session.feed(&sent(&mut client));
    assert!(session.is_readable());
    assert_eq!(read(&mut session).unwrap(), b"");
}

#[test]
fn a_key_update_is_answered_and_is_nothing_to_read() {
    let (mut session, mut client) = connected();
    client.refresh_traffic_keys().unwrap();
    session.feed(&sent(&mut client));
    assert!(!session.is_readable());
    client.writer().write_all(b"after").unwrap();
    session.feed(&sent(&mut client));
    assert_eq!(read(&mut session).unwrap(), b"after");
    session.take(b"answer").unwrap();
    deliver(&mut session, &mut client);
    let mut seen = [0; 6];
    client.reader().read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"answer");
}

#[test]
fn more_than_there_is_room_for_waits_and_is_lost_nowhere() {
    let (mut session, mut client) = connected();
    client.set_buffer_limit(None);
    let bytes: Vec<u8> = (0..300_000u32).map(|each| (each % 251) as u8).collect();
    client.writer().write_all(&bytes).unwrap();
    let mut seen = Vec::new();
    for piece in sent(&mut client).chunks(50_000) {
        // More comes while what came before waits.
        session.feed(piece);
        seen.extend(read(&mut session).unwrap());
    }
    while let Ok(piece) = read(&mut session) {
        seen.extend(piece);
    }
    assert!(seen == bytes);
}

#[test]
fn a_broken_record_ends_the_session() {
    let (mut session, mut client) = connected();
    client.writer().write_all(b"text").unwrap();
    let mut bytes = sent(&mut client);
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    session.feed(&bytes);
    assert!(session.is_readable());
    assert_eq!(
        read(&mut session).unwrap_err().kind(),
        ErrorKind::InvalidData
    );
    // The client is told by an alert.
    assert!(session.wants_write());
}

#[test]
fn what_begins_otherwise_is_told_apart() {
    let terms = acceptance();
    for (bytes, refusal) in [
        (&b"GET / HTTP/1.1\r\n"[..], Refusal::PlainHttp),
        (b"\x00\x01", Refusal::NotTls),
        (b"", Refusal::Closed),
        (
            b"\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff",
            Refusal::Malformed,
        ),
    ] {
        let outcome = Session::default().greet(bytes, &terms, &mut Vec::new());
        assert_eq!(outcome, Err(refusal));
    }
}

#[test]
fn names_and_days_are_those_of_the_certificate() {
    let found = certificate();
    assert_eq!(found.names(), ["localhost", "*.shop.example"]);
    assert_eq!(Some(found.validity()), validity(CERT));
    assert_eq!(found.validity().not_before, 1_767_225_600);
    assert_eq!(found.validity().not_after, 4_922_899_200);
    assert_eq!(validity("no PEM"), None);
}
