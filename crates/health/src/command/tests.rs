// SPDX-License-Identifier: Apache-2.0
use crate::testing::{check, refused};
use tidegate_contract::Probe;

fn asked(command: &str, address: &str) -> String {
    let settings = format!(
        r#"{{"command": {command}, "quick_interval": 1000, "interval": 5000, "timeout": 2000, "healthy_after": 2, "unhealthy_after": 3}}"#
    );
    let Probe::Function { function, body } = check("command", &settings).unwrap().probe(address)
    else {
        panic!("no call")
    };
    assert_eq!(function, "tidegate.commands");
    String::from_utf8(body).unwrap()
}

#[test]
fn the_address_is_filled_in_and_stays_one_argument() {
    let command = r#"["/bin/check", "{address}", "-p{port}", "{host}"]"#;
    assert_eq!(
        asked(command, "10.0.0.1:80"),
        r#"{"command":["/bin/check","10.0.0.1:80","-p80","10.0.0.1"]}"#
    );
    assert_eq!(
        asked(command, "[::1]:80"),
        r#"{"command":["/bin/check","[::1]:80","-p80","::1"]}"#
    );
    assert_eq!(
        asked(command, "unix:/a b; c"),
        r#"{"command":["/bin/check","unix:/a b; c","-p","/a b; c"]}"#
    );
}

#[test]
fn a_command_has_a_program() {
    let settings = r#"{"command": [], "quick_interval": 1000, "interval": 5000, "timeout": 2000, "healthy_after": 2, "unhealthy_after": 3}"#;
    assert!(refused("command", settings).contains("`command` is empty"));
}
