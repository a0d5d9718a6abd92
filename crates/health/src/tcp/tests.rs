// SPDX-License-Identifier: Apache-2.0
use crate::testing::{check, refused};
use tidegate_contract::{Expected, Heard, Probe, Verdict};

const SETTINGS: &str = r#"{"interval": 5000, "timeout": 2000, "healthy_after": 2, "unhealthy_after": 3,
    "quick_interval": 1000, "send": null, "expect": null, "expect_within": 4096,
    "tls": true}"#;

#[test]
fn a_connection_is_all_it_asks_for() {
    let check = check("tcp", SETTINGS).unwrap();
    assert_eq!(check.probe("127.0.0.1:80"), Probe::Connect);
    assert_eq!(check.judge(Heard::Connection), Verdict::Healthy);
    assert!(check.speaks_tls());
    let settings = SETTINGS.replace("\"tls\": true", "\"tls\": false");
    let check = crate::testing::check("tcp", &settings).unwrap();
    assert!(!check.speaks_tls());
}

#[test]
fn the_pace_is_that_of_the_settings() {
    let check = check("tcp", SETTINGS).unwrap();
    assert_eq!((check.interval_ms(), check.timeout_ms()), (5000, 2000));
    assert_eq!((check.healthy_after(), check.unhealthy_after()), (2, 3));
}

#[test]
fn a_pace_of_nothing_is_refused() {
    for name in ["interval", "timeout", "healthy_after", "unhealthy_after"] {
        let value = SETTINGS.split(name).nth(1).unwrap();
        let digits: String = value
            .chars()
            .skip(3)
            .take_while(char::is_ascii_digit)
            .collect();
        let settings =
            SETTINGS.replace(&format!("\"{name}\": {digits}"), &format!("\"{name}\": 0"));
        let error = refused("tcp", &settings);
        assert!(
            error.starts_with(&format!("tcp: `{name}` is 0; write")),
            "{error}"
        );
    }
    assert!(refused("tcp", "{}").contains("interval"));
}

#[test]
fn it_sends_and_waits_for_a_text_if_told_to() {
    let settings = SETTINGS
        .replace("\"send\": null", "\"send\": \"PING\\r\\n\"")
        .replace("\"expect\": null", "\"expect\": \"+PONG\"");
    let check = check("tcp", &settings).unwrap();
    let text = Expected {
        text: b"+PONG".to_vec(),
        within: 4096,
    };
    let bytes = b"PING\r\n".to_vec();
    assert_eq!(check.probe("h:1"), Probe::Exchange { bytes, text });
    assert_eq!(check.judge(Heard::Bytes(b"+PONG\r\n")), Verdict::Healthy);
    assert!(matches!(
        check.judge(Heard::Bytes(b"-ERR")),
        Verdict::Unhealthy(_)
    ));
}
