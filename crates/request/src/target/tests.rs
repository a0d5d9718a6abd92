// SPDX-License-Identifier: Apache-2.0
use super::{canonical_authority, canonical_host, canonical_path};
use crate::{FieldId, Scheme};
use proptest::prelude::*;

fn canon(path: &str, merge_slashes: bool) -> Option<String> {
    let mut out = Vec::new();
    canonical_path(path.as_bytes(), merge_slashes, &mut out).ok()?;
    Some(String::from_utf8(out).unwrap())
}

#[test]
fn rfc3986_6_2_2_brings_paths_into_one_form() {
    let canonical = [
        ("/", "/"),
        ("/a/b.c/d-e_f~g", "/a/b.c/d-e_f~g"),
        ("/%7Euser/%41%2d%2E%5f", "/~user/A-._"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%2Fb/%c3%a9%3b%20", "/a%2Fb/%C3%A9%3B%20"),
        ("/a;b=c,d/e:f@g!$&'()*+=", "/a;b=c,d/e:f@g!$&'()*+="),
        ("/a//b///c", "/a/b/c"),
        ("//", "/"),
        ("//admin", "/admin"),
        ("/a/", "/a/"),
        ("/a//", "/a/"),
        ("/./a/./b/.", "/a/b/"),
        ("/.", "/"),
        ("/%2e/a", "/a"),
        ("/a/.//./b", "/a/b"),
        ("/...", "/..."),
        ("/..a/a../.a/a.", "/..a/a../.a/a."),
        ("/.well-known/x", "/.well-known/x"),
        ("/;jsessionid=1", "/;jsessionid=1"),
        ("/a/;x", "/a/;x"),
        ("/a\"<>[]^`{|}", "/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
        ("/%252e%252e/", "/%252e%252e/"),
        ("/a%25", "/a%25"),
        ("/a.%2Fb", "/a.%2Fb"),
    ];
    for (path, expected) in canonical {
        assert_eq!(canon(path, true).as_deref(), Some(expected), "{path:?}");
    }
}

#[test]
fn empty_segments_stay_where_slashes_are_not_merged() {
    let canonical = [
        ("/a//b", "/a//b"),
        ("//", "//"),
        ("/a/.//b", "/a//b"),
        ("//./", "//"),
        ("/./", "/"),
        ("/a/./", "/a/"),
    ];
    for (path, expected) in canonical {
        assert_eq!(canon(path, false).as_deref(), Some(expected), "{path:?}");
    }
}

#[test]
fn rows_22_to_24_refuse_what_two_readers_could_read_differently() {
    let bad = [
        "",
        "a",
        "*",
        "..",
        "/..",
        "/../",
        "/a/../b",
        "/a/..",
        "/%2e%2e",
        "/.%2E/a",
        "/%2e./a",
        "/..;",
        "/..;/a",
        "/..;x=y/a",
        "/a/%2e%2e;x",
        "/..%3bx",
        "/..%3B/a",
        "/;/admin",
        "/;x/admin",
        "/%3bx/admin",
        "/a/;x=y/b",
        "/.;/a",
        "/.;x",
        "/%2e;x",
        "/a/..%2fb",
        "/a%2f..%2fb",
        "/a%2F..",
        "/..%2f..%2fetc/passwd",
        "/a%2f..;x%2fb",
        "/a%2f%2e%2e",
        "/a\\b",
        "/a%5cb",
        "/a%5Cb",
        "/..\\a",
        "/%00",
        "/a%00.png",
        "/%",
        "/%4",
        "/%zz",
        "/%4g",
        "/%g4",
        "/%%41",
        "/% 41",
        "/a b",
        "/a\tb",
        "/a\0b",
        "/a\rb",
        "/a\nb",
        "/a\u{7f}",
        "/é",
        "/a#b",
        "/a?b",
        "/%c0%ae%c0%ae/",
        "/%c0%af",
        "/%C1%9C",
        "/%e0%80%af",
        "/%f0%80%80%af",
        "/+%+41",
    ];
    for path in bad {
        assert_eq!(canon(path, true), None, "{path:?}");
        assert_eq!(canon(path, false), None, "{path:?} with slashes kept");
    }
}

#[test]
fn every_byte_is_plain_escaped_or_refused() {
    for byte in 0..=255u8 {
        let mut out = Vec::new();
        let taken = canonical_path(&[b'/', b'x', byte], true, &mut out).is_ok();
        let may = byte.is_ascii_graphic() && !b"#?%\\".contains(&byte);
        assert_eq!(taken, may, "{byte:#x}");
        let escaped = format!("/x%{byte:02x}");
        assert_eq!(
            canon(&escaped, true).is_some(),
            !matches!(byte, 0 | b'\\'),
            "{escaped}"
        );
    }
}

/// Pieces from which ambiguous paths are made.
fn path() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "/", "//", ".", "..", "%2e", "%2E", "%2f", "%2F", ";", "%3b", "a", "%41", "%25", "%C3%A9",
        "|", "%5f", "%c0", "%ae", "x=y", "~", "%7e", "[",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..12)
        .prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn canonical_paths_stay_as_they_are(path in path(), merge in any::<bool>()) {
        if let Some(once) = canon(&path, merge) {
            prop_assert_eq!(canon(&once, merge), Some(once));
        }
    }

    #[test]
    fn canonical_paths_have_no_dot_segments_in_any_spelling(path in path(), merge in any::<bool>()) {
        if let Some(canonical) = canon(&path, merge) {
            let read = canonical.replace("%2F", "/").replace("%3B", ";");
            for segment in read.split('/') {
                let name = segment.split(';').next().unwrap();
                prop_assert_ne!(name, "..");
            }
            prop_assert!(canonical.split('/').all(|segment| segment != "."));
            prop_assert!(!(merge && canonical.contains("//")));
        }
    }

    #[test]
    fn random_bytes_never_panic_and_give_visible_ascii(path in prop::collection::vec(any::<u8>(), 0..40), merge in any::<bool>()) {
        let mut out = Vec::new();
        if canonical_path(&[b"/", &path[..]].concat(), merge, &mut out).is_ok() {
            prop_assert!(out.starts_with(b"/"));
            prop_assert!(out.iter().all(u8::is_ascii_graphic));
            prop_assert!(!out.iter().any(|byte| b"\\#?".contains(byte)));
        }
    }

    #[test]
    fn a_host_in_place_reads_like_one_that_is_written_anew(
        host in "[a-zA-Z0-9.:_,-]{0,12}|([0-9]{1,3}\\.){3}[0-9]{1,3}(:[0-9]{0,6})?|\\[[0-9a-f:.]{0,8}\\](:80)?|0x[0-9a-g]{0,3}",
        is_secure in any::<bool>()
    ) {
        let scheme = if is_secure { Scheme::Https } else { Scheme::Http };
        let mut anew = Vec::new();
        let expected = canonical_authority(host.as_bytes(), scheme, &mut anew);
        let mut storage = crate::tests::storage(&[("Host", &host)]);
        let fields = storage.fields_mut();
        let entry = fields.entries[0];
        prop_assert_eq!(entry.id, FieldId::Host);
        let found = canonical_host(fields, entry, scheme);
        match (expected, found) {
            (Ok(expected), Ok(found)) => {
                prop_assert_eq!(found.whole.of(&fields.arena), expected.whole.of(&anew));
                prop_assert_eq!((found.host_length, found.port), (expected.host_length, expected.port));
            }
            (expected, found) => prop_assert_eq!(expected.is_err(), found.is_err()),
        }
    }
}
