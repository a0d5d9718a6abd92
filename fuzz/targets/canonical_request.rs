// SPDX-License-Identifier: Apache-2.0
//! The canonical request: what is taken is in its one form, and building it again changes nothing.
//!
//! The input is lines: method, target, then `name:value` fields.
use tidegate_request::{Options, Parts, Request, Scheme, Storage, Version};

/// What requests of this kind are made of.
pub const PIECES: &[&[u8]] = &[
    b"GET\n",
    b"OPTIONS\n*\n",
    b"get\n",
    b"/",
    b"/a/./b",
    b"/..",
    b"%2e",
    b"%2F",
    b"%3B",
    b"%5c",
    b"%c0%ae",
    b";x",
    b"//",
    b"?q=%zz&+",
    b"http://u@H.:080/x\n",
    b"\n",
    b"Host:a.b:80\n",
    b"Host:[::ffff:1.2.3.4]\n",
    b"Connection:close, cookie, x-a\n",
    b"Content-Length:5\n",
    b"Transfer-Encoding:chunked\n",
    b"Cookie:a=b; c;=\n",
    b"X-Forwarded-For:1.2.3.4\n",
    b"Content_Length:1\n",
    b"\x80",
    b"\0",
];

/// Judges `data` under every option; whether it was taken.
pub fn run(data: &[u8]) -> bool {
    let mut is_taken = false;
    for (merge_slashes, is_trusted) in [(true, false), (false, true)] {
        let options = Options {
            merge_slashes,
            is_trusted,
            is_proxy: false,
        };
        for version in [Version::Http10, Version::Http11] {
            if let Some(request) = build(data, version, options) {
                is_taken = true;
                is_canonical(&request, merge_slashes);
                set_again(request);
            }
        }
    }
    is_taken
}

fn build(data: &[u8], version: Version, options: Options) -> Option<Request> {
    let mut lines = data.split(|&byte| byte == b'\n');
    let (method, target) = (lines.next()?, lines.next()?);
    let mut storage = Storage::new();
    for line in lines.take(50).filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
        storage.fields_mut().append(name, value).ok()?;
    }
    let parts = Parts {
        method,
        target,
        version,
        scheme: Scheme::Http,
    };
    Request::build(storage, parts, options).ok()
}

fn is_canonical(request: &Request, merge_slashes: bool) {
    let path = request.path();
    assert!(request.is_asterisk() || path.starts_with('/'), "{path}");
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
    assert!(!(merge_slashes && path.contains("//")), "{path}");
    let decoded = path.replace("%2F", "/").replace("%3B", ";");
    for segment in decoded.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        assert_ne!(name, "..", "{path}");
    }
    let host = request.host().unwrap_or_default();
    assert_eq!(host, host.to_ascii_lowercase());
    assert!(!host.ends_with('.'));
    for (name, value) in request.cookies().chain(request.query_pairs()) {
        assert!(!name.contains(&b'\n') && !value.contains(&b'\n'));
    }
}

fn set_again(mut request: Request) {
    let path = request.path().to_owned();
    if request.is_asterisk() {
        return;
    }
    assert!(request.set_path(path.as_bytes()).is_ok(), "{path}");
    assert_eq!(request.path(), path);
    let authority = request.authority().to_owned();
    if !authority.is_empty() {
        assert!(request.set_authority(authority.as_bytes()).is_ok());
        assert_eq!(request.authority(), authority);
    }
}
