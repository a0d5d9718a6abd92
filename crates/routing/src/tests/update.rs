// SPDX-License-Identifier: Apache-2.0
//! That a change costs what it touches.
use super::{CLIENT, compile, exact, get, on_hosts, prefix};
use crate::RouteTable;
use std::sync::Arc;

fn taken(table: &RouteTable, host: &str, target: &str) -> Option<usize> {
    table
        .find(0, &get(host, target, &[]), CLIENT)
        .map(|found| found.route)
}

#[test]
fn hosts_that_a_change_does_not_touch_keep_their_tables() {
    let mut routes = compile(&[
        on_hosts(prefix("/"), &["a.test"]),
        on_hosts(prefix("/"), &["b.test"]),
    ]);
    let before = RouteTable::build(&routes, &["web"]);
    routes[0] = Arc::clone(&compile(&[on_hosts(exact("/x"), &["a.test"])])[0]);
    let after = before.update(&routes);
    let hosts =
        |table: &RouteTable, host: &str| Arc::clone(table.listeners[0].hosts.exact(host).unwrap());
    assert!(Arc::ptr_eq(
        &hosts(&before, "b.test"),
        &hosts(&after, "b.test")
    ));
    assert!(!Arc::ptr_eq(
        &hosts(&before, "a.test"),
        &hosts(&after, "a.test")
    ));
}

#[test]
fn a_route_in_front_moves_the_others_without_touching_them() {
    let routes = compile(&[
        on_hosts(prefix("/"), &["a.test"]),
        on_hosts(prefix("/"), &["b.test"]),
    ]);
    let before = RouteTable::build(&routes, &["web"]);
    let mut more = compile(&[on_hosts(prefix("/"), &["c.test"])]);
    more.extend(routes);
    let after = before.update(&more);
    assert_eq!(
        (taken(&before, "b.test", "/"), taken(&after, "b.test", "/")),
        (Some(1), Some(2))
    );
    let hosts = |table: &RouteTable| Arc::clone(table.listeners[0].hosts.exact("b.test").unwrap());
    assert!(Arc::ptr_eq(&hosts(&before), &hosts(&after)));
}

#[test]
fn nothing_changed_shares_everything() {
    let routes = compile(&[prefix("/"), exact("/a")]);
    let before = RouteTable::build(&routes, &["web"]);
    let after = before.update(&routes);
    assert!(Arc::ptr_eq(
        &before.listeners[0].hosts,
        &after.listeners[0].hosts
    ));
}

#[test]
fn routes_without_listeners_are_on_all_but_those_for_named_ones() {
    let mut own = exact("/own");
    own.listeners = vec!["admin".into()];
    let routes = compile(&[prefix("/"), own]);
    let listeners = [("admin", true), ("web", false), ("more", false)];
    let before = RouteTable::build_for(&routes, listeners);
    // Also where the change is greater than what stays, and the table is built anew.
    let after = before.update(&compile(&[prefix("/"), exact("/b"), exact("/c")]));
    for table in [&before, &after] {
        let found = |listener| {
            table
                .find(listener, &get("a.test", "/x", &[]), CLIENT)
                .is_some()
        };
        assert_eq!([found(0), found(1), found(2)], [false, true, true]);
    }
    assert!(
        before
            .find(0, &get("a.test", "/own", &[]), CLIENT)
            .is_some()
    );
    assert_eq!(after.listeners().collect::<Vec<_>>(), listeners);
}

#[test]
fn listeners_with_the_same_routes_share_one_table() {
    let mut routes = compile(&[prefix("/"), exact("/a")]);
    let table = RouteTable::build(&routes, &["web", "internal"]);
    assert!(Arc::ptr_eq(
        &table.listeners[0].hosts,
        &table.listeners[1].hosts
    ));
    routes.extend(compile(&[exact("/b")]));
    let table = table.update(&routes);
    assert!(Arc::ptr_eq(
        &table.listeners[0].hosts,
        &table.listeners[1].hosts
    ));
    let mut inner = exact("/c");
    inner.listeners = vec!["internal".into()];
    routes.extend(compile(&[inner]));
    let table = table.update(&routes);
    assert!(!Arc::ptr_eq(
        &table.listeners[0].hosts,
        &table.listeners[1].hosts
    ));
}

#[test]
fn routes_that_change_places_change_precedence() {
    let mut routes = compile(&[prefix("/"), prefix("/"), prefix("/a")]);
    let table = RouteTable::build(&routes, &["web"]);
    let first = Arc::clone(&routes[0]);
    assert_eq!(taken(&table, "a.test", "/"), Some(0));
    routes.rotate_left(1);
    let table = table.update(&routes);
    assert_eq!(taken(&table, "a.test", "/"), Some(0));
    let found = table.find(0, &get("a.test", "/", &[]), CLIENT).unwrap();
    assert!(!Arc::ptr_eq(&routes[found.route], &first));
    assert_eq!(taken(&table, "a.test", "/a"), Some(1));
}

#[test]
fn the_old_table_goes_on_as_it_was() {
    let routes = compile(&[prefix("/"), prefix("/a"), prefix("/b")]);
    let before = RouteTable::build(&routes, &["web"]);
    let after = before.update(&routes[..2]);
    assert_eq!(
        (
            taken(&before, "a.test", "/b"),
            taken(&after, "a.test", "/b")
        ),
        (Some(2), Some(0))
    );
}

#[test]
fn a_route_listed_twice_leaves_no_trace_when_it_goes() {
    let mut routes = compile(&[prefix("/a"), prefix("/b"), prefix("/c"), prefix("/d")]);
    let other = routes.clone();
    routes.push(Arc::clone(&routes[0]));
    let table = RouteTable::build(&routes, &["web"]).update(&other[1..]);
    assert_eq!(taken(&table, "a.test", "/a"), None);
}
