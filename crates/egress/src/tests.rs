// SPDX-License-Identifier: Apache-2.0
use crate::message::{Answer, Kind, answer, question};
use crate::resolver::of_hosts;
use crate::*;
use std::net::IpAddr;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn rule(text: &str) -> Rule {
    let (addresses, hosts) = match text.parse() {
        Ok(network) => (vec![network], vec![]),
        Err(_) => (vec![], vec![text.to_owned()]),
    };
    Rule {
        hosts,
        addresses,
        ports: vec![],
        text: text.to_owned(),
    }
}

fn judged(allow: &[Rule], deny: &[Rule], host: &str, port: u16, to: &str) -> Verdict {
    let judge = Judge {
        allow,
        deny: [deny, &[]],
        ports: &[80, 443],
        tunnel_ports: &[443],
    };
    let aim = Aim {
        host,
        port,
        is_tunnel: false,
    };
    judge.name(&aim)?;
    judge.address(&aim, address(to))
}

#[test]
fn addresses_are_what_they_are() {
    for (text, class) in [
        ("8.8.8.8", Class::Public),
        ("2606:4700::1111", Class::Public),
        ("::ffff:8.8.8.8", Class::Public),
        ("64:ff9b::808:808", Class::Public),
        ("127.255.255.254", Class::Loopback),
        ("::1", Class::Loopback),
        ("::ffff:127.0.0.1", Class::Loopback),
        ("64:ff9b::7f00:1", Class::Loopback),
        ("0.0.0.0", Class::Unspecified),
        ("0.1.2.3", Class::Unspecified),
        ("::", Class::Unspecified),
        ("10.255.255.255", Class::Private),
        ("172.16.0.1", Class::Private),
        ("172.31.255.255", Class::Private),
        ("172.32.0.1", Class::Public),
        ("192.168.1.1", Class::Private),
        ("fd12::1", Class::Private),
        ("fec0::1", Class::Private),
        ("169.254.1.1", Class::LinkLocal),
        ("fe80::1", Class::LinkLocal),
        ("100.64.0.1", Class::CarrierNat),
        ("100.128.0.1", Class::Public),
        ("224.0.0.1", Class::Multicast),
        ("ff02::1", Class::Multicast),
        ("169.254.169.254", Class::Metadata),
        ("::ffff:169.254.169.254", Class::Metadata),
        ("64:ff9b::a9fe:a9fe", Class::Metadata),
        ("fd00:ec2::254", Class::Metadata),
        ("100.100.100.200", Class::Metadata),
        ("::127.0.0.1", Class::Embedded),
        ("2002:7f00:1::", Class::Embedded),
        ("2002:808:808::", Class::Embedded),
        ("2001:0:7f00:1::", Class::Embedded),
        ("64:ff9b:1::7f00:1", Class::Embedded),
        ("2001:db8::5efe:7f00:1", Class::Reserved),
        ("2620:1::5efe:7f00:1", Class::Embedded),
        ("198.18.0.1", Class::Reserved),
        ("192.0.2.1", Class::Reserved),
        ("203.0.113.9", Class::Reserved),
        ("240.0.0.1", Class::Reserved),
        ("255.255.255.255", Class::Reserved),
        ("2001:db8::1", Class::Reserved),
        ("100::1", Class::Reserved),
        ("4000::1", Class::Reserved),
    ] {
        let found = Class::of(address(text));
        let is_either = text.contains("db8::5efe") && found == Class::Embedded;
        assert!(found == class || is_either, "{text}: {found:?}");
    }
}

#[test]
fn without_rules_the_internet_is_open_and_nothing_else() {
    assert_eq!(judged(&[], &[], "a.example", 80, "8.8.8.8"), Ok(()));
    assert_eq!(
        judged(&[], &[], "a.example", 25, "8.8.8.8"),
        Err(Refusal::Port)
    );
    for inside in [
        "127.0.0.1",
        "10.0.0.1",
        "::ffff:10.0.0.1",
        "fd00::1",
        "169.254.169.254",
    ] {
        let verdict = judged(&[], &[], "a.example", 80, inside);
        assert!(matches!(verdict, Err(Refusal::Address(_))), "{inside}");
    }
}

