// SPDX-License-Identifier: Apache-2.0
use super::{FORWARDING, forward, get, has, lines, parse};
use crate::encode::{Forwarding, encode_request};
use tidegate_request::Framing;

#[test]
fn a_request_is_written_from_its_canonical_form() {
    let sent = forward(
        "GET /a/./%41?x=%zz HTTP/1.1\nuser-agent: t\nhost: EXAMPLE.com:80\nAccept: */*\nConnection: keep-alive",
        false,
        FORWARDING,
    );
    let expected = [
        "GET /a/A?x=%zz HTTP/1.1",
        "Host: example.com",
        "user-agent: t",
        "Accept: */*",
        "Via: 1.1 gateway",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: example.com",
        "X-Request-Id: id1",
    ];
    assert_eq!(sent, expected);
}

#[test]
fn http_1_0_without_host_becomes_1_1_with_an_empty_one() {
    let sent = forward("GET / HTTP/1.0", false, FORWARDING);
    assert_eq!(
        sent.get(..3),
        Some(
            &[
                "GET / HTTP/1.1".into(),
                "Host: ".into(),
                "Via: 1.0 gateway".into()
            ][..]
        )
    );
    assert!(!has(&sent, "X-Forwarded-Host"));
}

#[test]
fn rfc9112_3_2_2_the_targets_authority_goes_upstream() {
    let sent = forward(
        "GET http://a.b:81/c HTTP/1.1\nHost: evil",
        false,
        FORWARDING,
    );
    assert_eq!(
        sent.get(..2),
        Some(&["GET /c HTTP/1.1".into(), "Host: a.b:81".into()][..])
    );
    assert_eq!(
        sent.iter()
            .filter(|line| line.to_lowercase().starts_with("host:"))
            .count(),
        1
    );
    assert!(sent.contains(&"X-Forwarded-Host: a.b:81".to_owned()));
    assert!(sent.contains(&"X-Forwarded-Port: 81".to_owned()));
}

#[test]
fn rfc9110_7_6_1_fields_of_the_connection_end_here() {
    let fields = "Connection: keep-alive, X-Hop\nKeep-Alive: timeout=5\nProxy-Connection: close\nUpgrade: h2c\n\
                  HTTP2-Settings: AAMAAABk\nProxy-Authorization: Basic eA==\nProxy: http://evil\nX-Hop: 1\nTE: gzip\nX-End: 1";
    let sent = get(fields);
    for name in [
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Upgrade",
        "HTTP2-Settings",
        "Proxy-Authorization",
        "Proxy",
        "X-Hop",
        "TE",
    ] {
        assert!(!has(&sent, name), "{name}");
    }
    assert!(has(&sent, "X-End"));
}

#[test]
fn row_31_a_client_cannot_have_fields_removed_by_nominating_them() {
    let sent =
        get("Connection: Authorization, X-Forwarded-For, Cookie, Via\nAuthorization: a\nCookie: c");
    for name in ["Authorization", "Cookie", "X-Forwarded-For", "Via"] {
        assert!(has(&sent, name), "{name}");
    }
}

#[test]
fn rfc9110_10_1_4_te_trailers_is_offered_again() {
    let sent = get("TE: gzip, Trailers\nConnection: TE");
    assert!(
        sent.contains(&"TE: trailers".to_owned()) && sent.contains(&"Connection: TE".to_owned())
    );
}

#[test]
fn rfc9110_7_8_one_upgrade_is_offered_again() {
    let sent =
        get("Connection: keep-alive, Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13");
    assert!(
        sent.contains(&"Upgrade: websocket".to_owned())
            && sent.contains(&"Connection: upgrade".to_owned())
    );
    assert!(has(&sent, "Sec-WebSocket-Version"));
    let sent = get("Connection: Upgrade, TE\nUpgrade: websocket\nTE: trailers");
    assert!(sent.contains(&"Connection: upgrade, TE".to_owned()));
}

#[test]
fn framing_is_what_the_engine_chose_and_nothing_else() {
    let post = "POST / HTTP/1.1\nHost: h\nContent-Length: 3\nTrailer: X-Sum";
    let framed = |framing| {
        forward(
            post,
            false,
            Forwarding {
                framing,
                ..FORWARDING
            },
        )
    };
    let sent = framed(Framing::Length(3));
    assert_eq!(
        sent.iter()
            .filter(|line| line.starts_with("Content-Length: 3"))
            .count(),
        1
    );
    let sent = framed(Framing::Chunked);
    assert!(
        sent.contains(&"Transfer-Encoding: chunked".to_owned()) && !has(&sent, "Content-Length")
    );
    assert!(has(&sent, "Trailer"));
}

#[test]
fn rfc9110_8_6_no_content_is_said_where_content_is_usual() {
    assert!(
        forward("POST / HTTP/1.1\nHost: h", false, FORWARDING)
            .contains(&"Content-Length: 0".to_owned())
    );
    assert!(!has(
        &forward("DELETE / HTTP/1.1\nHost: h", false, FORWARDING),
        "Content-Length"
    ));
}

#[test]
fn rfc9110_10_1_1_expect_goes_along_when_told() {
    let post = "POST / HTTP/1.1\nHost: h\nContent-Length: 3\nExpect: 100-continue";
    let framed = Forwarding {
        framing: Framing::Length(3),
        ..FORWARDING
    };
    assert!(!has(&forward(post, false, framed), "Expect"));
    let sent = forward(
        post,
        false,
        Forwarding {
            passes_expect: true,
            ..framed
        },
    );
    assert!(sent.contains(&"Expect: 100-continue".to_owned()));
}

