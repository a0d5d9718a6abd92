// SPDX-License-Identifier: Apache-2.0
use crate::testing::{check, refused};
use tidegate_contract::{Heard, Probe, Verdict};

const SETTINGS: &str = r#"{"interval": 5000, "timeout": 2000, "healthy_after": 2, "unhealthy_after": 3,
    "quick_interval": 1000, "send": "hex:00ff", "expect": null}"#;

#[test]
fn it_sends_bytes_and_any_answer_will_do() {
    let check = check("udp", SETTINGS).unwrap();
    let bytes = vec![0, 0xff];
    assert_eq!(check.probe("h:1"), Probe::Datagram { bytes });
    assert_eq!(check.judge(Heard::Bytes(b"")), Verdict::Healthy);
    assert!(!check.speaks_tls());
}

#[test]
fn an_answer_must_have_what_is_expected() {
    let settings = SETTINGS.replace("\"expect\": null", "\"expect\": \"ok\"");
    let check = check("udp", &settings).unwrap();
    assert_eq!(check.judge(Heard::Bytes(b"is ok.")), Verdict::Healthy);
    assert!(matches!(
        check.judge(Heard::Bytes(b"o")),
        Verdict::Unhealthy(_)
    ));
}

#[test]
fn what_are_no_bytes_is_refused() {
    let settings = SETTINGS.replace("hex:00ff", "hex:0");
    assert_eq!(refused("udp", &settings), "udp: `hex:0` are no bytes");
}
