// SPDX-License-Identifier: Apache-2.0
//! Random tables and random requests, drawn from few words so that they meet.
use super::naive::{self, At};
use super::{compile, is, like, present, request, route};
use crate::hosts::Hosts;
use crate::slots::Slots;
use crate::{CompiledRoute, Ends, RouteTable};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use std::sync::Arc;
use tidegate_config::{FieldMatch, PathKind, Route};
use tidegate_request::Request;

const LISTENERS: [&str; 2] = ["web", "internal"];
const HOSTS: [&str; 7] = [
    "a.test",
    "b.a.test",
    "c.b.a.test",
    "ab.test",
    "test",
    "*.a.test",
    "*.test",
];
const EXACT: [&str; 6] = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/b"];
const PREFIXES: [&str; 7] = ["/", "/a", "/a/", "/a/b", "/ab", "/b", "/a/b/c"];
const TEMPLATES: [&str; 9] = [
    "/{x}",
    "/{x*}",
    "/a/{x}",
    "/{x}/b",
    "/{x}/{y}",
    "/a/{x}/c",
    "/{x}/b/c",
    "/a/{x*}",
    "/{x}/b/{y*}",
];
const REGEXES: [&str; 5] = ["/a|/a/b", "/.*", "/[ab]+", "/a/.+", "/(a|b)/?"];
const PATHS: [&str; 14] = [
    "/",
    "/a",
    "/a/",
    "/b",
    "/ab",
    "/abc",
    "/a/b",
    "/a/b/",
    "/a/b/c",
    "/a/x/c",
    "/x/b/c",
    "/x",
    "/b/b",
    "/a/b/c/d/e",
];
const QUERIES: [&str; 8] = [
    "",
    "?v=1",
    "?v=%31",
    "?v=1&v=2",
    "?v=2&w",
    "?%76=1",
    "?w=1&v=%zz",
    "?v=1+2",
];
const CLIENTS: [&str; 4] = [
    "192.0.2.1",
    "198.51.100.7",
    "2001:db8::1",
    "::ffff:192.0.2.9",
];
const NETWORKS: [&str; 4] = ["192.0.2.0/24", "192.0.2.1/32", "2001:db8::/32", "0.0.0.0/0"];

fn path() -> impl Strategy<Value = (PathKind, &'static str)> {
    prop_oneof![
        select(&EXACT[..]).prop_map(|path| (PathKind::Exact, path)),
        select(&PREFIXES[..]).prop_map(|path| (PathKind::Prefix, path)),
        select(&TEMPLATES[..]).prop_map(|path| (PathKind::Template, path)),
        select(&REGEXES[..]).prop_map(|path| (PathKind::Regex, path)),
    ]
}

fn field(name: &'static str) -> impl Strategy<Value = FieldMatch> {
    prop_oneof![
        Just(is(name, "1")),
        Just(is(name, "2")),
        Just(is(name, "1 2")),
        Just(present(name)),
        Just(like(name, "[12]|%zz"))
    ]
}

/// Mostly nothing, so that several routes often fit.
fn rarely<T: Clone + std::fmt::Debug + 'static>(
    some: impl Strategy<Value = Vec<T>>,
) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![3 => Just(vec![]), 1 => some]
}

fn owned(words: Vec<&'static str>) -> Vec<String> {
    words.into_iter().map(Into::into).collect()
}

fn any_route() -> impl Strategy<Value = Route> {
    let fields = (
        rarely(prop::collection::vec(field("X-V"), 1..3)),
        rarely(prop::collection::vec(
            prop_oneof![field("v"), field("w")],
            1..3,
        )),
        rarely(prop::collection::vec(field("c"), 1..2)),
    );
    (
        path(),
        rarely(subsequence(&LISTENERS[..], 1)),
        prop_oneof![Just(vec![]), subsequence(&HOSTS[..], 1..3)],
        rarely(subsequence(&["GET", "POST"][..], 1..=2)),
        fields,
        rarely(subsequence(&NETWORKS[..], 1..2)),
        rarely(subsequence(&NETWORKS[..], 1..2)),
    )
        .prop_map(
            |(
                (kind, path),
                listeners,
                hosts,
                methods,
                (headers, query, cookies),
                clients,
                local,
            )| {
                let mut route = route(kind, path);
                route.listeners = owned(listeners);
                route.hosts = owned(hosts);
                route.matches.methods = owned(methods);
                route.matches.headers = headers;
                route.matches.query = query;
                route.matches.cookies = cookies;
                route.matches.clients = owned(clients);
                route.matches.local_addresses = owned(local);
                route
            },
        )
}

#[derive(Clone, Debug)]
struct Asked {
    listener: usize,
    ends: Ends,
    request: Request,
}

fn any_request() -> impl Strategy<Value = Asked> {
    let fields = subsequence(
        vec![
            ("x-v", "1"),
            ("X-V", "2"),
            ("Cookie", "c=1"),
            ("cookie", "d=0; c=2"),
        ],
        0..=4,
    );
    (
        0..LISTENERS.len(),
        (
            select(&CLIENTS[..]),
            proptest::option::weighted(0.9, select(&CLIENTS[..])),
        ),
        select(&["GET", "GET", "POST", "PUT"][..]),
        proptest::option::weighted(
            0.9,
            select(vec![
                "a.test",
                "b.a.test",
                "c.b.a.test",
                "x.a.test",
                "ab.test",
                "test",
            ]),
        ),
        (select(&PATHS[..]), select(&QUERIES[..])),
        fields,
    )
        .prop_map(
            |(listener, (client, local), method, host, (path, query), fields)| Asked {
                listener,
                ends: Ends {
                    client: client.parse().unwrap(),
                    local: local.map(|local| local.parse().unwrap()),
                },
                request: request(method, host, &format!("{path}{query}"), &fields),
            },
        )
}

