// SPDX-License-Identifier: Apache-2.0
use super::{HOST, build, get, status};
use crate::{FieldError, FieldId, Method, Options, Parts, Request, Scheme, Storage, Version};

fn host(value: &str) -> Result<String, u16> {
    let request = get("/", &[("Host", value)]).map_err(|reject| reject.status())?;
    assert_eq!(
        request.fields().get(FieldId::Host),
        Some(request.authority().as_bytes())
    );
    assert!(request.authority().starts_with(request.host().unwrap()));
    Ok(request.authority().to_owned())
}

#[test]
fn rfc9112_3_2_refuses_no_host_and_two_hosts_in_http_1_1() {
    assert_eq!(status(get("/", &[])), 400);
    assert_eq!(status(get("/", &[HOST, HOST])), 400);
    assert_eq!(status(get("/", &[HOST, ("host", "other.com")])), 400);
    assert_eq!(status(get("http://example.com/", &[])), 400);
}

#[test]
fn rfc9112_3_2_an_empty_host_names_no_host() {
    let request = get("/", &[("Host", "")]).unwrap();
    assert_eq!((request.host(), request.authority()), (None, ""));
    assert_eq!(status(get("/", &[("Host", ""), HOST])), 400);
}

#[test]
fn http_1_0_without_host_has_no_authority() {
    let request = build("GET", "/", Version::Http10, &[]).unwrap();
    assert_eq!(
        (request.host(), request.port(), request.authority()),
        (None, None, "")
    );
    assert_eq!(
        status(build("GET", "/", Version::Http10, &[HOST, HOST])),
        400
    );
}

#[test]
fn row_30_refuses_hosts_that_two_readers_could_read_differently() {
    let bad = [
        "a,b",
        "a b",
        "a/b",
        "a/b?c#d@e",
        "user@a",
        "user:pass@a",
        "a:x",
        "a:-1",
        "a:+80",
        "a:0",
        "a:080",
        "a:65536",
        "a:99999999999",
        "a:80:80",
        "a:8 0",
        "a..b",
        ".a",
        ".",
        "..",
        "a\\b",
        "a%2eb",
        "a%00",
        "é.com",
        "a_b!",
        "[::1",
        "::1",
        "[::1]x",
        "[::1%25eth0]",
        "[::1%eth0]",
        "[fe80::1%1]:80",
        "[v1.a]",
        "[]",
        "[1.2.3.4]",
        "127.1",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "256.1.1.1",
        "1.2.3.4.5",
        "2130706433",
        "0x7f000001",
        "a.1",
        "a.0x1",
        ":",
        ":80",
        "\"a\"",
        "a;b",
        "(a)",
        "a'",
        "*.a",
        "http://a",
    ];
    for value in bad {
        assert_eq!(host(value), Err(400), "{value:?}");
    }
    assert_eq!(host(&"a".repeat(254)), Err(400));
    assert_eq!(host(&format!("{}:80", "1".repeat(300))), Err(400));
}

#[test]
fn rfc9110_4_2_3_brings_hosts_into_one_form() {
    let canonical = [
        ("example.com", "example.com"),
        ("EXAMPLE.com", "example.com"),
        ("example.com.", "example.com"),
        ("Example.Com.:8080", "example.com:8080"),
        ("example.com:80", "example.com"),
        ("example.com:", "example.com"),
        ("example.com:443", "example.com:443"),
        ("my_service", "my_service"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1a.2b", "1a.2b"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[0:0:0:0:0:0:0:1]:8080", "[::1]:8080"),
        ("[2001:DB8::0:1]:80", "[2001:db8::1]"),
        ("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]"),
    ];
    for (value, expected) in canonical {
        assert_eq!(host(value).as_deref(), Ok(expected), "{value:?}");
        assert_eq!(
            host(expected).as_deref(),
            Ok(expected),
            "{expected:?} again"
        );
    }
    let longest = "a".repeat(253);
    assert_eq!(host(&longest).as_deref(), Ok(longest.as_str()));
}

