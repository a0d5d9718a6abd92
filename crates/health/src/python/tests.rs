// SPDX-License-Identifier: Apache-2.0
use crate::testing::check;
use tidegate_contract::{Heard, Probe, Verdict};

const SETTINGS: &str = r#"{"function": "lag", "quick_interval": 1000, "interval": 5000, "timeout": 2000, "healthy_after": 2, "unhealthy_after": 3}"#;

#[test]
fn it_asks_the_function_for_the_address() {
    let check = check("python", SETTINGS).unwrap();
    let wanted = Probe::Function {
        function: "lag".into(),
        body: br#"{"address":"10.0.0.1:80"}"#.to_vec(),
    };
    assert_eq!(check.probe("10.0.0.1:80"), wanted);
}

#[test]
fn its_answer_is_the_verdict() {
    let check = check("python", SETTINGS).unwrap();
    let judge = |status, body| check.judge(Heard::Response { status, body });
    assert_eq!(judge(204, b""), Verdict::Healthy);
    assert_eq!(
        judge(503, b"lag\n of 9 s"),
        Verdict::Unhealthy("lag of 9 s".into())
    );
    assert!(matches!(
        check.judge(Heard::Connection),
        Verdict::Unhealthy(_)
    ));
}
