// SPDX-License-Identifier: Apache-2.0
//! A snapshot's delta and the resources in it: read or refused, and what was read is written as the same.
use serde_json::from_str;
use std::collections::BTreeMap;
use tidegate_config::{
    Backend, Delta, Function, GatewaySettings, Kind, L4Route, Listener, Route, RouteOrder, filled,
};

/// What deltas are made of.
pub const PIECES: &[&[u8]] = &[
    br#"{"schema":3,"base":0,"number":1,"set":["#,
    br#"],"secrets":[],"remove":[],"endpoints":[]}"#,
    br#"{"kind":"route","name":"a","values":{"env:A":"b"}}"#,
    br#"{"secret":"env:A"}"#,
    br#"{"kind":"route","name":"a","hash":"b","value":"#,
    br#"{"kind":"route_order","name":"routes","hash":"b","value":{"names":["a"],"l4":["c"]}}"#,
    br#"["backend","b"]"#,
    br#"{"backend":"b","sequence":1,"endpoints":[]}"#,
    br#"{"address":"h:1","weight":1,"zone":null,"draining":false,"priority":0,"found_by":"configuration"}"#,
    br#""names":["a"]"#,
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"null",
    b"true",
    b"1",
    b"-1",
    b"1e400",
    b"18446744073709551616",
    br#""\ud800""#,
    b"\x80",
];

/// Judges `data` as what control sent; whether it was taken.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else {
        return false;
    };
    // Each kind alone, so that a field's reader is reached without a whole delta around it.
    drop((
        from_str::<GatewaySettings>(text),
        from_str::<Listener>(text),
        from_str::<Backend>(text),
        from_str::<Route>(text),
        from_str::<RouteOrder>(text),
        from_str::<Function>(text),
    ));
    let Ok(delta) = from_str::<Delta>(text) else {
        return false;
    };
    for resource in &delta.set {
        let own = delta
            .secrets
            .iter()
            .find(|set| set.kind == resource.kind && set.name == resource.name);
        let Ok(value) = filled(resource, own.map_or(&BTreeMap::new(), |set| &set.values)) else {
            continue;
        };
        let value = value.get();
        match resource.kind {
            Kind::Gateway => drop(from_str::<GatewaySettings>(value)),
            Kind::Listener => drop(from_str::<Listener>(value)),
            Kind::Backend => drop(from_str::<Backend>(value)),
            Kind::Route => drop(from_str::<Route>(value)),
            Kind::L4Route => drop(from_str::<L4Route>(value)),
            Kind::RouteOrder => drop(from_str::<RouteOrder>(value)),
            Kind::Function => drop(from_str::<Function>(value)),
            // What a policy's room reads, which knows its form.
            Kind::Data => {}
        }
    }
    let written = serde_json::to_string(&delta);
    assert!(written.is_ok());
    let written = written.unwrap_or_default();
    let again = from_str::<Delta>(&written).and_then(|again| serde_json::to_string(&again));
    assert_eq!(again.ok().as_deref(), Some(&*written));
    true
}