#[test]
fn a_name_lifts_nothing_and_an_address_does() {
    let names = [rule("intranet.example")];
    let inside = judged(&names, &[], "intranet.example", 80, "10.0.0.1");
    assert_eq!(inside, Err(Refusal::Address(Class::Private)));
    let both = [rule("*"), rule("10.0.0.0/8"), rule("169.254.0.0/16")];
    assert_eq!(
        judged(&both, &[], "intranet.example", 80, "10.0.0.1"),
        Ok(())
    );
    assert_eq!(judged(&both, &[], "a.example", 80, "8.8.8.8"), Ok(()));
    assert_eq!(
        judged(&both, &[], "a.example", 80, "::ffff:10.0.0.1"),
        Ok(())
    );
    let metadata = judged(&both, &[], "a.example", 80, "169.254.169.254");
    assert_eq!(metadata, Err(Refusal::Address(Class::Metadata)));
    let named = [rule("169.254.169.254/32")];
    assert_eq!(
        judged(&named, &[], "a.example", 80, "169.254.169.254"),
        Ok(())
    );
}

#[test]
fn denied_is_denied_whatever_is_allowed() {
    let allow = [rule("*"), rule("10.0.0.0/8")];
    let deny = [rule("10.1.0.0/16"), rule(".bad.example")];
    let inside = judged(&allow, &deny, "a.example", 80, "::ffff:10.1.2.3");
    assert_eq!(inside, Err(Refusal::Denied("10.1.0.0/16".into())));
    for host in ["bad.example", "x.bad.example"] {
        let verdict = judged(&allow, &deny, host, 80, "8.8.8.8");
        assert_eq!(verdict, Err(Refusal::Denied(".bad.example".into())));
    }
    assert_eq!(
        judged(&allow, &deny, "notbad.example", 80, "8.8.8.8"),
        Ok(())
    );
}

#[test]
fn hosts_and_ports_of_rules() {
    let mut with_port = rule("*.example.com");
    with_port.ports = vec![8443];
    let rules = [with_port];
    assert_eq!(
        judged(&rules, &[], "a.example.com", 8443, "8.8.8.8"),
        Ok(())
    );
    for (host, port) in [
        ("a.example.com", 443),
        ("example.com", 8443),
        ("b.example", 8443),
    ] {
        assert_eq!(
            judged(&rules, &[], host, port, "8.8.8.8"),
            Err(Refusal::NotAllowed)
        );
    }
}

#[test]
fn answers_are_read_through_chains_and_pointers() {
    let asked = question(7, "a.example", Kind::A).unwrap();
    let mut bytes = asked.clone();
    bytes[2] = 0x81;
    bytes[7] = 2;
    // a.example CNAME b.example (by pointers), TTL 9; b.example A 192.0.2.1, TTL 60.
    bytes.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'B', 0xc0, 14]);
    let name_at = bytes.len() - 4;
    bytes.extend([
        0xc0,
        name_at as u8,
        0,
        1,
        0,
        1,
        0,
        0,
        0,
        60,
        0,
        4,
        192,
        0,
        2,
        1,
    ]);
    let found = answer(&bytes, &asked, "a.example", Kind::A);
    assert_eq!(found, Some(Answer::Found(vec![address("192.0.2.1")], 9)));
    for cut in asked.len()..bytes.len() {
        let found = answer(&bytes[..cut], &asked, "a.example", Kind::A);
        assert_eq!(found, Some(Answer::Failed));
    }
    let mut other = bytes.clone();
    other[1] ^= 1;
    assert_eq!(answer(&other, &asked, "a.example", Kind::A), None);
    let mut circle = asked.clone();
    circle[2] = 0x81;
    circle[7] = 1;
    let at = circle.len() as u8;
    circle.extend([0xc0, at, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 1, 1, 1]);
    assert_eq!(
        answer(&circle, &asked, "a.example", Kind::A),
        Some(Answer::Failed)
    );
}

#[test]
fn files_of_the_system_are_read() {
    let servers =
        servers_of_system("# x\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\noptions a\n");
    let texts: Vec<String> = servers.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["192.0.2.1:53"]);
    let hosts = "10.0.0.1 db Db.example # c\n::1 db\n";
    assert_eq!(of_hosts(hosts, "db"), [address("10.0.0.1"), address("::1")]);
    assert_eq!(of_hosts(hosts, "db.example"), [address("10.0.0.1")]);
    assert_eq!(of_hosts("", "x.localhost").len(), 2);
}