fn at(asked: &Asked) -> At<'static> {
    At {
        listener: LISTENERS[asked.listener],
        ends: asked.ends,
    }
}

fn found(table: &RouteTable, asked: &Asked) -> Option<usize> {
    table
        .find(asked.listener, &asked.request, asked.ends)
        .map(|found| found.route)
}

/// One edit of a list of routes.
#[derive(Clone, Debug)]
enum Edit {
    Insert(Index, Box<Route>),
    Replace(Index, Box<Route>),
    Remove(Index),
    Move(Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), any_route()).prop_map(|(at, route)| Edit::Insert(at, Box::new(route))),
        (any::<Index>(), any_route()).prop_map(|(at, route)| Edit::Replace(at, Box::new(route))),
        any::<Index>().prop_map(Edit::Remove),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Edit::Move(from, to)),
    ]
}

type Lists = (Vec<Route>, Vec<Arc<CompiledRoute>>);

fn apply((routes, compiled): &mut Lists, edit: Edit) {
    let fresh = |route: &Route| CompiledRoute::compile("edited", route).unwrap();
    match edit {
        Edit::Insert(at, route) => {
            let at = at.index(routes.len() + 1);
            compiled.insert(at, fresh(&route));
            routes.insert(at, *route);
        }
        _ if routes.is_empty() => {}
        Edit::Replace(at, route) => {
            let at = at.index(routes.len());
            compiled[at] = fresh(&route);
            routes[at] = *route;
        }
        Edit::Remove(at) => {
            let at = at.index(routes.len());
            compiled.remove(at);
            routes.remove(at);
        }
        Edit::Move(from, to) => {
            let (from, to) = (from.index(routes.len()), to.index(routes.len()));
            let (route, moved) = (routes.remove(from), compiled.remove(from));
            routes.insert(to, route);
            compiled.insert(to, moved);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_table_finds_what_judging_every_route_finds(
        routes in prop::collection::vec(any_route(), 0..40),
        asked in prop::collection::vec(any_request(), 1..40),
    ) {
        let table = RouteTable::build(&compile(&routes), &LISTENERS);
        for asked in &asked {
            prop_assert_eq!(found(&table, asked), naive::find(&routes, &at(asked), &asked.request), "{:?}", asked);
        }
    }

    #[test]
    fn explain_takes_the_same_route_and_names_the_first_failing_part_of_each_other(
        routes in prop::collection::vec(any_route(), 0..20),
        asked in any_request(),
    ) {
        let table = RouteTable::build(&compile(&routes), &LISTENERS);
        let taken = found(&table, &asked);
        let considered = table.explain(asked.listener, &asked.request, asked.ends);
        let mut seen: Vec<_> = considered.iter().map(|one| one.route).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..routes.len()).collect::<Vec<_>>());
        for one in considered {
            prop_assert_eq!(one.is_taken, Some(one.route) == taken);
            let word = naive::first_miss(&routes[one.route], &at(&asked), &asked.request);
            let expected = if one.is_taken { "taken" } else { word };
            prop_assert!(one.verdict.starts_with(expected), "{} is not {}", one.verdict, expected);
        }
    }

    #[test]
    fn updates_lead_to_the_table_that_building_anew_gives(
        routes in prop::collection::vec(any_route(), 0..30),
        steps in prop::collection::vec(prop::collection::vec(edit(), 0..5), 1..8),
        asked in prop::collection::vec(any_request(), 1..30),
    ) {
        let mut lists = (routes.clone(), compile(&routes));
        let mut table = RouteTable::build(&lists.1, &LISTENERS);
        for edits in steps {
            edits.into_iter().for_each(|edit| apply(&mut lists, edit));
            table = table.update(&lists.1);
            for asked in &asked {
                prop_assert_eq!(found(&table, asked), naive::find(&lists.0, &at(asked), &asked.request), "{:?}", asked);
            }
        }
    }

    #[test]
    fn taking_out_every_route_leaves_nothing_behind(
        routes in prop::collection::vec(any_route(), 0..30).prop_shuffle(),
        order in prop::collection::vec(any::<Index>(), 30),
    ) {
        let (mut slots, mut hosts, mut inside) = (Slots::default(), Hosts::default(), vec![]);
        for (position, route) in (0..).zip(compile(&routes)) {
            let slot = slots.add(Arc::clone(&route), position);
            hosts.insert(&slots, slot, &route);
            inside.push((slot, route));
        }
        for index in order.iter().take(routes.len()) {
            let (slot, route) = inside.swap_remove(index.index(inside.len()));
            hosts.remove(slot, &route);
        }
        prop_assert!(hosts.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn big_tables_agree_with_judging_every_route(
        routes in prop::collection::vec(any_route(), 300..1000),
        asked in prop::collection::vec(any_request(), 60),
    ) {
        let table = RouteTable::build(&compile(&routes), &LISTENERS);
        for asked in &asked {
            prop_assert_eq!(found(&table, asked), naive::find(&routes, &at(asked), &asked.request), "{:?}", asked);
        }
    }
}