#[test]
fn host_and_port_are_parts_of_the_authority() {
    let request = get("/", &[("Host", "[0::1]:8080")]).unwrap();
    assert_eq!(
        (request.host(), request.port()),
        (Some("[::1]"), Some(8080))
    );
    let request = get("/", &[("Host", "A.b:80")]).unwrap();
    assert_eq!((request.host(), request.port()), (Some("a.b"), None));
}

#[test]
fn the_default_port_is_the_schemes() {
    let parts = Parts {
        method: b"GET",
        target: b"/",
        version: Version::Http11,
        scheme: Scheme::Https,
    };
    let storage = |value| super::storage(&[("Host", value)]);
    let secure = Request::build(storage("a.b:443"), parts, Options::default()).unwrap();
    assert_eq!((secure.authority(), secure.scheme()), ("a.b", "https"));
    let other = Request::build(storage("a.b:80"), parts, Options::default()).unwrap();
    assert_eq!(other.authority(), "a.b:80");
}

#[test]
fn rfc9112_3_2_2_authority_of_the_target_wins_over_host() {
    let request = get("http://Good.example:8080/a?b", &[("Host", "evil.example")]).unwrap();
    assert_eq!(request.authority(), "good.example:8080");
    assert_eq!(
        (request.host(), request.port()),
        (Some("good.example"), Some(8080))
    );
    assert_eq!((request.path(), request.query()), ("/a", Some(&b"b"[..])));
    assert_eq!(
        request.fields().get(FieldId::Host),
        Some(&b"good.example:8080"[..])
    );
}

#[test]
fn rfc9112_3_2_2_judges_host_though_the_target_wins() {
    assert_eq!(status(get("http://a/", &[("Host", "a,b")])), 400);
    assert_eq!(status(get("http://a/", &[HOST, HOST])), 400);
}

#[test]
fn rfc9112_3_2_2_an_absolute_target_may_lack_a_path() {
    assert_eq!(get("http://a.b", &[HOST]).unwrap().path(), "/");
    let request = get("HTTP://a.b?q", &[HOST]).unwrap();
    assert_eq!((request.path(), request.query()), ("/", Some(&b"q"[..])));
}

#[test]
fn row_29_refuses_targets_of_no_or_another_form() {
    let bad = [
        "",
        "*",
        "a",
        "example.com:80",
        "https://example.com/",
        "https://example.com",
        "ftp://example.com/",
        "http:/example.com/",
        "http:example.com",
        "http://",
        "http:///a",
        "http://user@example.com/",
        "http://a b/",
        "http://example.com:99999/",
        "http://example.com#/../admin",
        "/#/../admin",
        "/a#",
        "/a?b#c",
        "?a",
        "#",
        "\\a",
        "javascript:alert(1)",
        "http//a",
        "://a",
        "http://example.com\\@evil/",
    ];
    for target in bad {
        assert_eq!(status(get(target, &[HOST])), 400, "{target:?}");
    }
    assert_eq!(
        status(build(
            "OPTIONS",
            "https://example.com/",
            Version::Http11,
            &[HOST]
        )),
        400
    );
    assert_eq!(
        status(build("OPTIONS", "*x", Version::Http11, &[HOST])),
        400
    );
    assert_eq!(
        status(build("OPTIONS", "*?x", Version::Http11, &[HOST])),
        400
    );
}

#[test]
fn rfc9112_3_2_4_asterisk_is_for_options() {
    let request = build("OPTIONS", "*", Version::Http11, &[HOST]).unwrap();
    assert!(request.is_asterisk());
    assert_eq!(
        (request.path(), request.query(), request.host()),
        ("*", None, Some("example.com"))
    );
    let request = build("OPTIONS", "http://a.b:81", Version::Http11, &[HOST]).unwrap();
    assert!(request.is_asterisk());
    assert_eq!((request.path(), request.authority()), ("*", "a.b:81"));
    let request = build("OPTIONS", "http://a.b/", Version::Http11, &[HOST]).unwrap();
    assert!(!request.is_asterisk());
}

