// SPDX-License-Identifier: Apache-2.0
use super::{respond, status, storage, texts};
use crate::{FieldId, Fields, Method, Response, ResponseFraming, Version};

const TE: &str = "Transfer-Encoding";
const CL: &str = "Content-Length";

#[test]
fn rfc9112_6_3_frames_by_coding_length_or_close() {
    let framing = |fields: &[(&str, &str)]| respond(200, Method::Get, fields).unwrap().framing();
    assert_eq!(framing(&[(CL, "5")]), ResponseFraming::Length(5));
    assert_eq!(framing(&[(TE, "Chunked")]), ResponseFraming::Chunked);
    assert_eq!(framing(&[]), ResponseFraming::Close);
}

#[test]
fn row_18_refuses_contradicting_or_malformed_framing() {
    let bad: [&[(&str, &str)]; 10] = [
        &[(CL, "5"), (TE, "chunked")],
        &[(CL, "5"), (CL, "6")],
        &[(CL, "5"), (CL, "5")],
        &[(CL, "5, 5")],
        &[(CL, "-5")],
        &[(CL, "")],
        &[(TE, "gzip, chunked")],
        &[(TE, "identity")],
        &[(TE, "chunked"), (TE, "chunked")],
        &[(TE, "")],
    ];
    for fields in bad {
        assert_eq!(status(respond(200, Method::Get, fields)), 502, "{fields:?}");
        assert_eq!(
            status(respond(200, Method::Head, fields)),
            502,
            "{fields:?} to HEAD"
        );
    }
    let old = Response::build(
        storage(&[(TE, "chunked")]),
        200,
        Version::Http10,
        Method::Get,
    );
    assert_eq!(status(old.map_err(|(reject, _)| reject)), 502);
}

#[test]
fn row_18_refuses_a_status_that_is_none() {
    for code in [0, 99, 600, 999] {
        assert_eq!(
            status(respond(code, Method::Get, &[(CL, "0")])),
            502,
            "{code}"
        );
    }
}

#[test]
fn row_19_head_1xx_204_and_304_have_no_content_whatever_they_say() {
    for fields in [&[(CL, "5")][..], &[(TE, "chunked")], &[]] {
        for (code, method) in [
            (200, Method::Head),
            (100, Method::Get),
            (204, Method::Get),
            (304, Method::Get),
        ] {
            let response = respond(code, method, fields).unwrap();
            assert_eq!(
                response.framing(),
                ResponseFraming::None,
                "{code} {fields:?}"
            );
            assert!(response.keep_alive());
        }
    }
    assert_eq!(
        respond(304, Method::Get, &[(CL, "5")])
            .unwrap()
            .declared_length(),
        Some(5)
    );
}

#[test]
fn rfc9112_9_3_a_response_until_close_ends_the_connection() {
    let keeps = |version, fields: &[(&str, &str)]| {
        Response::build(storage(fields), 200, version, Method::Get)
            .unwrap()
            .keep_alive()
    };
    assert!(keeps(Version::Http11, &[(CL, "0")]));
    assert!(!keeps(Version::Http11, &[]));
    assert!(!keeps(
        Version::Http11,
        &[(CL, "0"), ("Connection", "close")]
    ));
    assert!(!keeps(Version::Http10, &[(CL, "0")]));
    assert!(keeps(
        Version::Http10,
        &[(CL, "0"), ("Connection", "keep-alive")]
    ));
}

#[test]
fn what_runs_at_the_origin_server_is_not_told() {
    let fields = [
        ("Server", "Werkzeug"),
        ("x-powered-by", "PHP"),
        ("Connection", "x-hop"),
        ("X-Hop", "1"),
        ("X-A", "1"),
    ];
    let mut response = respond(200, Method::Get, &fields).unwrap();
    response.hide_product();
    let names: Vec<String> = texts(response.fields())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["Connection", "X-A"]);
}

#[test]
fn a_filter_may_say_what_server_this_is() {
    let mut response = respond(200, Method::Get, &[("Server", "Werkzeug")]).unwrap();
    response.fields_mut().set(b"Server", b"ours").unwrap();
    assert_eq!(response.fields().get(FieldId::Server), Some(&b"ours"[..]));
}

#[test]
fn rfc9110_15_2_1xx_is_interim_but_101_is_final() {
    assert!(respond(103, Method::Get, &[]).unwrap().is_informational());
    assert!(!respond(101, Method::Get, &[]).unwrap().is_informational());
    assert!(!respond(200, Method::Get, &[]).unwrap().is_informational());
    let switch = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    assert_eq!(
        respond(101, Method::Get, &switch).unwrap().upgrade(),
        Some(&b"websocket"[..])
    );
    assert_eq!(
        respond(101, Method::Get, &switch[1..]).unwrap().upgrade(),
        None
    );
    assert_eq!(respond(200, Method::Get, &switch).unwrap().upgrade(), None);
}

#[test]
fn a_local_response_has_content_only_where_it_may() {
    let framing = |code, method| Response::local(code, Fields::new(), 7, method).framing();
    assert_eq!(framing(200, Method::Get), ResponseFraming::Length(7));
    assert_eq!(framing(200, Method::Head), ResponseFraming::None);
    assert_eq!(framing(304, Method::Get), ResponseFraming::None);
    assert_eq!(
        Response::local(200, Fields::new(), 7, Method::Head).declared_length(),
        Some(7)
    );
    assert_eq!(
        Response::local(204, Fields::new(), 0, Method::Get).declared_length(),
        None
    );
}

#[test]
fn a_status_is_replaced_only_by_one_with_the_same_framing() {
    let mut response = respond(200, Method::Get, &[(CL, "5")]).unwrap();
    assert!(response.set_status(404));
    for code in [100, 204, 304, 600] {
        assert!(!response.set_status(code), "{code}");
    }
    assert_eq!(response.status(), 404);
    assert!(!respond(304, Method::Get, &[]).unwrap().set_status(200));
}

#[test]
fn replaced_content_is_framed_anew() {
    let mut response = respond(200, Method::Get, &[(CL, "5")]).unwrap();
    response.set_framing(ResponseFraming::Length(9));
    assert_eq!(
        (response.framing(), response.declared_length()),
        (ResponseFraming::Length(9), None)
    );
    let mut head = respond(200, Method::Head, &[(CL, "5")]).unwrap();
    head.set_framing(ResponseFraming::Chunked);
    assert_eq!(
        (head.framing(), head.declared_length()),
        (ResponseFraming::None, Some(5))
    );
}
