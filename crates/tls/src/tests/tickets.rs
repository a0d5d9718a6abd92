// SPDX-License-Identifier: Apache-2.0
//! How long sessions are taken up again, by a clock that stands still.
use super::{config, deliver, sent, terms};
use crate::{Acceptance, Session, Tickets};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, SupportedProtocolVersion};
use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use tidegate_core::Clock;

const HOUR_MS: u64 = 60 * 60 * 1000;
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A listener whose keys go by a clock.
fn listener(clock: &Clock) -> Acceptance {
    let tickets = Tickets::new(clock).unwrap();
    Acceptance::new(terms(tickets)).unwrap()
}

/// A client that has one ticket at most, or two of TLS 1.3 that came together.
type Client = Arc<ClientConfig>;

fn clients<const N: usize>(version: &'static SupportedProtocolVersion) -> [Client; N] {
    std::array::from_fn(|_| Arc::new(config(&[version])))
}

/// A connection from its beginning up to the ticket that comes with it; whether a session was taken up.
fn is_resumed(acceptance: &Acceptance, client: &Client) -> bool {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let (mut session, mut alert) = (Session::default(), Vec::new());
    while session.told().is_none() || client.is_handshaking() {
        session
            .greet(&sent(&mut client), acceptance, &mut alert)
            .unwrap();
        deliver(&mut session, &mut client);
    }
    client.handshake_kind() == Some(HandshakeKind::Resumed)
}

#[test]
fn a_ticket_is_taken_after_its_key_was_exchanged_and_not_past_its_time() {
    for version in VERSIONS {
        let clock = Clock::fake();
        let acceptance = listener(&clock);
        let [first, second, third, late, last] = clients(version);
        for client in [&first, &second, &third, &late] {
            assert!(!is_resumed(&acceptance, client));
        }
        clock.advance(6 * HOUR_MS - 1);
        assert!(is_resumed(&acceptance, &first), "by the key that sealed it");
        assert!(!is_resumed(&acceptance, &last));
        clock.advance(1);
        assert!(is_resumed(&acceptance, &second), "by the one before");
        clock.advance(6 * HOUR_MS - 1);
        assert!(is_resumed(&acceptance, &third));
        clock.advance(1);
        assert!(!is_resumed(&acceptance, &late), "it is twelve hours old");
        // Only half as old, and sealed by the same key.
        assert!(!is_resumed(&acceptance, &last));
        // Who was taken up again was given fresh ones.
        assert!(is_resumed(&acceptance, &second) && is_resumed(&acceptance, &late));
    }
}

#[test]
fn a_ticket_gets_no_older_where_nobody_comes_for_long() {
    for version in VERSIONS {
        for (hours, is_taken) in [(11, true), (12, false), (24, false), (1000, false)] {
            let clock = Clock::fake();
            let acceptance = listener(&clock);
            let [client] = clients(version);
            assert!(!is_resumed(&acceptance, &client));
            clock.advance(hours * HOUR_MS);
            assert_eq!(is_resumed(&acceptance, &client), is_taken, "{hours} hours");
            assert!(is_resumed(&acceptance, &client), "by what it was given now");
        }
    }
}

#[test]
fn threads_that_exchange_a_key_at_a_time_agree_on_the_next() {
    let clock = Clock::fake();
    let keys = Tickets::new(&clock).unwrap().ticketer();
    let before = keys.encrypt(b"before").unwrap();
    clock.advance(6 * HOUR_MS);
    let sealed: Vec<_> = thread::scope(|scope| {
        let each: [_; 8] = std::array::from_fn(|_| scope.spawn(|| keys.encrypt(b"now").unwrap()));
        each.into_iter().map(|each| each.join().unwrap()).collect()
    });
    for ticket in &sealed {
        assert_eq!(keys.decrypt(ticket).unwrap(), b"now");
    }
    assert_eq!(keys.decrypt(&before).unwrap(), b"before");
    // RFC 5077 §4: a ticket begins with the name of its key.
    let name = |ticket: &[u8]| ticket.get(..16).unwrap().to_vec();
    let names: HashSet<_> = sealed.iter().map(|ticket| name(ticket)).collect();
    assert_eq!(names.len(), 1);
    assert!(!names.contains(&name(&before)));
}
