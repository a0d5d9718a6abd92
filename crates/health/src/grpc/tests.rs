// SPDX-License-Identifier: Apache-2.0
use super::answer::{Serving, answer, question};
use crate::testing::{check, refused};
use tidegate_contract::{Heard, Probe, Verdict};
use tidegate_core::GrpcCode;

fn settings(service: &str, host: &str) -> String {
    format!(
        r#"{{"service": {service}, "host": {host}, "quick_interval": 1000, "interval": 5000,
        "timeout": 2000, "healthy_after": 2, "unhealthy_after": 3}}"#
    )
}

fn message(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    [&[0], length.to_be_bytes().as_slice(), content].concat()
}

fn told(code: u8, body: &[u8]) -> String {
    let check = check("grpc", &settings("\"shop.v1.Cart\"", "null")).unwrap();
    let heard = Heard::Call {
        status: 200,
        code: Some(GrpcCode::new(code)),
        body,
    };
    match check.judge(heard) {
        Verdict::Healthy => "well".into(),
        Verdict::Unhealthy(why) => why,
    }
}

#[test]
fn it_asks_the_health_service() {
    let sent = |service: &str, host: &str, address: &str| {
        let probe = check("grpc", &settings(service, host))
            .unwrap()
            .probe(address);
        let Probe::Call { bytes, .. } = probe else {
            panic!("no call")
        };
        bytes
    };
    let head = |host: &str| {
        format!(
            "POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: {host}\r\n\
             Content-Type: application/grpc\r\nTE: trailers\r\nUser-Agent: tidegate-health\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        )
    };
    let whole = [
        head("127.0.0.1:80").as_bytes(),
        b"5\r\n\0\0\0\0\0\r\n0\r\n\r\n",
    ]
    .concat();
    assert_eq!(sent("null", "null", "127.0.0.1:80"), whole);
    let of_service = [
        head("shop.test").as_bytes(),
        b"a\r\n\0\0\0\0\x05\x0a\x03a.B\r\n0\r\n\r\n",
    ]
    .concat();
    assert_eq!(sent("\"a.B\"", "\"shop.test\"", "127.0.0.1:80"), of_service);
    assert!(
        sent("null", "null", "unix:/run/a.sock").starts_with(head("localhost").as_bytes()),
        "a Unix socket has no name"
    );
}

#[test]
fn serving_is_well_and_all_else_says_why_not() {
    assert_eq!(told(0, &message(&[8, 1])), "well");
    for (code, body, why) in [
        (0, message(&[8, 2]), "does not serve (NOT_SERVING)"),
        (
            0,
            message(&[8, 3]),
            "know the service `shop.v1.Cart` (SERVICE_UNKNOWN)",
        ),
        (0, message(&[8, 0]), "is not known (UNKNOWN)"),
        (0, message(&[]), "is not known (UNKNOWN)"),
        (0, message(&[8, 4]), "has no name"),
        (0, vec![], "has no message"),
        (
            5,
            vec![],
            "does not know the service `shop.v1.Cart` (not_found)",
        ),
        (12, vec![], "has no health service"),
        (16, vec![], "may not be asked by us (unauthenticated)"),
        (14, vec![], "answered unavailable"),
        (14, message(&[8, 1]), "answered unavailable"),
        (99, vec![], "answered unknown"),
    ] {
        assert!(
            told(code, &body).contains(why),
            "{code}: {}",
            told(code, &body)
        );
    }
    let check = check("grpc", &settings("null", "null")).unwrap();
    let judged = |status, code| {
        check.judge(Heard::Call {
            status,
            code,
            body: b"",
        })
    };
    assert!(matches!(judged(404, None), Verdict::Unhealthy(why) if why.contains("status 404")));
    assert!(matches!(judged(200, None), Verdict::Unhealthy(why) if why.contains("no grpc-status")));
    assert!(matches!(
        check.judge(Heard::Connection),
        Verdict::Unhealthy(_)
    ));
}

#[test]
fn an_answer_is_one_whole_message_whatever_else_is_in_it() {
    let many = [
        0x12, 2, 8, 2, // field 2, bytes that look like a status
        0x19, 1, 2, 3, 4, 5, 6, 7, 8, // field 3, eight bytes
        0x25, 1, 2, 3, 4, // field 4, four bytes
        0x08, 0x82, 0x00, // field 1, 2 in two bytes
        0xf8, 0xff, 0xff, 0xff, 0x0f, 9, // a field of a high number
        0x08, 1,
    ];
    assert_eq!(
        answer(&message(&many)),
        Ok(Serving::Yes),
        "the last one counts"
    );
    let whole = message(&many);
    for end in 0..whole.len() {
        assert!(answer(&whole[..end]).is_err(), "cut at {end}");
    }
    for broken in [
        message(&[8]),
        message(&[8, 0x80]),
        message(&[
            8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ]),
        message(&[0, 1]),
        message(&[0x0b]),
        message(&[0x0f, 1]),
        message(&[
            0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ]),
        message(&[0x19, 1]),
        message(&[0x25, 1]),
        [message(&[8, 1]), vec![0]].concat(),
        [message(&[8, 1]), message(&[8, 1])].concat(),
        vec![1, 0, 0, 0, 2, 8, 1],
        vec![0, 0xff, 0xff, 0xff, 0xff, 8, 1],
    ] {
        assert!(answer(&broken).is_err(), "{broken:?}");
    }
    assert_eq!(
        answer(&message(&[0x0a, 1, 1])),
        Ok(Serving::Unknown),
        "no number"
    );
}

#[test]
fn a_long_name_has_a_long_length() {
    let name = "a".repeat(300);
    let asked = question(&name);
    assert_eq!(asked[..8], [0, 0, 0, 1, 0x2f, 0x0a, 0xac, 2]);
    assert_eq!(asked.len(), 5 + 3 + 300);
}

#[test]
fn what_makes_no_request_is_refused() {
    assert!(refused("grpc", &settings("null", "\"a\\r\\nX-A: 1\"")).contains("`host` is"));
    assert!(refused("grpc", "{}").contains("interval"));
    let hasty = settings("null", "null").replace("5000", "0");
    assert!(refused("grpc", &hasty).contains("`interval` is 0"));
}
