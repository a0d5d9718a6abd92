// SPDX-License-Identifier: Apache-2.0
//! What the rooms' tests share.
use crate::build;
use serde_json::value::RawValue;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tidegate_config::PolicyUse;
use tidegate_contract::{Client, Exchange, Filter};
use tidegate_request::{Fields, Options, Parts, Request, Scheme, Storage, Version};

/// Builds the filter of a room from JSON.
pub(crate) fn filter(kind: &str, settings: &str) -> Result<Arc<dyn Filter>, String> {
    build(&PolicyUse {
        kind: kind.into(),
        settings: RawValue::from_string(settings.into()).unwrap(),
        name: None,
        when: None,
        shadow: false,
        continues: false,
        data: Default::default(),
    })
}

/// What is wrong with the settings of a room.
#[track_caller]
pub(crate) fn refused(kind: &str, settings: &str) -> String {
    filter(kind, settings).err().unwrap()
}

/// Fields in this order.
pub(crate) fn fields(list: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in list {
        fields.append(name.as_bytes(), value.as_bytes()).unwrap();
    }
    fields
}

/// A GET with these fields.
pub(crate) fn exchange(list: &[(&str, &str)]) -> Exchange {
    let mut storage = Storage::new();
    *storage.fields_mut() = fields(list);
    let parts = Parts {
        method: b"GET",
        target: b"/",
        version: Version::Http11,
        scheme: Scheme::Http,
    };
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Exchange {
        request: Request::build(storage, parts, Options::default()).unwrap(),
        client: Client {
            address,
            peer: address,
            port: 1,
            is_trusted: false,
        },
        listener: Some("web".into()),
        tls: "",
        certificate: None,
        identity: None,
        route: "r".into(),
        parameters: vec![],
        request_id: "0".repeat(26),
        received: 0,
        body: None,
        left_out: Vec::new(),
        would_answer: Vec::new(),
        kept: vec![],
    }
}

/// Names and values of all fields, in order.
pub(crate) fn listed(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    fields
        .iter()
        .map(|field| (text(field.name), text(field.value)))
        .collect()
}
