// SPDX-License-Identifier: Apache-2.0
//! What `explain` says, in words.
use super::{
    CLIENT, exact, for_methods, get, is, on_hosts, prefix, regex, request, table, template,
};
use tidegate_config::Route;
use tidegate_request::Request;

fn explained(routes: &[Route], request: &Request) -> Vec<(usize, String)> {
    let considered = table(routes).explain(0, request, CLIENT);
    considered
        .into_iter()
        .map(|one| (one.route, one.verdict))
        .collect()
}

#[test]
fn routes_come_in_the_order_they_were_judged_then_the_others() {
    let mut versioned = prefix("/a");
    versioned.matches.headers = vec![is("X-Version", "2")];
    let mut inner = prefix("/");
    inner.listeners = vec!["internal".into()];
    let routes = [
        exact("/b"),
        prefix("/"),
        versioned,
        for_methods(exact("/a"), &["POST", "PUT"]),
        on_hosts(prefix("/"), &["b.test", "*.c.test"]),
        inner,
        regex("/a+"),
        template("/x/{id}/{rest*}"),
        prefix("/y"),
    ];
    let said = explained(&routes, &get("a.test", "/a", &[("x-version", "3")]));
    let wanted = [
        (3, "method: GET is not POST or PUT"),
        (2, "header `X-Version` has another value"),
        (1, "taken"),
        (0, "path: /a is not /b"),
        (4, "host: a.test is not b.test or *.c.test"),
        (5, "listener: the route is not on `web`"),
        (6, "fits, but `r1` goes first"),
        (7, "path: /a has not the form /x/{id}/{rest*}"),
        (8, "path: /a is not /y and not under it"),
    ];
    assert_eq!(
        said,
        wanted.map(|(route, verdict)| (route, verdict.to_owned()))
    );
}

#[test]
fn misses_are_named_with_what_is_wrong() {
    let mut routes = vec![
        prefix("/"),
        prefix("/"),
        prefix("/"),
        prefix("/"),
        regex("/b+"),
        prefix("/"),
    ];
    routes[0].matches.headers = vec![is("x-a", "1")];
    routes[1].matches.query = vec![is("q", "1")];
    routes[2].matches.cookies = vec![is("c", "1")];
    routes[3].matches.clients = vec!["10.0.0.0/8".into()];
    routes[5].matches.local_addresses = vec!["10.0.0.0/8".into()];
    let said = explained(&routes, &get("a.test", "/?q=1&q=2", &[("cookie", "c=2")]));
    let wanted = [
        (0, "header `x-a` is absent"),
        (1, "query `q` occurs several times"),
        (2, "cookie `c` has another value"),
        (3, "client: 192.0.2.1 is in none of the networks"),
        (5, "local address: 127.0.0.1 is in none of the networks"),
        (4, "path: / does not match /b+"),
    ];
    assert_eq!(
        said,
        wanted.map(|(route, verdict)| (route, verdict.to_owned()))
    );
}

#[test]
fn a_request_without_host_is_told_apart() {
    let routes = [on_hosts(prefix("/"), &["a.test"])];
    let said = explained(&routes, &request("GET", None, "/", &[]));
    assert_eq!(
        said,
        [(
            0,
            "host: the request has none, the route is for a.test".to_owned()
        )]
    );
}

#[test]
fn a_route_met_under_two_hosts_is_listed_once() {
    let routes = [on_hosts(
        for_methods(prefix("/"), &["PUT"]),
        &["b.a.test", "*.a.test"],
    )];
    let said = explained(&routes, &get("b.a.test", "/", &[]));
    assert_eq!(said, [(0, "method: GET is not PUT".to_owned())]);
}
