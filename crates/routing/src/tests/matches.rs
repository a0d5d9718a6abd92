// SPDX-License-Identifier: Apache-2.0
//! What each match takes and what it leaves.
use super::{
    CLIENT, exact, find, for_methods, from, get, is, like, on_hosts, prefix, present, regex,
    request, table, taken,
};
use super::{compile, template};
use crate::Ends;
use tidegate_config::Route;

#[track_caller]
fn takes(route: &Route, targets: &[&str]) {
    for target in targets {
        assert_eq!(
            taken(std::slice::from_ref(route), target),
            Some(0),
            "{target}"
        );
    }
}

#[track_caller]
fn leaves(route: &Route, targets: &[&str]) {
    for target in targets {
        assert_eq!(taken(std::slice::from_ref(route), target), None, "{target}");
    }
}

#[test]
fn a_prefix_matches_by_segments() {
    takes(&prefix("/x"), &["/x", "/x/", "/x/y", "/x?q"]);
    leaves(&prefix("/x"), &["/xy", "/", "/X", "/y/x", "/x%2Fy"]);
    takes(&prefix("/x/"), &["/x", "/x/", "/x/y"]);
    takes(&prefix("/"), &["/", "/x", "/x/y"]);
}

#[test]
fn a_prefix_tells_how_much_of_the_path_it_took() {
    let length = |path: &str, target: &str| {
        find(&[prefix(path)], &get("a.test", target, &[]))
            .unwrap()
            .prefix_len
    };
    assert_eq!(length("/", "/a/b"), 0);
    assert_eq!(length("/a", "/a"), 2);
    assert_eq!(length("/a/", "/a/b"), 2);
    assert_eq!(length("/a/b", "/a/b/c"), 4);
}

#[test]
fn an_exact_path_matches_itself_only() {
    takes(&exact("/x"), &["/x", "/x?q"]);
    leaves(&exact("/x"), &["/x/", "/", "/x/y", "/X"]);
}

#[test]
fn a_template_names_segments() {
    takes(&template("/users/{id}"), &["/users/5", "/users/a%2Fb"]);
    leaves(
        &template("/users/{id}"),
        &[
            "/users",
            "/users/",
            "/users/5/",
            "/users/5/files",
            "/user/5",
        ],
    );
    takes(
        &template("/files/{rest*}"),
        &["/files/", "/files/a", "/files/a/b/"],
    );
    leaves(&template("/files/{rest*}"), &["/files", "/file/a"]);
}

#[test]
fn a_template_tells_where_its_parameters_are() {
    let routes = [template("/users/{id}/files/{rest*}")];
    let request = get("a.test", "/users/a%20b/files/c/d?e", &[]);
    let found = find(&routes, &request).unwrap();
    let compiled = compile(&routes);
    let named: Vec<_> = found
        .parameters
        .iter()
        .map(|(name, range)| {
            (
                compiled[0].parameter_names()[*name].as_str(),
                &request.path()[range.clone()],
            )
        })
        .collect();
    assert_eq!(named, [("id", "a%20b"), ("rest", "c/d")]);
    let empty = find(&routes, &get("a.test", "/users/1/files/", &[])).unwrap();
    assert_eq!(empty.parameters.last(), Some(&(1, 15..15)));
}

#[test]
fn a_regular_expression_matches_the_whole_path() {
    takes(&regex("/a|/ab"), &["/a", "/ab"]);
    leaves(&regex("/a|/ab"), &["/abc", "/x/a"]);
    takes(&regex("(?i)/A[0-9]+"), &["/a1", "/A22"]);
}

#[test]
fn a_wildcard_takes_any_number_of_labels_and_at_least_one() {
    let routes = [on_hosts(prefix("/"), &["*.Example.test"])];
    let found = |host: &str| find(&routes, &get(host, "/", &[])).is_some();
    assert!(found("a.example.test") && found("b.a.example.test"));
    assert!(!found("example.test") && !found("xexample.test") && !found("a.example.tes"));
}

#[test]
fn a_request_without_host_takes_routes_without_hosts() {
    let routes = [on_hosts(prefix("/"), &["a.test"]), prefix("/")];
    let found = find(&routes, &request("GET", None, "/", &[])).unwrap();
    assert_eq!(found.route, 1);
    assert_eq!(find(&routes[..1], &request("GET", None, "/", &[])), None);
}

#[test]
fn addresses_are_hosts_in_their_canonical_spelling() {
    let routes = [
        on_hosts(prefix("/"), &["[2001:DB8:0::1]"]),
        on_hosts(prefix("/"), &["127.0.0.1"]),
    ];
    assert_eq!(
        find(&routes, &get("[2001:db8::1]", "/", &[]))
            .unwrap()
            .route,
        0
    );
    assert_eq!(find(&routes, &get("127.0.0.1", "/", &[])).unwrap().route, 1);
}

#[test]
fn methods_are_compared_in_full_and_with_case() {
    let routes = [for_methods(prefix("/"), &["GET", "PURGE"])];
    let found = |method: &str| find(&routes, &request(method, Some("a.test"), "/", &[])).is_some();
    assert!(found("GET") && found("PURGE"));
    assert!(!found("HEAD") && !found("POST") && !found("get"));
}

#[test]
fn a_field_is_matched_whatever_the_case_of_its_name() {
    let mut route = prefix("/");
    route.matches.headers = vec![is("X-Version", "2")];
    let found =
        |fields: &[(&str, &str)]| find(&[route.clone()], &get("a.test", "/", fields)).is_some();
    assert!(found(&[("x-version", "2")]));
    assert!(!found(&[]) && !found(&[("x-version", "02")]) && !found(&[("x-versions", "2")]));
}

