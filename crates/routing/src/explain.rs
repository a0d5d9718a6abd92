// SPDX-License-Identifier: Apache-2.0
use crate::host::HostPattern;
use crate::pattern::PathPattern;
use crate::route::Ends;
use crate::visit::{Decide, Outcome, Record};
use crate::{CompiledRoute, RouteTable};
use tidegate_request::Request;

/// What became of one route when a request was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// Its index in the list that the table was made of.
    pub route: usize,
    /// Whether this is the route that takes the request.
    pub is_taken: bool,
    /// `taken`, or the first part in which request and route differ, or which route goes first.
    pub verdict: String,
}

impl RouteTable {
    /// Why each route does or does not take a request.
    ///
    /// First the routes that the search came across, in order of precedence and ending with the
    /// one taken: this part is the search of [`RouteTable::find`] itself, writing down what it
    /// does. Then all others, in the order of the file, judged one by one.
    pub fn explain(&self, listener: usize, request: &Request, ends: Ends) -> Vec<Considered> {
        let mut record = Record {
            decide: Decide { request, ends },
            outcomes: Vec::new(),
        };
        let hit = self.search(listener, request, &mut record);
        let taken = hit.and_then(|hit| self.slots.route(hit.slot));
        let mut considered = Vec::new();
        let mut is_seen = vec![false; self.slots.len()];
        for (slot, outcome) in record.outcomes {
            let (Some(route), Some(position)) = (self.slots.route(slot), self.slots.position(slot))
            else {
                continue;
            };
            // A route under an exact host and a wildcard is come across twice.
            if let Some(seen) = is_seen.get_mut(position)
                && !std::mem::replace(seen, true)
            {
                considered.push(Considered {
                    route: position,
                    is_taken: outcome == Outcome::Taken,
                    verdict: describe(route, outcome, request, ends),
                });
            }
        }
        let mut others: Vec<_> = self
            .slots
            .iter()
            .map(|(_, position, route)| (position as usize, route))
            .filter(|(position, _)| is_seen.get(*position) == Some(&false))
            .collect();
        others.sort_by_key(|(position, _)| *position);
        considered.extend(others.into_iter().map(|(position, route)| {
            Considered {
                route: position,
                is_taken: false,
                verdict: self
                    .judge_alone(listener, route, request, ends)
                    .unwrap_or_else(|| match taken {
                        Some(taken) => format!("fits, but `{}` goes first", taken.name()),
                        None => "fits".into(), // cannot be: the search finds what fits
                    }),
            }
        }));
        considered
    }

    /// The first part in which a route and a request differ, judged without the tables.
    fn judge_alone(
        &self,
        listener: usize,
        route: &CompiledRoute,
        request: &Request,
        ends: Ends,
    ) -> Option<String> {
        let listener = self.listeners.get(listener)?;
        if !listener.has(route) {
            return Some(format!("listener: the route is not on `{}`", listener.name));
        }
        let host = request.host();
        if !route.hosts().is_empty()
            && !host.is_some_and(|host| route.hosts().iter().any(|p| p.matches(host)))
        {
            let hosts: Vec<String> = route.hosts().iter().map(HostPattern::to_string).collect();
            return Some(match host {
                Some(host) => format!("host: {host} is not {}", hosts.join(" or ")),
                None => format!(
                    "host: the request has none, the route is for {}",
                    hosts.join(" or ")
                ),
            });
        }
        if !route.path().matches(request.path()) {
            return Some(describe(route, Outcome::Path, request, ends));
        }
        let miss = route.admits(request, ends).err()?;
        Some(describe(route, Outcome::Missed(miss), request, ends))
    }
}

fn describe(route: &CompiledRoute, outcome: Outcome, request: &Request, ends: Ends) -> String {
    match outcome {
        Outcome::Taken => "taken".into(),
        Outcome::Path => format!("path: {} {}", request.path(), mismatch(route.path())),
        Outcome::Missed(miss) => route.describe(miss, request, ends),
    }
}

fn mismatch(pattern: &PathPattern) -> String {
    match pattern {
        PathPattern::Exact(path) => format!("is not {path}"),
        PathPattern::Prefix(prefix) => format!("is not {prefix} and not under it"),
        PathPattern::Template(template) => format!("has not the form {template}"),
        PathPattern::Regex(regex) => format!("does not match {}", regex.source()),
    }
}
