// SPDX-License-Identifier: Apache-2.0
use super::{HOST, build, get, post, status};
use crate::{Framing, Version};

const TE: &str = "Transfer-Encoding";
const CL: &str = "Content-Length";

#[test]
fn rfc9112_6_3_a_request_without_framing_fields_has_no_content() {
    assert_eq!(post(&[]).unwrap().framing(), Framing::None);
}

#[test]
fn rfc9112_6_3_takes_one_length_or_chunked() {
    assert_eq!(post(&[(CL, "0")]).unwrap().framing(), Framing::Length(0));
    assert_eq!(post(&[(CL, "42")]).unwrap().framing(), Framing::Length(42));
    assert_eq!(post(&[(CL, "007")]).unwrap().framing(), Framing::Length(7));
    assert_eq!(
        post(&[(TE, "chunked")]).unwrap().framing(),
        Framing::Chunked
    );
    assert_eq!(
        post(&[(TE, "CHUNKED")]).unwrap().framing(),
        Framing::Chunked
    );
}

#[test]
fn row_1_and_2_refuses_length_beside_coding_in_either_order() {
    assert_eq!(status(post(&[(CL, "4"), (TE, "chunked")])), 400);
    assert_eq!(status(post(&[(TE, "chunked"), (CL, "4")])), 400);
    assert_eq!(status(post(&[(TE, "identity"), (CL, "4")])), 400);
    assert_eq!(status(post(&[(TE, ""), (CL, "4")])), 400);
}

#[test]
fn row_2_refuses_disguises_of_chunked() {
    let disguises = [
        "xchunked",
        "chunkedx",
        "chunked,",
        ",chunked",
        "chunked, identity",
        "identity",
        "identity, chunked",
        "\"chunked\"",
        "chunked;q=1",
        "chunked chunked",
        "chunked, chunked",
        "chunked\tx",
        "",
        "chunk",
        "cow",
        "chunked,gzip",
        "gzip",
        "gzip,, chunked",
        "x, chunked",
    ];
    for disguise in disguises {
        assert_eq!(status(post(&[(TE, disguise)])), 400, "{disguise:?}");
    }
}

#[test]
fn row_3_refuses_coding_twice() {
    assert_eq!(status(post(&[(TE, "identity"), (TE, "chunked")])), 400);
    assert_eq!(status(post(&[(TE, "chunked"), (TE, "chunked")])), 400);
    assert_eq!(status(post(&[(TE, "gzip"), (TE, "chunked")])), 400);
}

#[test]
fn rfc9112_6_1_another_coding_under_chunked_is_not_implemented() {
    for coding in [
        "gzip, chunked",
        "gzip,chunked",
        "Deflate , chunked",
        "gzip, compress, chunked",
    ] {
        assert_eq!(status(post(&[(TE, coding)])), 501, "{coding:?}");
    }
}

#[test]
fn rfc9112_6_1_refuses_coding_in_http_1_0() {
    assert_eq!(
        status(build("POST", "/", Version::Http10, &[(TE, "chunked")])),
        400
    );
}

#[test]
fn row_4_frames_content_of_every_method() {
    for method in ["OPTIONS", "GET", "HEAD", "DELETE", "PROPFIND", "get"] {
        let request = build(method, "/", Version::Http11, &[HOST, (TE, "chunked")]).unwrap();
        assert_eq!(request.framing(), Framing::Chunked, "{method}");
        let request = build(method, "/", Version::Http11, &[HOST, (CL, "9")]).unwrap();
        assert_eq!(request.framing(), Framing::Length(9), "{method}");
    }
}

#[test]
fn rfc9110_8_6_refuses_lengths_that_are_no_number() {
    let bad = [
        "",
        "+4",
        "-4",
        "0x4",
        "4,",
        "4, 4",
        "4 4",
        "4.0",
        "4\t4",
        "four",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999",
        "00000000000000000004",
    ];
    for length in bad {
        assert_eq!(status(post(&[(CL, length)])), 400, "{length:?}");
    }
    let largest = post(&[(CL, "9223372036854775807")]).unwrap();
    assert_eq!(largest.framing(), Framing::Length(i64::MAX as u64));
}

#[test]
fn rfc9110_8_6_refuses_lengths_given_twice_even_if_equal() {
    assert_eq!(status(post(&[(CL, "4"), (CL, "5")])), 400);
    assert_eq!(status(post(&[(CL, "4"), ("content-length", "4")])), 400);
}

#[test]
fn row_5_refuses_other_expectations() {
    for expectation in [
        "100-continue, x",
        "y 100-continue",
        "100-continuex",
        "",
        "200-ok",
    ] {
        assert_eq!(
            status(post(&[("Expect", expectation)])),
            417,
            "{expectation:?}"
        );
    }
    assert_eq!(
        status(post(&[
            ("Expect", "100-continue"),
            ("Expect", "100-continue")
        ])),
        417
    );
}

#[test]
fn rfc9110_10_1_1_expects_continue_only_before_content_in_http_1_1() {
    let expect = ("Expect", "100-Continue");
    assert!(post(&[expect, (CL, "4")]).unwrap().expects_continue());
    assert!(post(&[expect, (TE, "chunked")]).unwrap().expects_continue());
    assert!(!post(&[expect, (CL, "0")]).unwrap().expects_continue());
    assert!(!post(&[expect]).unwrap().expects_continue());
    let old = build("POST", "/", Version::Http10, &[expect, (CL, "4")]).unwrap();
    assert!(!old.expects_continue());
}

#[test]
fn row_15_refuses_an_upgrade_with_content() {
    let upgrade = [HOST, ("Connection", "upgrade"), ("Upgrade", "websocket")];
    assert_eq!(
        get("/", &upgrade).unwrap().upgrade(),
        Some(&b"websocket"[..])
    );
    assert_eq!(
        status(get("/", &[&upgrade[..], &[(CL, "4")]].concat())),
        400
    );
    assert_eq!(
        status(get("/", &[&upgrade[..], &[(TE, "chunked")]].concat())),
        400
    );
    assert!(
        get("/", &[&upgrade[..], &[(CL, "0")]].concat())
            .unwrap()
            .upgrade()
            .is_some()
    );
}

#[test]
fn rfc9110_7_8_ignores_upgrades_that_are_not_passed_on() {
    let ignored: [&[(&str, &str)]; 6] = [
        &[
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", "h2c"),
            (CL, "4"),
        ],
        &[("Connection", "upgrade"), ("Upgrade", "H2C")],
        &[("Connection", "upgrade"), ("Upgrade", "websocket, h2c")],
        &[
            ("Connection", "upgrade"),
            ("Upgrade", "websocket"),
            ("Upgrade", "h2c"),
        ],
        &[("Upgrade", "websocket")],
        &[("Connection", "upgrade"), ("Upgrade", "")],
    ];
    for fields in ignored {
        assert_eq!(post(fields).unwrap().upgrade(), None, "{fields:?}");
    }
    let old = [("Connection", "upgrade"), ("Upgrade", "websocket")];
    assert_eq!(
        build("GET", "/", Version::Http10, &old).unwrap().upgrade(),
        None
    );
}