#[test]
fn rfc9110_7_6_2_max_forwards_counts_down() {
    let sent = forward(
        "OPTIONS * HTTP/1.1\nHost: h\nMax-Forwards: 3",
        false,
        FORWARDING,
    );
    assert_eq!(sent.first().map(String::as_str), Some("OPTIONS * HTTP/1.1"));
    assert_eq!(
        sent.iter()
            .filter(|line| line.starts_with("Max-Forwards"))
            .collect::<Vec<_>>(),
        ["Max-Forwards: 2"]
    );
    assert!(get("Max-Forwards: 3").contains(&"Max-Forwards: 3".to_owned()));
}

#[test]
fn row_32_forwarding_fields_of_an_untrusted_client_are_replaced() {
    let sent = get(
        "X-Forwarded-For: 6.6.6.6\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil\nX-Forwarded-Port: 1\n\
                    X-Forwarded-Prefix: /evil\nX-Request-Id: evil\nForwarded: for=6.6.6.6\nX-Real-IP: 6.6.6.6\n\
                    X_Forwarded_For: 6.6.6.6",
    );
    assert!(
        !sent.iter().any(|line| line.contains("6.6.6.6")
            || line.contains("evil")
            || line.contains("https"))
    );
    assert!(sent.contains(&"X-Forwarded-For: 192.0.2.1".to_owned()));
    assert!(
        !has(&sent, "Forwarded")
            && !has(&sent, "X-Forwarded-Prefix")
            && !has(&sent, "X-Forwarded-Port")
    );
}

#[test]
fn row_32_what_a_trusted_proxy_says_is_added_to() {
    let head = "GET / HTTP/1.1\nHost: inner:8080\nX-Forwarded-For: 9.9.9.9, 8.8.8.8\nX-Forwarded-For: 7.7.7.7\n\
                X-Forwarded-Proto: https\nX-Forwarded-Host: outer\nX-Forwarded-Prefix: /app/\nForwarded: for=9.9.9.9\n\
                X-Request-Id: theirs\nX-Real-IP: 9.9.9.9";
    let sent = forward(
        head,
        true,
        Forwarding {
            prefix: Some("/v1"),
            ..FORWARDING
        },
    );
    let expected = [
        "X-Real-IP: 9.9.9.9",
        "Via: 1.1 gateway",
        "X-Forwarded-For: 9.9.9.9, 8.8.8.8, 7.7.7.7, 192.0.2.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: outer",
        "X-Forwarded-Prefix: /app/v1",
        "X-Request-Id: id1",
        "Forwarded: for=9.9.9.9, for=192.0.2.1;host=\"inner:8080\";proto=http",
    ];
    assert_eq!(sent.get(2..), Some(&expected.map(ToOwned::to_owned)[..]));
}

#[test]
fn rfc7239_6_an_ipv6_address_is_quoted() {
    let six = Forwarding {
        client: "2001:db8::1",
        ..FORWARDING
    };
    let sent = forward("GET / HTTP/1.1\nHost: h\nForwarded: for=a", true, six);
    assert!(
        sent.contains(&"Forwarded: for=a, for=\"[2001:db8::1]\";host=\"h\";proto=http".to_owned())
    );
    assert!(sent.contains(&"X-Forwarded-For: 2001:db8::1".to_owned()));
}

#[test]
fn the_host_the_client_asked_for_survives_a_rewrite() {
    let mut request = parse("GET / HTTP/1.1\nHost: shop.example:8080", false);
    request.set_authority(b"10.0.0.1").unwrap();
    request.set_path(b"/inner").unwrap();
    let mut out = Vec::new();
    encode_request(
        &mut out,
        &request,
        &Forwarding {
            prefix: Some("/outer"),
            ..FORWARDING
        },
    );
    let sent = lines(&out);
    assert_eq!(
        sent.get(..2),
        Some(&["GET /inner HTTP/1.1".into(), "Host: 10.0.0.1".into()][..])
    );
    for line in [
        "X-Forwarded-Host: shop.example:8080",
        "X-Forwarded-Port: 8080",
        "X-Forwarded-Prefix: /outer",
    ] {
        assert!(sent.contains(&line.to_owned()), "{line}");
    }
}

#[test]
fn an_ipv6_host_has_a_port_only_after_its_bracket() {
    assert!(!has(
        &forward("GET / HTTP/1.1\nHost: [::1]", false, FORWARDING),
        "X-Forwarded-Port"
    ));
    let sent = forward("GET / HTTP/1.1\nHost: [::1]:81", false, FORWARDING);
    assert!(sent.contains(&"X-Forwarded-Port: 81".to_owned()));
}

#[test]
fn row_10_filters_cannot_split_a_request() {
    let mut request = parse("GET / HTTP/1.1\nHost: h", false);
    let _ = request.fields_mut().set(b"X-A", b"1\r\nX-B: 2");
    let _ = request.fields_mut().append(b"X-A\r\nX-B", b"2");
    let _ = request.set_path(b"/\r\nX-B: 2");
    let _ = request.set_query(Some(b"\r\nX-B: 2"));
    let _ = request.set_authority(b"h\r\nX-B: 2");
    let mut out = Vec::new();
    encode_request(&mut out, &request, &FORWARDING);
    assert!(!has(&lines(&out), "X-B"));
}
