// SPDX-License-Identifier: Apache-2.0
use crate::testing::{check, refused};
use tidegate_contract::{Expected, Heard, Probe, Verdict};

fn settings(path: &str, host: &str, statuses: &str) -> String {
    format!(
        r#"{{"path": "{path}", "host": {host}, "statuses": {statuses},
        "method": "GET", "headers": [], "body": null, "body_within": 65536, "quick_interval": 1000,
        "interval": 5000, "timeout": 2000, "healthy_after": 2, "unhealthy_after": 3}}"#
    )
}

fn answered(status: u16) -> Heard<'static> {
    let body = b"";
    Heard::Response { status, body }
}

fn sent(settings: &str, address: &str) -> String {
    let Probe::Http { bytes, .. } = check("http", settings).unwrap().probe(address) else {
        panic!("a bare connect")
    };
    String::from_utf8(bytes).unwrap()
}

#[test]
fn it_asks_for_the_path_and_closes() {
    let wanted = "GET /healthz?full=1 HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: tidegate-health\r\n\
                  Accept: */*\r\nConnection: close\r\n\r\n";
    assert_eq!(
        sent(
            &settings("/healthz?full=1", "\"shop.test\"", "[200]"),
            "127.0.0.1:80"
        ),
        wanted
    );
}

#[test]
fn without_a_host_it_says_the_address() {
    let settings = settings("/", "null", "[200]");
    assert!(sent(&settings, "127.0.0.1:8080").contains("\r\nHost: 127.0.0.1:8080\r\n"));
    assert!(sent(&settings, "[2001:db8::1]:80").contains("\r\nHost: [2001:db8::1]:80\r\n"));
    assert!(sent(&settings, "unix:/run/shop.sock").contains("\r\nHost: localhost\r\n"));
    assert!(sent(&settings, "a.test:80\r\nX-A: 1").contains("\r\nHost: localhost\r\n"));
}

#[test]
fn only_the_listed_statuses_count_as_well() {
    let check = check("http", &settings("/", "null", "[200, 204]")).unwrap();
    assert_eq!(check.judge(answered(200)), Verdict::Healthy);
    assert_eq!(check.judge(answered(204)), Verdict::Healthy);
    assert_eq!(
        check.judge(answered(503)),
        Verdict::Unhealthy("it answered with status 503".into())
    );
    assert_eq!(
        check.judge(answered(201)),
        Verdict::Unhealthy("it answered with status 201".into())
    );
    assert_eq!(
        check.judge(Heard::Connection),
        Verdict::Unhealthy("it did not answer".into())
    );
}

#[test]
fn the_pace_is_that_of_the_settings() {
    let check = check("http", &settings("/", "null", "[200]")).unwrap();
    assert_eq!((check.interval_ms(), check.timeout_ms()), (5000, 2000));
    assert_eq!((check.healthy_after(), check.unhealthy_after()), (2, 3));
    assert_eq!(check.quick_interval_ms(), 1000);
    let often = settings("/", "null", "[200]").replace("\"interval\": 5000", "\"interval\": 50");
    let check = crate::testing::check("http", &often).unwrap();
    assert_eq!(
        check.quick_interval_ms(),
        50,
        "never slower than the ordinary pace"
    );
    let hasty = settings("/", "null", "[200]").replace("5000", "0");
    assert!(refused("http", &hasty).contains("`interval` is 0"));
}

#[test]
fn what_makes_no_single_request_is_refused() {
    assert!(refused("http", &settings("healthz", "null", "[200]")).contains("begins with `/`"));
    assert!(refused("http", &settings("/a b", "null", "[200]")).contains("make no request"));
    assert!(
        refused("http", &settings("/a\\r\\nX-A: 1", "null", "[200]")).contains("make no request")
    );
    assert!(refused("http", &settings("/", "\"a b\"", "[200]")).contains("make no request"));
    assert!(refused("http", &settings("/", "\"a\\r\\nX-A: 1\"", "[200]")).contains("`host` is"));
    assert!(refused("http", &settings("/", "null", "[]")).contains("`statuses` is empty"));
    assert!(refused("http", "{}").contains("interval"));
}

#[test]
fn method_fields_and_text_are_those_of_the_settings() {
    let settings = settings("/", "null", "[200]")
        .replace("\"GET\"", "\"POST\"")
        .replace(
            "\"headers\": []",
            "\"headers\": [[\"X-Key\", \"k\"], [\"accept\", \"text/plain\"]]",
        )
        .replace("\"body\": null", "\"body\": \"all well\"");
    let wanted = "POST / HTTP/1.1\r\nHost: 127.0.0.1:80\r\nUser-Agent: tidegate-health\r\nX-Key: k\r\n\
                  accept: text/plain\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(sent(&settings, "127.0.0.1:80"), wanted);
    let check = check("http", &settings).unwrap();
    let Probe::Http { is_head, body, .. } = check.probe("h:1") else {
        panic!("no request")
    };
    let text = b"all well".to_vec();
    let within = 65536;
    assert_eq!((is_head, body), (false, Some(Expected { text, within })));
    let judge = |body| check.judge(Heard::Response { status: 200, body });
    assert_eq!(judge(b"yes, all well!"), Verdict::Healthy);
    assert!(matches!(judge(b"all wel"), Verdict::Unhealthy(why) if why.contains("expected text")));
}

#[test]
fn a_field_that_would_frame_the_request_is_refused() {
    for field in [
        "Content-Length",
        "transfer-encoding",
        "Host",
        "Connection",
        "a b",
    ] {
        let headers = format!("\"headers\": [[\"{field}\", \"1\"]]");
        let settings = settings("/", "null", "[200]").replace("\"headers\": []", &headers);
        assert!(
            refused("http", &settings).contains("`headers` cannot have"),
            "{field}"
        );
    }
}

#[test]
fn a_text_counts_within_its_bytes_only() {
    let text = b"ok".to_vec();
    let expected = Expected { text, within: 3 };
    assert!(expected.is_in(b"ok") && expected.is_in(b"aok") && !expected.is_in(b"aaok"));
    assert!(!expected.is_in(b"o") && !expected.is_in(b""));
}