#[test]
fn a_repeated_field_does_not_slip_past_a_comparison() {
    for field in [is("x-version", "2"), like("x-version", "[0-9]")] {
        let mut route = prefix("/");
        route.matches.headers = vec![field];
        let found =
            |fields: &[(&str, &str)]| find(&[route.clone()], &get("a.test", "/", fields)).is_some();
        assert!(found(&[("x-version", "2")]));
        assert!(!found(&[("x-version", "2"), ("x-version", "2")]));
        assert!(!found(&[("x-version", "1"), ("X-Version", "2")]));
    }
    let mut route = prefix("/");
    route.matches.headers = vec![present("x-version")];
    assert!(
        find(
            &[route],
            &get("a.test", "/", &[("x-version", "1"), ("x-version", "2")])
        )
        .is_some()
    );
}

#[test]
fn a_field_compared_by_regular_expression_need_not_be_utf8() {
    let mut route = prefix("/");
    route.matches.headers = vec![like("x-name", "caf.+")];
    assert!(
        find(
            &[route.clone()],
            &get("a.test", "/", &[("x-name", "caf\u{e9}")])
        )
        .is_some()
    );
    assert!(find(&[route], &get("a.test", "/", &[("x-name", "a caf\u{e9}")])).is_none());
}

#[test]
fn queries_are_read_as_origin_servers_read_them() {
    let mut route = prefix("/");
    route.matches.query = vec![is("na me", "a+b")];
    takes(&route, &["/?na+me=a%2bb", "/?x&na%20me=%61%2Bb"]);
    leaves(
        &route,
        &[
            "/",
            "/?na+me",
            "/?na+me=a+b",
            "/?name=a%2bb",
            "/?na+me=a%2bb&na%20me=c",
        ],
    );
    route.matches.query = vec![like("v", "a b|%zz|50%")];
    takes(&route, &["/?v=a+b", "/?v=a%20b", "/?v=%zz", "/?v=50%"]);
    leaves(&route, &["/?v=a%2Bb", "/?v=ab"]);
    route.matches.query = vec![present("debug")];
    takes(&route, &["/?debug", "/?a=1&debug=", "/?debug=1&debug=2"]);
    leaves(&route, &["/?Debug", "/?a=debug"]);
}

#[test]
fn cookies_are_found_in_any_cookie_field() {
    let mut route = prefix("/");
    route.matches.cookies = vec![is("beta", "1")];
    let found =
        |fields: &[(&str, &str)]| find(&[route.clone()], &get("a.test", "/", fields)).is_some();
    assert!(found(&[("cookie", "a=2; beta=1")]));
    assert!(found(&[("cookie", "a=2"), ("cookie", "beta=1")]));
    assert!(!found(&[("cookie", "beta=1"), ("cookie", "beta=0")]));
    assert!(!found(&[("cookie", "Beta=1; xbeta=1; beta=11")]));
}

#[test]
fn clients_are_matched_by_network_and_mapped_addresses_as_ipv4() {
    let mut route = prefix("/");
    route.matches.clients = vec!["192.0.2.0/24".into(), "2001:db8::/32".into()];
    let table = table(&[route]);
    let found = |client: &str| {
        table
            .find(0, &get("a.test", "/", &[]), from(client.parse().unwrap()))
            .is_some()
    };
    assert!(found("192.0.2.77") && found("::ffff:192.0.2.77") && found("2001:db8::1"));
    assert!(!found("192.0.3.1") && !found("2001:db9::1") && !found("::1"));
}

#[test]
fn local_addresses_are_matched_by_network_and_asked_for_only_where_a_route_does() {
    let mut route = prefix("/");
    assert!(!table(&[route.clone()]).asks_local_address());
    route.matches.local_addresses = vec!["192.0.2.0/24".into(), "2001:db8::/32".into()];
    let asking = table(&[route]);
    assert!(asking.asks_local_address());
    assert!(!asking.update(&compile(&[prefix("/")])).asks_local_address());
    let found = |local: Option<&str>| {
        let ends = Ends {
            local: local.map(|local| local.parse().unwrap()),
            ..CLIENT
        };
        asking.find(0, &get("a.test", "/", &[]), ends).is_some()
    };
    for inside in ["192.0.2.77", "::ffff:192.0.2.77", "2001:db8::1"] {
        assert!(found(Some(inside)));
    }
    for outside in ["192.0.3.1", "2001:db9::1", "::1"] {
        assert!(!found(Some(outside)));
    }
    // A Unix socket.
    assert!(!found(None));
}

#[test]
fn a_route_is_on_its_listeners_only() {
    let mut inner = prefix("/");
    inner.listeners = vec!["internal".into()];
    let table = table(&[inner, prefix("/")]);
    let found = |listener: usize| {
        table
            .find(listener, &get("a.test", "/", &[]), CLIENT)
            .map(|found| found.route)
    };
    assert_eq!(found(0), Some(1));
    assert_eq!(found(1), Some(0));
    assert_eq!(found(2), None);
}

#[test]
fn the_server_as_a_whole_is_under_the_widest_prefix_only() {
    let routes = [template("/{x*}"), exact("/"), prefix("/a"), prefix("/")];
    assert_eq!(
        find(&routes, &request("OPTIONS", Some("a.test"), "*", &[]))
            .unwrap()
            .route,
        3
    );
    assert_eq!(
        find(&routes[..3], &request("OPTIONS", Some("a.test"), "*", &[])),
        None
    );
}

#[test]
fn a_path_of_thousands_of_segments_costs_no_more_than_the_tables_are_deep() {
    let routes = [prefix("/a/b"), template("/a/{x}/{rest*}")];
    let deep = format!("/a/b{}", "/c".repeat(3000));
    assert_eq!(taken(&routes, &deep), Some(1));
}
