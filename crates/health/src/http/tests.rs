// SPDX-License-Identifier: Apache-2.0
use crate::testing::{check, refused};
use tidegate_contract::{Probe, Verdict};

fn settings(path: &str, host: &str, statuses: &str) -> String {
    format!(
        r#"{{"path": "{path}", "host": {host}, "statuses": {statuses},
        "interval": 5000, "timeout": 2000, "healthy_after": 2, "unhealthy_after": 3}}"#
    )
}

fn sent(settings: &str, address: &str) -> String {
    let Probe::Http { bytes } = check("http", settings).unwrap().probe(address) else {
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
    assert_eq!(check.judge(Some(200)), Verdict::Healthy);
    assert_eq!(check.judge(Some(204)), Verdict::Healthy);
    assert_eq!(
        check.judge(Some(503)),
        Verdict::Unhealthy("it answered with status 503".into())
    );
    assert_eq!(
        check.judge(Some(201)),
        Verdict::Unhealthy("it answered with status 201".into())
    );
    assert_eq!(
        check.judge(None),
        Verdict::Unhealthy("it did not answer".into())
    );
}

#[test]
fn the_pace_is_that_of_the_settings() {
    let check = check("http", &settings("/", "null", "[200]")).unwrap();
    assert_eq!((check.interval_ms(), check.timeout_ms()), (5000, 2000));
    assert_eq!((check.healthy_after(), check.unhealthy_after()), (2, 3));
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
    assert!(refused("http", "{}").contains("path"));
}
