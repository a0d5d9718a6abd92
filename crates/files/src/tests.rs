// SPDX-License-Identifier: Apache-2.0
use crate::condition::{Conditions, Validators, Verdict, judge, range_applies};
use crate::date::parse_http_date;
use crate::name::{self, Name};
use crate::range::{Ranges, parse};
use crate::{accept, listing, pattern, types};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;
const THEN: u64 = 784_111_777;

fn named(rest: &str) -> Result<Name, &'static str> {
    name::judge(rest, false)
}

#[test]
fn a_name_is_the_decoded_path() {
    for (rest, path, is_folder) in [
        ("", "", false),
        ("/", "", true),
        ("/a", "a", false),
        ("a", "a", false),
        ("/a/b/", "a/b", true),
        ("/a%20b/%C3%A9.html", "a b/é.html", false),
        ("/.well-known/x", ".well-known/x", false),
        ("/a;b", "a;b", false),
    ] {
        let name = named(rest).unwrap();
        assert_eq!(
            (name.path.as_slice(), name.is_folder),
            (path.as_bytes(), is_folder),
            "{rest}"
        );
    }
}

#[test]
fn what_could_lead_elsewhere_is_no_name() {
    let long = format!("/{}", "a".repeat(256));
    for rest in [
        "/..",
        "/../x",
        "/a/../b",
        "/%2e%2e/x",
        "/%2E%2E",
        "/.",
        "/a/./b",
        "//",
        "//a",
        "/a//b",
        "/a//",
        "/a%2Fb",
        "/a%5Cb",
        "/a\\b",
        "/%00",
        "/a%00.html",
        "/a%0Ab",
        "/%7F",
        "/%",
        "/%2",
        "/%zz",
        "/.git/config",
        "/a/.env",
        "/.%2e",
        "/..%2f",
        &long,
    ] {
        assert!(named(rest).is_err(), "{rest}");
    }
    assert!(named(&long[..256]).is_ok());
    assert!(name::judge("/.git/config", true).is_ok());
    assert!(name::judge("/../x", true).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_a_name_that_leads_out(rest in "[/.%a2fFeE5cC0;\\\\\u{0}-\u{ff}]{0,40}", shows_hidden: bool) {
        if let Ok(name) = name::judge(&rest, shows_hidden) {
            let segments: Vec<&[u8]> = name.path.split(|byte| *byte == b'/').collect();
            prop_assert!(!name.path.contains(&0) && !name.path.starts_with(b"/"));
            prop_assert!(name.path.is_empty() || segments.iter().all(|one| !matches!(*one, b"" | b"." | b"..")));
        }
    }

    #[test]
    fn ranges_lie_in_the_file_and_apart(field in "(bytes=)?[-0-9, ]{0,40}", length in 0u64..3000, most in 0usize..20) {
        if let Ranges::Parts(parts) = parse(field.as_bytes(), length, most) {
            prop_assert!(!parts.is_empty() && parts.len() <= most);
            prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
            prop_assert!(parts.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }

    #[test]
    fn any_bytes_are_judged_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let lines = [bytes.as_slice()];
        let validators = Validators { tag: Some(b"\"a\""), modified: Some(THEN) };
        let conditions = Conditions {
            if_match: &[], if_none_match: &lines, if_modified_since: Some(&bytes), if_unmodified_since: Some(&bytes),
        };
        judge(&conditions, validators, NOW);
        range_applies(&bytes, validators, NOW);
        parse(&bytes, 100, 10);
        accept::coding(lines.into_iter(), "gzip");
        accept::media(lines.into_iter(), "text", "html");
        prop_assert!(!listing::escaped(&bytes).contains(['<', '>', '"', '\'']));
    }

    #[test]
    fn a_pattern_of_stars_ends_soon(stars in "[a*]{0,30}", name in "[a/]{0,60}") {
        pattern::takes(&stars, name.as_bytes());
        pattern::takes(&format!("/{stars}b"), name.as_bytes());
    }
}

#[test]
fn dates_have_three_forms() {
    for text in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ] {
        assert_eq!(parse_http_date(text.as_bytes(), NOW), Some(THEN), "{text}");
    }
    for text in [
        "",
        "yesterday",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 31 Feb 2001 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1969 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "784111777",
    ] {
        assert_eq!(parse_http_date(text.as_bytes(), NOW), None, "{text}");
    }
    let leap = parse_http_date(b"Thu, 29 Feb 2024 00:00:00 GMT", NOW);
    assert_eq!(leap, Some(1_709_164_800));
}

fn verdict(field: &str, value: &[u8], tag: &[u8]) -> Verdict {
    let lines = [value];
    let mut conditions = Conditions::default();
    match field {
        "if-match" => conditions.if_match = &lines,
        "if-none-match" => conditions.if_none_match = &lines,
        "if-modified-since" => conditions.if_modified_since = Some(value),
        _ => conditions.if_unmodified_since = Some(value),
    }
    let validators = Validators {
        tag: Some(tag),
        modified: Some(THEN),
    };
    judge(&conditions, validators, NOW)
}

#[test]
fn rfc9110_13_1_conditions() {
    use Verdict::{Failed, NotModified, Proceed};
    let (before, same, after): (&[u8], &[u8], &[u8]) = (
        b"Sun, 06 Nov 1994 08:49:36 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:38 GMT",
    );
    for (field, value, tag, expected) in [
        ("if-match", &b"\"a\""[..], &b"\"a\""[..], Proceed),
        ("if-match", b"\"b\", \"a\"", b"\"a\"", Proceed),
        ("if-match", b"*", b"\"a\"", Proceed),
        ("if-match", b"\"b\"", b"\"a\"", Failed),
        ("if-match", b"W/\"a\"", b"W/\"a\"", Failed),
        ("if-match", b"a", b"\"a\"", Failed),
        ("if-none-match", b"\"a\"", b"\"a\"", NotModified),
        ("if-none-match", b"W/\"a\"", b"\"a\"", NotModified),
        ("if-none-match", b"\"b\" , W/\"a\"", b"\"a\"", NotModified),
        ("if-none-match", b"\"b,\\\", \"a\"", b"\"a\"", NotModified),
        ("if-none-match", b"*", b"\"a\"", NotModified),
        ("if-none-match", b"\"b\"", b"\"a\"", Proceed),
        ("if-none-match", b"\"a", b"\"a\"", Proceed),
        ("if-modified-since", same, b"\"a\"", NotModified),
        ("if-modified-since", after, b"\"a\"", NotModified),
        ("if-modified-since", before, b"\"a\"", Proceed),
        ("if-modified-since", b"0", b"\"a\"", Proceed),
        ("if-unmodified-since", before, b"\"a\"", Failed),
        ("if-unmodified-since", same, b"\"a\"", Proceed),
        ("if-unmodified-since", b"never", b"\"a\"", Proceed),
    ] {
        let value_text = value.escape_ascii();
        assert_eq!(
            verdict(field, value, tag),
            expected,
            "{field}: {value_text}"
        );
    }
}

#[test]
fn rfc9110_13_2_2_tags_go_before_dates() {
    let (fits, other) = ([&b"\"a\""[..]], [&b"\"b\""[..]]);
    let validators = Validators {
        tag: Some(b"\"a\""),
        modified: Some(THEN),
    };
    let mut conditions = Conditions {
        if_none_match: &other,
        if_modified_since: Some(b"Sun, 06 Nov 1994 08:49:37 GMT"),
        ..Conditions::default()
    };
    assert_eq!(judge(&conditions, validators, NOW), Verdict::Proceed);
    conditions.if_none_match = &fits;
    conditions.if_match = &other;
    assert_eq!(judge(&conditions, validators, NOW), Verdict::Failed);
}

#[test]
fn rfc9110_13_1_5_if_range_wants_a_strong_validator() {
    let validators = Validators {
        tag: Some(b"\"a\""),
        modified: Some(THEN),
    };
    assert!(range_applies(b"\"a\"", validators, NOW));
    assert!(!range_applies(b"W/\"a\"", validators, NOW));
    assert!(range_applies(
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        validators,
        NOW
    ));
    assert!(!range_applies(
        b"Sun, 06 Nov 1994 08:49:38 GMT",
        validators,
        NOW
    ));
    assert!(!range_applies(
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        validators,
        THEN
    ));
    assert!(!range_applies(b"nonsense", validators, NOW));
}

#[test]
fn rfc9110_14_ranges() {
    let parts = |parts: &[(u64, u64)]| {
        Ranges::Parts(parts.iter().map(|(start, end)| *start..*end).collect())
    };
    for (field, expected) in [
        ("bytes=0-499", parts(&[(0, 500)])),
        ("bytes=500-", parts(&[(500, 10_000)])),
        ("bytes=-500", parts(&[(9500, 10_000)])),
        ("Bytes=9999-", parts(&[(9999, 10_000)])),
        ("bytes=0-99999999999999999999999", parts(&[(0, 10_000)])),
        ("bytes=-99999999999999999999999", parts(&[(0, 10_000)])),
        ("bytes=0-0,-1", parts(&[(0, 1), (9999, 10_000)])),
        ("bytes= 0-0 , 5000-5001 ", parts(&[(0, 1), (5000, 5002)])),
        ("bytes=5000-5999,0-99", parts(&[(0, 100), (5000, 6000)])),
        ("bytes=0-99,50-149", parts(&[(0, 150)])),
        ("bytes=0-99,150-199", parts(&[(0, 200)])),
        ("bytes=0-9,20000-", parts(&[(0, 10)])),
        ("bytes=10000-", Ranges::Unsatisfiable),
        ("bytes=-0", Ranges::Unsatisfiable),
        ("bytes=20000-30000,40000-", Ranges::Unsatisfiable),
        ("bytes=", Ranges::Whole),
        ("bytes=,", Ranges::Whole),
        ("bytes=9-1", Ranges::Whole),
        ("bytes=a-b", Ranges::Whole),
        ("bytes=--5", Ranges::Whole),
        ("bytes=1", Ranges::Whole),
        ("items=0-5", Ranges::Whole),
        ("bytes", Ranges::Whole),
        ("bytes=0-0,200-200,400-400,600-600,800-800", Ranges::Whole),
    ] {
        assert_eq!(parse(field.as_bytes(), 10_000, 4), expected, "{field}");
    }
    assert_eq!(parse(b"bytes=0-", 0, 4), Ranges::Unsatisfiable);
    assert_eq!(parse(b"bytes=0-1", 100, 0), Ranges::Whole);
}

#[test]
fn codings_and_types_are_weighed() {
    let coding = |text: &'static str, name| accept::coding([text.as_bytes()].into_iter(), name);
    assert_eq!(coding("gzip, br;q=0.5", "br"), 500);
    assert_eq!(coding("gzip;q=0, *", "gzip"), 0);
    assert_eq!(coding("*;q=0.1", "zstd"), 100);
    assert_eq!(coding("x-gzip", "gzip"), 1000);
    assert_eq!(coding("GZIP; Q=0.25", "gzip"), 250);
    assert_eq!(coding("gzip;q=2", "gzip"), 0);
    assert_eq!(coding("gzip;q=0.1234", "gzip"), 0);
    assert_eq!(accept::coding([].into_iter(), "gzip"), 0);
    let html = |text: &'static str| accept::media([text.as_bytes()].into_iter(), "text", "html");
    assert_eq!(
        (html("text/html").quality, html("text/html").is_named),
        (1000, true)
    );
    assert_eq!((html("*/*").quality, html("*/*").is_named), (1000, false));
    assert_eq!(html("text/*;q=0.5, */*").quality, 500);
    assert_eq!(html("application/json").quality, 0);
    assert_eq!(html("text/html;level=1;q=0.3, text/*").quality, 300);
    assert_eq!(accept::media([].into_iter(), "text", "html").quality, 1000);
}

#[test]
fn patterns_take_names() {
    for (pattern, name, expected) in [
        ("*.html", "index.html", true),
        ("*.html", "a/b/index.html", true),
        ("*.html", "index.htm", false),
        ("/assets/*", "assets/a.js", true),
        ("/assets/*", "assets/b/a.js", false),
        ("/assets/**", "assets/b/a.js", true),
        ("/assets/**", "other/assets/a.js", false),
        ("/**/x-*.js", "a/b/x-1.js", true),
        ("/**/x-*.js", "a/b/x-1/y.js", false),
        ("**", "anything", true),
        ("*a*b", "xxaxxb", true),
        ("*a*b", "xxaxxbc", false),
        ("", "", true),
    ] {
        assert_eq!(
            pattern::takes(pattern, name.as_bytes()),
            expected,
            "{pattern} {name}"
        );
    }
}

#[test]
fn types_go_by_the_ending() {
    let own = [
        (".md".to_owned(), "text/x-own".to_owned()),
        (".tar.gz".to_owned(), "a/b".to_owned()),
    ];
    for (name, expected) in [
        ("index.html", "text/html"),
        ("A.JPG", "image/jpeg"),
        ("a.md", "text/x-own"),
        ("a.tar.gz", "a/b"),
        ("a.gz", "application/gzip"),
        ("html", types::UNKNOWN),
        ("a.html/b", types::UNKNOWN),
        ("a.", types::UNKNOWN),
        ("a.unheard", types::UNKNOWN),
    ] {
        assert_eq!(types::of_name(name.as_bytes(), &own), expected, "{name}");
    }
    for name in [
        "7z", "css", "html", "js", "json", "png", "svg", "wasm", "zst",
    ] {
        assert_ne!(
            types::of_name(format!("x.{name}").as_bytes(), &[]),
            types::UNKNOWN
        );
    }
}

#[test]
fn a_listing_is_escaped() {
    let item = |name: &[u8], is_folder| listing::Item {
        name: name.to_vec(),
        is_folder,
        length: 5,
        modified: "Sun, 06 Nov 1994 08:49:37 GMT".into(),
    };
    let mut items = [
        item(b"<script>alert(1)</script>", false),
        item(b"javascript:alert(1)", false),
        item(b"a \"quote\"\n\xff", false),
        item(b"zoo", true),
    ];
    listing::sort(&mut items);
    assert!(items[0].is_folder);
    let page = listing::html("/<x>/", &items, true);
    assert!(!page.contains("<script>") && !page.contains("<x>"));
    assert!(page.contains("href=\"./javascript%3Aalert%281%29\""));
    assert!(page.contains("href=\"./zoo/\""));
    let json = listing::json(&items, false);
    assert!(json.contains(r#""name":"a \"quote\"\u000a�""#), "{json}");
    assert!(json.ends_with("\"complete\":true}"));
}
