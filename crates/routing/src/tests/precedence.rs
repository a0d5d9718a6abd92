// SPDX-License-Identifier: Apache-2.0
//! Which of several routes that fit goes first.
use super::{
    exact, find, for_methods, get, is, on_hosts, prefix, present, regex, request, taken, template,
};
use tidegate_config::Route;

fn on(host: &str, target: &str, routes: &[Route]) -> Option<usize> {
    find(routes, &get(host, target, &[])).map(|found| found.route)
}

#[test]
fn hosts_go_from_exact_to_wide() {
    let routes = [
        prefix("/"),
        on_hosts(prefix("/"), &["*.test"]),
        on_hosts(prefix("/"), &["*.a.test"]),
        on_hosts(prefix("/"), &["b.a.test"]),
    ];
    assert_eq!(on("b.a.test", "/", &routes), Some(3));
    assert_eq!(on("c.a.test", "/", &routes), Some(2));
    assert_eq!(on("d.c.a.test", "/", &routes), Some(2));
    assert_eq!(on("a.test", "/", &routes), Some(1));
    assert_eq!(on("test", "/", &routes), Some(0));
}

#[test]
fn a_host_under_which_nothing_fits_gives_way() {
    let routes = [
        on_hosts(prefix("/only"), &["b.a.test"]),
        on_hosts(for_methods(prefix("/"), &["POST"]), &["*.a.test"]),
        on_hosts(prefix("/wide"), &["*.test"]),
        prefix("/"),
    ];
    assert_eq!(on("b.a.test", "/only", &routes), Some(0));
    assert_eq!(on("b.a.test", "/wide", &routes), Some(2));
    assert_eq!(on("b.a.test", "/", &routes), Some(3));
    assert_eq!(
        find(&routes, &request("POST", Some("b.a.test"), "/", &[]))
            .unwrap()
            .route,
        1
    );
}

#[test]
fn a_wide_path_of_an_exact_host_goes_before_an_exact_path_of_a_wildcard() {
    let routes = [
        on_hosts(exact("/x"), &["*.test"]),
        on_hosts(prefix("/"), &["a.test"]),
    ];
    assert_eq!(taken(&routes, "/x"), Some(1));
}

#[test]
fn paths_go_from_exact_over_templates_and_prefixes_to_regular_expressions() {
    let routes = [
        regex("/a/.*"),
        prefix("/"),
        prefix("/a"),
        template("/a/{x}"),
        exact("/a/b"),
    ];
    assert_eq!(taken(&routes, "/a/b"), Some(4));
    assert_eq!(taken(&routes, "/a/c"), Some(3));
    assert_eq!(taken(&routes, "/a/c/d"), Some(2));
    assert_eq!(taken(&routes, "/b"), Some(1));
    assert_eq!(taken(&routes[..1], "/a/b"), Some(0));
}

#[test]
fn templates_with_more_literals_go_first_wherever_these_stand() {
    let routes = [
        template("/{x*}"),
        template("/a/{x}/{y}"),
        template("/{x}/b/c"),
    ];
    assert_eq!(taken(&routes, "/a/b/c"), Some(2));
    assert_eq!(taken(&routes, "/a/b/d"), Some(1));
    assert_eq!(taken(&routes, "/a"), Some(0));
}

#[test]
fn templates_with_as_many_literals_are_decided_by_what_comes_after() {
    let routes = [template("/a/{x}"), template("/{x}/b")];
    assert_eq!(taken(&routes, "/a/b"), Some(0));
    let routes = [
        template("/a/{x}"),
        for_methods(template("/{x}/b"), &["GET"]),
    ];
    assert_eq!(taken(&routes, "/a/b"), Some(1));
}

#[test]
fn a_path_that_fits_but_is_not_taken_gives_way_to_a_wider_one() {
    let routes = [
        for_methods(exact("/a/b"), &["PUT"]),
        for_methods(template("/a/{x}"), &["POST"]),
        for_methods(prefix("/a/b"), &["DELETE"]),
        prefix("/a"),
    ];
    for (method, wanted) in [("PUT", 0), ("POST", 1), ("DELETE", 2), ("GET", 3)] {
        assert_eq!(
            find(&routes, &request(method, Some("a.test"), "/a/b", &[]))
                .unwrap()
                .route,
            wanted
        );
    }
}

#[test]
fn then_method_headers_query_cookies_client_and_order_decide() {
    let mut routes = vec![
        prefix("/"),
        prefix("/"),
        prefix("/"),
        prefix("/"),
        prefix("/"),
        prefix("/"),
        prefix("/"),
    ];
    routes[1].matches.local_addresses = vec!["127.0.0.1".into()];
    routes[2].matches.clients = vec!["192.0.2.0/24".into()];
    routes[3].matches.cookies = vec![present("c")];
    routes[4].matches.query = vec![present("q")];
    routes[5].matches.headers = vec![present("x-a")];
    routes[6].matches.methods = vec!["GET".into()];
    let all = get("a.test", "/?q", &[("x-a", "1"), ("cookie", "c=1")]);
    for count in (1..=7).rev() {
        assert_eq!(find(&routes[..count], &all).unwrap().route, count - 1);
    }
    routes.truncate(1);
    routes.push(prefix("/"));
    assert_eq!(find(&routes, &all).unwrap().route, 0);
}

#[test]
fn more_headers_go_before_fewer() {
    let mut routes = vec![prefix("/"), prefix("/")];
    routes[0].matches.headers = vec![is("x-a", "1")];
    routes[1].matches.headers = vec![is("x-a", "1"), is("x-b", "1")];
    assert_eq!(
        find(&routes, &get("a.test", "/", &[("x-a", "1"), ("x-b", "1")]))
            .unwrap()
            .route,
        1
    );
    assert_eq!(
        find(&routes, &get("a.test", "/", &[("x-a", "1")]))
            .unwrap()
            .route,
        0
    );
}
