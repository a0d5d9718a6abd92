// SPDX-License-Identifier: Apache-2.0
use super::*;
use std::future::poll_fn;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

fn bound(ip: impl Into<IpAddr>) -> (Datagrams, SocketAddr) {
    let socket = UdpSocket::bind(SocketAddr::new(ip.into(), 0)).unwrap();
    let address = socket.local_addr().unwrap();
    (Datagrams::new(socket.into()).unwrap(), address)
}

fn to(peer: SocketAddr, bytes: &[u8]) -> Departure<'_> {
    Departure {
        peer,
        local: None,
        ecn: 0,
        segment: None,
        bytes,
    }
}

async fn next(socket: &Datagrams, reception: &mut Reception) -> usize {
    let received = poll_fn(|cx| socket.poll_receive(cx, reception));
    let received = tokio::time::timeout(Duration::from_secs(5), received);
    received.await.unwrap().unwrap()
}

/// Takes one message and says who sent it, to which address, its mark, and what it is.
async fn one(socket: &Datagrams) -> (Arrival, Vec<u8>) {
    let mut reception = Reception::default();
    let count = next(socket, &mut reception).await;
    assert_eq!(count, 1);
    let (arrival, bytes, _) = reception.trains(1).next().unwrap();
    (arrival, bytes.to_vec())
}

#[tokio::test(flavor = "current_thread")]
async fn marks_of_ecn_go_with_each_datagram() {
    for ip in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let (listener, address) = bound(ip);
        let client = Datagrams::connect(address).unwrap();
        for ecn in [0, 1, 2, 3, 0] {
            let departure = Departure {
                ecn,
                ..to(address, b"asked")
            };
            client.send(&departure).unwrap();
            let (arrival, bytes) = one(&listener).await;
            assert_eq!(
                (arrival.ecn, arrival.local, &*bytes),
                (ecn, Some(ip), &b"asked"[..])
            );
            let back = Departure {
                ecn,
                local: arrival.local,
                ..to(arrival.peer, b"")
            };
            listener.send(&back).unwrap();
            let (arrival, bytes) = one(&client).await;
            assert_eq!(
                (arrival.ecn, arrival.peer, &*bytes),
                (ecn, address, &b""[..])
            );
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn answers_come_from_the_address_that_was_asked() {
    for ip in [
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
        Ipv6Addr::UNSPECIFIED.into(),
    ] {
        let (listener, address) = bound(ip);
        let second = IpAddr::from([127, 0, 0, 2]);
        let client = Datagrams::connect(SocketAddr::new(second, address.port())).unwrap();
        client.send(&to(address, b"asked")).unwrap();
        let (arrival, _) = one(&listener).await;
        assert_eq!(arrival.local, Some(second));
        assert!(arrival.peer.is_ipv4());
        for (ecn, segment, bytes) in [(0, None, "one"), (2, None, "two"), (0, Some(2), "cuts")] {
            let back = Departure {
                ecn,
                segment,
                local: arrival.local,
                ..to(arrival.peer, bytes.as_bytes())
            };
            listener.send(&back).unwrap();
            // Who is connected hears nobody else.
            let mut reception = Reception::default();
            let mut heard = Vec::new();
            while heard.len() < bytes.len() {
                let count = next(&client, &mut reception).await;
                for (arrival, piece) in reception.datagrams(count) {
                    assert_eq!(arrival.ecn, ecn);
                    assert!(piece.len() <= segment.unwrap_or(bytes.len()));
                    heard.extend_from_slice(piece);
                }
            }
            assert_eq!(heard, bytes.as_bytes());
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_comes_behind_a_short_batch_is_told_of() {
    let (listener, address) = bound(Ipv4Addr::LOCALHOST);
    let client = Datagrams::connect(address).unwrap();
    let mut reception = Reception::default();
    for sent in [1, 7, 8, 9, 20, 1, 16] {
        for number in 0..sent {
            client.send(&to(address, &[number])).unwrap();
        }
        let mut heard = Vec::new();
        while heard.len() < usize::from(sent) {
            let count = next(&listener, &mut reception).await;
            heard.extend(reception.datagrams(count).map(|(_, bytes)| bytes[0]));
        }
        assert_eq!(heard, (0..sent).collect::<Vec<_>>());
    }
    let nothing = tokio::time::timeout(Duration::from_millis(20), next(&listener, &mut reception));
    assert!(nothing.await.is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn nobody_at_the_other_end_is_told_to_who_reads_and_to_who_waits() {
    let gone = bound(Ipv4Addr::LOCALHOST).1;
    let client = Datagrams::connect(gone).unwrap();
    client.send(&to(gone, b"asked")).unwrap();
    let error = tokio::time::timeout(Duration::from_secs(5), client.failure());
    let error = error.await.unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    client.send(&to(gone, b"asked")).unwrap();
    let mut told = client.send(&to(gone, b"asked"));
    if told.is_ok() {
        told = client.send(&to(gone, b"asked"));
    }
    assert_eq!(told.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_longer_than_its_way_is_cut_where_it_is_passed_on() {
    let (own, _) = bound(Ipv6Addr::LOCALHOST);
    assert!(!own.may_fragment());
    let discovery = sockopt::ipv6_mtu_discover(own.fd.get_ref()).unwrap();
    assert_eq!(discovery, sockopt::Ipv6PathMtuDiscovery::PROBE);
    let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Datagrams::passing_on(socket.into()).unwrap();
    let client = Datagrams::connect(address).unwrap();
    for passing_on in [&listener, &client] {
        let discovery = sockopt::ipv6_mtu_discover(passing_on.fd.get_ref()).unwrap();
        assert_eq!(discovery, sockopt::Ipv6PathMtuDiscovery::DONT);
    }
    let long = vec![7; 65_000];
    client.send(&to(address, &long)).unwrap();
    assert_eq!(one(&listener).await.1, long);
}
