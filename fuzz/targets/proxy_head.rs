// SPDX-License-Identifier: Apache-2.0
//! The head of the PROXY protocol: what is taken is written again as one that says the same.
use tidegate_net::{LONGEST_PROXY_HEAD, ProxyHead, proxy_binary, proxy_line};

/// What such heads are made of.
pub const PIECES: &[&[u8]] = &[
    b"PROXY ",
    b"TCP4 ",
    b"TCP6 ",
    b"UNKNOWN",
    b"192.0.2.1 ",
    b"::1 ",
    b" 443",
    b"\r\n",
    b"\r\n\r\n\0\r\nQUIT\n",
    b"\x21\x11\0\x0c",
    b"\x21\x21\0\x24",
    b"\x21\x31\0\xd8",
    b"\x20\0\0\0",
    b"\x03\0\x04\0\0\0\0",
    b"\x04\0\0",
    b"\xff",
];

/// Judges `data` as the begin of a connection; whether it begins with a head.
pub fn run(data: &[u8]) -> bool {
    let Ok(Some(head)) = ProxyHead::parse(data) else {
        return false;
    };
    assert!(head.length <= data.len().min(LONGEST_PROXY_HEAD));
    let whole = data.get(..head.length).unwrap_or_default();
    assert_eq!(ProxyHead::parse(whole), Ok(Some(head)));
    // A byte less, and it waits: what was judged does not depend on what comes later.
    let shorter = data.get(..head.length - 1).unwrap_or_default();
    assert_eq!(ProxyHead::parse(shorter), Ok(None));
    for written in [
        proxy_line(head.announced.as_ref()),
        proxy_binary(head.announced.as_ref()),
    ] {
        let again = ProxyHead::parse(&written);
        let again = again.ok().flatten();
        assert_eq!(again.map(|head| head.length), Some(written.len()));
        assert_eq!(again.and_then(|head| head.announced), head.announced);
    }
    true
}
