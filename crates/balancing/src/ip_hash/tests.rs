// SPDX-License-Identifier: Apache-2.0
use super::{IpHash, Settings};
use crate::build;
use crate::by_key::ByKey;
use crate::testing::{all, endpoints, homes, tally};
use serde_json::value::RawValue;
use tidegate_config::Room;
use tidegate_contract::{Balancer, Candidates, KeyOf};

fn ip_hash() -> ByKey<IpHash> {
    let settings = Settings {
        ipv4_prefix: 24,
        ipv6_prefix: 64,
    };
    ByKey(IpHash::new(&settings).unwrap())
}

#[test]
fn the_key_is_as_much_of_the_address_as_said() {
    let key = KeyOf::Client { ipv4: 24, ipv6: 64 };
    assert_eq!(ip_hash().key_of(), key);
}

#[test]
fn clients_are_spread_by_weight_and_stay() {
    let endpoints = endpoints(&[1, 2, 3, 4]);
    let usable = all(&endpoints);
    let candidates = Candidates::new(&endpoints, &usable);
    let state = ip_hash().new_state();
    let first = homes(&ip_hash(), &*state, &candidates, 100_000);
    assert_eq!(first, homes(&ip_hash(), &*state, &candidates, 100_000));
    let counts = tally(&first, 4);
    for (count, share) in counts.iter().zip([10_000.0, 20_000.0, 30_000.0, 40_000.0]) {
        assert!((*count as f64 - share).abs() < 0.05 * share, "{counts:?}");
    }
}

#[test]
fn settings_are_checked() {
    let room = |settings: &str| Room {
        kind: "ip_hash".into(),
        settings: RawValue::from_string(settings.into()).unwrap(),
    };
    assert!(build(&room(r#"{"ipv4_prefix": 0, "ipv6_prefix": 128}"#)).is_ok());
    for settings in [
        r#"{"ipv4_prefix": 33, "ipv6_prefix": 64}"#,
        r#"{"ipv4_prefix": 32, "ipv6_prefix": 129}"#,
    ] {
        assert!(build(&room(settings)).err().unwrap().contains("at most 32"));
    }
    assert!(build(&room("{}")).err().unwrap().contains("ipv4_prefix"));
}