#[test]
fn row_36_refuses_trace_and_connect_and_takes_other_tokens() {
    for method in ["TRACE", "trace", "TRACK", "CONNECT", "Connect"] {
        assert_eq!(
            status(build(method, "/", Version::Http11, &[HOST])),
            405,
            "{method}"
        );
    }
    assert_eq!(
        status(build(
            "CONNECT",
            "example.com:443",
            Version::Http11,
            &[HOST]
        )),
        405
    );
    for method in [
        "",
        "GE T",
        "G\u{0}T",
        "GET\r\nX: y",
        "G(T",
        "GÉT",
        &"A".repeat(41),
    ] {
        assert_eq!(
            status(build(method, "/", Version::Http11, &[HOST])),
            400,
            "{method:?}"
        );
    }
    for method in [
        "get",
        "PROPFIND",
        "M-SEARCH",
        "!#$%&'*+-.^_`|~09",
        &"A".repeat(40),
    ] {
        let request = build(method, "/", Version::Http11, &[HOST]).unwrap();
        assert_eq!(
            (request.method(), request.method_kind()),
            (method, Method::Other)
        );
    }
}

#[test]
fn rfc9112_9_3_a_connection_goes_on_by_version_and_option() {
    let keeps = |version, value: &str| {
        build("GET", "/", version, &[HOST, ("Connection", value)])
            .unwrap()
            .keep_alive()
    };
    assert!(get("/", &[HOST]).unwrap().keep_alive());
    assert!(keeps(Version::Http11, "keep-alive") && keeps(Version::Http11, ""));
    assert!(!keeps(Version::Http11, "close") && !keeps(Version::Http11, "x, Close"));
    assert!(!keeps(Version::Http11, "keep-alive, close"));
    assert!(!keeps(Version::Http10, "") && keeps(Version::Http10, "Keep-Alive"));
    assert!(!keeps(Version::Http10, "keep-alive,close"));
}

#[test]
fn set_path_canonicalises_and_leaves_the_request_alone_when_it_refuses() {
    let mut request = get("/a?q", &[HOST]).unwrap();
    request.set_path(b"/b/./%41//c").unwrap();
    assert_eq!(request.path(), "/b/A/c");
    for bad in [&b"/../a"[..], b"a", b"", b"/a?b", b"/a b", b"/a\r\nX: y"] {
        assert_eq!(status(request.set_path(bad)), 400, "{bad:?}");
        assert_eq!(
            (request.path(), request.query()),
            ("/b/A/c", Some(&b"q"[..]))
        );
    }
    request.set_query(Some(b"x=%zz")).unwrap();
    assert_eq!(request.query(), Some(&b"x=%zz"[..]));
    assert_eq!(status(request.set_query(Some(b"a b"))), 400);
    assert_eq!(status(request.set_query(Some(b"a\r\nb"))), 400);
    request.set_query(None).unwrap();
    assert_eq!(request.query(), None);
}

#[test]
fn set_authority_keeps_what_the_client_asked_for() {
    let mut request = get("/", &[("Host", "Shop.example:8080")]).unwrap();
    request.set_authority(b"10.0.0.1:9000").unwrap();
    assert_eq!(
        (request.authority(), request.host(), request.port()),
        ("10.0.0.1:9000", Some("10.0.0.1"), Some(9000))
    );
    assert_eq!(request.received_authority(), "shop.example:8080");
    assert_eq!(
        request.fields().get(FieldId::Host),
        Some(&b"10.0.0.1:9000"[..])
    );
    assert_eq!(status(request.set_authority(b"a,b")), 400);
    assert_eq!(request.authority(), "10.0.0.1:9000");
}

