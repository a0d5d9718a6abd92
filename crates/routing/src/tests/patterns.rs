// SPDX-License-Identifier: Apache-2.0
//! What patterns are refused, and that the messages say what to write instead.
use super::{exact, for_methods, is, like, on_hosts, prefix, regex, template};
use crate::CompiledRoute;
use tidegate_config::Route;

#[track_caller]
fn refused(route: &Route, wanted: &[&str]) {
    let error = CompiledRoute::compile("bad", route).unwrap_err();
    assert!(!error.contains('\n'), "{error}");
    for part in wanted {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[track_caller]
fn accepted(route: &Route) {
    CompiledRoute::compile("good", route).unwrap();
}

#[test]
fn paths_must_be_spelled_as_canonical_requests_are() {
    refused(
        &prefix("app"),
        &[
            "match.path: ",
            "`app` does not begin with `/`",
            "write `/app`",
        ],
    );
    refused(&exact(""), &["does not begin with `/`"]);
    refused(&prefix("/a?b=1"), &["match the query under `query`"]);
    refused(&prefix("/a#b"), &["fragment"]);
    refused(&exact("/a//b"), &["write `/a/b`"]);
    refused(
        &exact("/a/../b"),
        &["refused in every request (a .. segment in the path)"],
    );
    refused(&exact("/a/..;v=1/b"), &["a .. segment"]);
    refused(&exact("/./b"), &["write `/b`"]);
    refused(&exact("/caf\u{e9} 1"), &["write `/caf%C3%A9%201`"]);
    refused(&exact("/%7euser/%2f"), &["write `/~user/%2F`"]);
    refused(&exact("/%4"), &["a broken escape"]);
    refused(&exact("/%zz"), &["a broken escape"]);
    refused(&exact("/a%5cb"), &["an escaped backslash"]);
    refused(&exact("/a\\b"), &["refused in every request"]);
    refused(&exact("/a%00"), &["an escaped NUL"]);
    refused(&exact("/a\nb"), &["write `/a%0Ab`"]);
    refused(&exact("/{id}"), &["write `/%7Bid%7D`"]);
    accepted(&exact("/caf%C3%A9/a%2Fb/v1.0;x=1/@me"));
    accepted(&exact("/a.b/...")); // three dots are a name like any other
}

#[test]
fn templates_have_whole_segments_as_parameters() {
    refused(&template("/users"), &["has no parameter", "`exact`"]);
    refused(
        &template("/users/{id}.json"),
        &["mixes text and a parameter", "`regex`"],
    );
    refused(&template("/users/{}"), &["no valid name", "{user_id}"]);
    refused(&template("/users/{2nd}"), &["no valid name"]);
    refused(&template("/users/{a-b}"), &["no valid name"]);
    refused(&template("/{id}/{id}"), &["two parameters named `id`"]);
    refused(&template("/{rest*}/more"), &["write it last"]);
    refused(&template("users/{id}"), &["write `/users/{id}`"]);
    refused(
        &template(&format!("{}/{{id}}", "/a".repeat(200))),
        &["more than 128 segments"],
    );
    refused(&template("/caf\u{e9}/{id}"), &["write `/caf%C3%A9`"]);
    refused(&template("/a/../{id}"), &["a .. segment"]);
    refused(&template("/a//{id}"), &["write one `/`"]);
    refused(&template("/a?b={id}"), &["`query`"]);
    accepted(&template("/users/{id}/files/{rest*}"));
    accepted(&template("/users/{id}/"));
    accepted(&template("/{_a1}/caf%C3%A9"));
}

#[test]
fn regular_expressions_are_refused_in_one_line_with_a_way_out() {
    refused(
        &regex("/a("),
        &["match.path: `/a(` is no regular expression: unclosed group"],
    );
    refused(&regex("/a)(b"), &["unopened group"]);
    refused(&regex("/(?=a)"), &["look-around", "write it without"]);
    refused(&regex(r"/(a)\1"), &["backreference", "write it without"]);
    refused(&regex(r"/\p{L}+"), &["write ASCII classes"]);
    refused(
        &regex("/(a{1000}){1000}"),
        &["256 KiB", "smaller repetitions"],
    );
    refused(&regex("(?x)/a # comment"), &["without comments"]);
    refused(&regex(""), &["is empty"]);
    refused(&regex(&"a".repeat(5000)), &["5000 bytes long"]);
    accepted(&regex("(?i)/users/[0-9]+(/.*)?"));
}

#[test]
fn hosts_are_names_wildcards_or_addresses() {
    refused(
        &on_hosts(prefix("/"), &["a.test", "b.test:8080"]),
        &["hosts[1]: ", "has a port", "write `b.test`"],
    );
    refused(&on_hosts(prefix("/"), &["*"]), &["leave `hosts` out"]);
    refused(&on_hosts(prefix("/"), &["a.*.test"]), &["write it first"]);
    refused(&on_hosts(prefix("/"), &["*a.test"]), &["write it first"]);
    refused(&on_hosts(prefix("/"), &["http://a.test"]), &["is no host"]);
    refused(
        &on_hosts(prefix("/"), &["a.test."]),
        &["ends in a dot", "write `a.test`"],
    );
    refused(&on_hosts(prefix("/"), &["b\u{fc}cher.test"]), &["xn--"]);
    refused(&on_hosts(prefix("/"), &["a..test"]), &["is no host"]);
    refused(&on_hosts(prefix("/"), &[""]), &["is no host"]);
    refused(
        &on_hosts(prefix("/"), &["2001:db8::1"]),
        &["without brackets", "write `[2001:db8::1]`"],
    );
    refused(
        &on_hosts(prefix("/"), &["[2001:db8::1]:80"]),
        &["without a port"],
    );
    for host in ["10.0.0", "a.0x1", "a.0X", "a.1", "*.10.0.0.1", "*.0xff"] {
        refused(&on_hosts(prefix("/"), &[host]), &["is no IPv4 address"]);
    }
    accepted(&on_hosts(
        prefix("/"),
        &[
            "A.Test",
            "*.a_b.test",
            "10.0.0.1",
            "[2001:DB8::1]",
            "localhost",
        ],
    ));
}

#[test]
fn other_matches_are_checked_too() {
    refused(
        &for_methods(prefix("/"), &["GET", "P T"]),
        &["match.methods[1]: ", "is no method"],
    );
    refused(&for_methods(prefix("/"), &["trace"]), &["always refused"]);
    let mut route = prefix("/");
    route.matches.headers = vec![is("x-a", "1"), is("a b", "1")];
    refused(&route, &["match.headers[1]: ", "is no field name"]);
    route.matches.headers = vec![is("Host", "a.test")];
    refused(&route, &["match.headers[0]: ", "`hosts`"]);
    route.matches.headers = vec![];
    route.matches.query = vec![like("v", "(")];
    refused(&route, &["match.query[0]: ", "unclosed group"]);
    route.matches.query = vec![];
    route.matches.cookies = vec![is("", "1")];
    refused(&route, &["match.cookies[0]: ", "the name is empty"]);
}

#[test]
fn networks_are_written_in_full() {
    let mut route = prefix("/");
    for (client, wanted) in [
        ("10.0.0.1/8", "write `10.0.0.0/8`"),
        ("10.0.0.0/33", "a number from 0 to 32"),
        ("2001:db8::/129", "a number from 0 to 128"),
        ("ten", "is no network"),
        ("::ffff:10.0.0.0/104", "write `10.0.0.0/8`"),
    ] {
        route.matches.clients = vec![client.into()];
        refused(&route, &["match.clients[0]: ", wanted]);
        route.matches.clients.clear();
        route.matches.local_addresses = vec![client.into()];
        refused(&route, &["match.local_addresses[0]: ", wanted]);
        route.matches.local_addresses.clear();
    }
    route.matches.clients = vec![
        "10.0.0.0/8".into(),
        "10.0.0.1".into(),
        "2001:db8::1".into(),
        "::/0".into(),
    ];
    accepted(&route);
}
