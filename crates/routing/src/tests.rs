// SPDX-License-Identifier: Apache-2.0
//! What the tests of this crate share: short ways to write routes and requests.
mod explain;
mod fixture;
mod matches;
mod naive;
mod patterns;
mod precedence;
mod property;
mod update;

use crate::{CompiledRoute, Ends, Found, RouteTable};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tidegate_config::{FieldMatch, FieldMatchKind, PathKind, Route};
use tidegate_request::{Options, Parts, Request, Scheme, Storage, Version};

pub(crate) use fixture::route;

pub(crate) const CLIENT: Ends = from(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

/// The client at an address, to 127.0.0.1.
pub(crate) const fn from(client: IpAddr) -> Ends {
    Ends {
        client,
        local: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    }
}

pub(crate) fn prefix(path: &str) -> Route {
    route(PathKind::Prefix, path)
}

pub(crate) fn exact(path: &str) -> Route {
    route(PathKind::Exact, path)
}

pub(crate) fn template(path: &str) -> Route {
    route(PathKind::Template, path)
}

pub(crate) fn regex(path: &str) -> Route {
    route(PathKind::Regex, path)
}

pub(crate) fn on_hosts(mut route: Route, hosts: &[&str]) -> Route {
    route.hosts = hosts.iter().map(|host| (*host).into()).collect();
    route
}

pub(crate) fn for_methods(mut route: Route, methods: &[&str]) -> Route {
    route.matches.methods = methods.iter().map(|method| (*method).into()).collect();
    route
}

pub(crate) fn is(name: &str, value: &str) -> FieldMatch {
    FieldMatch {
        name: name.into(),
        kind: FieldMatchKind::Exact,
        value: value.into(),
    }
}

pub(crate) fn present(name: &str) -> FieldMatch {
    FieldMatch {
        name: name.into(),
        kind: FieldMatchKind::Present,
        value: "".into(),
    }
}

pub(crate) fn like(name: &str, value: &str) -> FieldMatch {
    FieldMatch {
        name: name.into(),
        kind: FieldMatchKind::Regex,
        value: value.into(),
    }
}

/// Compiles routes named by their position: `r0`, `r1`, ...
pub(crate) fn compile(routes: &[Route]) -> Vec<Arc<CompiledRoute>> {
    let each = routes.iter().enumerate();
    each.map(|(index, route)| CompiledRoute::compile(&format!("r{index}"), route).unwrap())
        .collect()
}

pub(crate) fn table(routes: &[Route]) -> RouteTable {
    RouteTable::build(&compile(routes), &["web", "internal"])
}

/// A GET with these fields; `host` is the Host field.
pub(crate) fn get(host: &str, target: &str, fields: &[(&str, &str)]) -> Request {
    request("GET", Some(host), target, fields)
}

pub(crate) fn find(routes: &[Route], request: &Request) -> Option<Found> {
    table(routes).find(0, request, CLIENT)
}

/// The index of the route that takes a GET of `target` from host `a.test`.
pub(crate) fn taken(routes: &[Route], target: &str) -> Option<usize> {
    find(routes, &get("a.test", target, &[])).map(|found| found.route)
}

/// A request as the codec would build it; without `host` as HTTP/1.0 allows.
pub(crate) fn request(
    method: &str,
    host: Option<&str>,
    target: &str,
    fields: &[(&str, &str)],
) -> Request {
    let mut storage = Storage::new();
    for (name, value) in host.map(|host| ("host", host)).iter().chain(fields) {
        storage
            .fields_mut()
            .append(name.as_bytes(), value.as_bytes())
            .unwrap();
    }
    let version = if host.is_some() {
        Version::Http11
    } else {
        Version::Http10
    };
    let parts = Parts {
        method: method.as_bytes(),
        target: target.as_bytes(),
        version,
        scheme: Scheme::Http,
    };
    Request::build(storage, parts, Options::default()).unwrap()
}
