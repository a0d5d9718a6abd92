// SPDX-License-Identifier: Apache-2.0
use crate::testing::{exchange, filter, refused};
use std::sync::Arc;
use tidegate_contract::{Exchange, Flow};
use tidegate_core::{ClientCertificate, NameKind};

fn shown(names: &[(NameKind, &str)]) -> Exchange {
    let mut exchange = exchange(&[("Host", "a.test")]);
    let names = names.iter().map(|(kind, name)| (*kind, (*name).to_owned()));
    exchange.certificate = Some(Arc::new(ClientCertificate {
        subject: "CN=cart,O=Shop".into(),
        names: names.collect(),
        serial: "0a".into(),
        fingerprint: "ff".into(),
        chain: vec![],
    }));
    exchange
}

/// Who calls, or the status of the refusal.
#[track_caller]
fn asked(settings: &str, exchange: &mut Exchange) -> Result<String, u16> {
    let filter = filter("mtls", settings).unwrap();
    match filter.request(exchange, 0) {
        Flow::Continue => {}
        Flow::Respond(answer) => return Err(answer.status),
        Flow::Wait(_) => panic!("it asks nobody"),
    }
    Ok(exchange.identity.as_ref().unwrap().subject.clone())
}

const DNS: (NameKind, &str) = (NameKind::Dns, "cart.shop.test");
const URI: (NameKind, &str) = (NameKind::Uri, "spiffe://shop/cart");

#[test]
fn who_it_is_is_what_was_asked_for() {
    for (settings, is) in [
        (r#"{"names":[],"subject":"name"}"#, "cart.shop.test"),
        (
            r#"{"names":["spiffe://shop/*"],"subject":"name"}"#,
            "spiffe://shop/cart",
        ),
        (
            r#"{"names":[],"subject":"distinguished_name"}"#,
            "CN=cart,O=Shop",
        ),
        (r#"{"names":["*.shop.test"],"subject":"fingerprint"}"#, "ff"),
    ] {
        assert_eq!(asked(settings, &mut shown(&[DNS, URI])), Ok(is.into()));
    }
    let mut exchange = shown(&[DNS, URI]);
    asked(r#"{"names":[],"subject":"name"}"#, &mut exchange).unwrap();
    let identity = exchange.identity.unwrap();
    assert_eq!(identity.scheme, "mtls");
    assert_eq!(identity.claims()["names"][1], "uri=spiffe://shop/cart");
    assert_eq!(identity.claims()["serial"], "0a");
}

#[test]
fn nobody_is_let_in_without_a_certificate_that_names_him() {
    let any = r#"{"names":[],"subject":"name"}"#;
    assert_eq!(asked(any, &mut exchange(&[("Host", "a.test")])), Err(403));
    assert_eq!(asked(any, &mut shown(&[])), Err(403));
    let named = r#"{"names":["*.shop.test"],"subject":"fingerprint"}"#;
    assert_eq!(asked(named, &mut shown(&[])), Err(403));
    assert_eq!(asked(named, &mut shown(&[URI])), Err(403));
    // What is a name of another kind is another name.
    assert_eq!(
        asked(named, &mut shown(&[(NameKind::Uri, "cart.shop.test")])),
        Err(403)
    );
}

#[test]
fn a_name_that_is_none_is_refused() {
    assert!(refused("mtls", r#"{"names":["a b"],"subject":"name"}"#).contains("is no name"));
}