#[test]
fn filters_cannot_touch_framing_and_routing_under_any_name() {
    let mut request = get("/", &[HOST, ("X-A", "1")]).unwrap();
    let mut fields = request.fields_mut();
    let names = [
        "Host",
        "host",
        "Content-Length",
        "content_length",
        "Transfer-Encoding",
        "Transfer.Encoding",
        "Connection",
        "Upgrade",
        "TE",
        "Keep-Alive",
        "Proxy-Connection",
        "Trailer",
        "Expect",
        "Proxy",
    ];
    for name in names {
        assert_eq!(
            fields.set(name.as_bytes(), b"1"),
            Err(FieldError::Protected),
            "{name}"
        );
        assert_eq!(
            fields.append(name.as_bytes(), b"1"),
            Err(FieldError::Protected),
            "{name}"
        );
        assert_eq!(
            fields.remove(name.as_bytes()),
            Err(FieldError::Protected),
            "{name}"
        );
    }
    assert_eq!(fields.remove_id(FieldId::Host), Err(FieldError::Protected));
    fields.set(b"X-A", b"2").unwrap();
    fields.clear();
    assert_eq!(
        super::texts(request.fields()),
        [("Host".to_owned(), "example.com".to_owned())]
    );
}

#[test]
fn storage_goes_round_without_new_memory() {
    let fields = [
        HOST,
        ("Accept", "*/*"),
        ("X-Long", "0123456789012345678901234567890123456789"),
    ];
    let mut request = get("/some/path?query", &fields).unwrap();
    request.set_path(b"/other").unwrap();
    let storage: Storage = request.into_storage();
    let before = storage.memory();
    let mut storage = storage;
    storage
        .fields_mut()
        .load(b"Host: a.b\r\nAccept: */*\r\n\r\n", 100)
        .unwrap();
    let parts = Parts {
        method: b"GET",
        target: b"/",
        version: Version::Http11,
        scheme: Scheme::Http,
    };
    let request = Request::build(storage, parts, Options::default()).unwrap();
    assert_eq!(request.into_storage().memory(), before);
}

#[test]
fn a_refusal_gives_the_storage_back() {
    let storage = super::storage(&[HOST, HOST]);
    let before = storage.memory();
    let parts = Parts {
        method: b"GET",
        target: b"/",
        version: Version::Http11,
        scheme: Scheme::Http,
    };
    let (_, storage) = Request::build(storage, parts, Options::default()).unwrap_err();
    assert!(storage.memory() >= before);
}

#[test]
fn cookies_and_query_pairs_come_as_sent() {
    let fields = [
        HOST,
        ("Cookie", "a=1; b = \"x=y\" ;; flag"),
        ("Cookie", "c="),
    ];
    let request = get("/?a=1&&b=%20=&c&=d", &fields).unwrap();
    let text = |(name, value): (&[u8], &[u8])| {
        format!(
            "{}|{}",
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value)
        )
    };
    let cookies: Vec<String> = request.cookies().map(text).collect();
    assert_eq!(cookies, ["a|1", "b|\"x=y\"", "|flag", "c|"]);
    let pairs: Vec<String> = request.query_pairs().map(text).collect();
    assert_eq!(pairs, ["a|1", "b|%20=", "c|", "|d"]);
    assert_eq!(get("/", &[HOST]).unwrap().query_pairs().count(), 0);
}

#[test]
fn max_forwards_counts_for_options_only() {
    let hops = |method, value| {
        build(
            method,
            "/",
            Version::Http11,
            &[HOST, ("Max-Forwards", value)],
        )
        .unwrap()
        .max_forwards()
    };
    assert_eq!(hops("OPTIONS", "3"), Some(3));
    assert_eq!(hops("OPTIONS", "x"), None);
    assert_eq!(hops("GET", "3"), None);
}
