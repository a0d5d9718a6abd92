// SPDX-License-Identifier: Apache-2.0
use crate::encoded;
use crate::field::{FieldMatcher, Misfit, Spelling};
use crate::host::HostPattern;
use crate::pattern::PathPattern;
use std::net::IpAddr;
use std::sync::Arc;
use tidegate_config::{FieldMatch, Match, Route};
use tidegate_core::{Networks, parse_network};
use tidegate_request::{Request, syntax};

/// A route's hosts and matches, ready to be put into a [`crate::RouteTable`].
#[derive(Debug)]
pub struct CompiledRoute {
    name: Arc<str>,
    listeners: Vec<String>,
    hosts: Vec<HostPattern>,
    path: PathPattern,
    methods: Vec<String>,
    headers: Vec<FieldMatcher>,
    query: Vec<FieldMatcher>,
    cookies: Vec<FieldMatcher>,
    clients: Networks,
    local_addresses: Networks,
    rank: Rank,
}

/// What decides between routes with the same host and an equally precise path; the greater goes
/// first. The order of the fields is the order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    has_methods: bool,
    headers: usize,
    query: usize,
    cookies: usize,
    has_clients: bool,
    has_local_addresses: bool,
}

/// The first part, after host and path, in which a request differs from what a route asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    Method,
    Header(usize, Misfit),
    Query(usize, Misfit),
    Cookie(usize, Misfit),
    Client,
    LocalAddress,
}

/// The addresses of a connection's two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who asks: the peer, or whom trusted proxies name.
    pub client: IpAddr,
    /// The address that was dialled. `None` where there is none, on a Unix socket, and where nobody
    /// has looked, which [`crate::RouteTable::asks_local_address`] must have allowed.
    pub local: Option<IpAddr>,
}

/// What a browser says of a request that a page wants to make, when it asks whether that may be
/// (a CORS-preflight request, Fetch §3.2.2). It tells no values of fields, and no cookies.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a str,
    /// Names of fields it has besides those that every page may send: `Access-Control-Request-Headers`.
    pub headers: &'a [u8],
    /// Whether fields and cookies that are not told count as those that a route asks for.
    pub is_lenient: bool,
}

impl Asked<'_> {
    fn names(&self, name: &str) -> bool {
        let mut names = self.headers.split(|byte| *byte == b',');
        names.any(|each| each.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    }
}

impl CompiledRoute {
    /// Reads what a route asks of a request.
    ///
    /// # Errors
    /// The first part that is wrong, as `where: what is wrong; what to write instead`, such as
    /// ``match.headers[0]: `a(` is no regular expression: unclosed group; ...``. `where` is the
    /// path of keys under the route.
    pub fn compile(name: &str, route: &Route) -> Result<Arc<Self>, String> {
        // What is quoted from the configuration may hold anything; a message is one line.
        let read = Self::read(name, route);
        read.map(Arc::new)
            .map_err(|error| error.replace(char::is_control, "\u{fffd}"))
    }

    fn read(name: &str, route: &Route) -> Result<Self, String> {
        let asked = &route.matches;
        let mut hosts: Vec<HostPattern> = Vec::with_capacity(route.hosts.len());
        for (index, host) in route.hosts.iter().enumerate() {
            let host =
                HostPattern::parse(host).map_err(|error| format!("hosts[{index}]: {error}"))?;
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        let path =
            PathPattern::compile(&asked.path).map_err(|error| format!("match.path: {error}"))?;
        let clients = networks("clients", &asked.clients)?;
        let local_addresses = networks("local_addresses", &asked.local_addresses)?;
        each("methods", &asked.methods, |method| check_method(method))?;
        Ok(Self {
            name: name.into(),
            listeners: route.listeners.clone(),
            hosts,
            path,
            methods: asked.methods.clone(),
            headers: each("headers", &asked.headers, compile_header)?,
            query: each("query", &asked.query, FieldMatcher::compile)?,
            cookies: each("cookies", &asked.cookies, FieldMatcher::compile)?,
            clients,
            local_addresses,
            rank: Rank::of(asked),
        })
    }

    /// The route's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The listeners it is on; empty means all but those for routes only that name them.
    pub fn listeners(&self) -> &[String] {
        &self.listeners
    }

    /// Names of a template's parameters, from the left; empty for other paths. The first number of
    /// each of [`crate::Found::parameters`] is an index into them.
    pub fn parameter_names(&self) -> &[String] {
        match &self.path {
            PathPattern::Template(template) => template.names(),
            PathPattern::Exact(_) | PathPattern::Prefix(_) | PathPattern::Regex(_) => &[],
        }
    }

    pub(crate) fn hosts(&self) -> &[HostPattern] {
        &self.hosts
    }

    pub(crate) fn path(&self) -> &PathPattern {
        &self.path
    }

    pub(crate) fn rank(&self) -> Rank {
        self.rank
    }

    /// Whether it asks nothing of a request but host and path.
    pub(crate) fn is_plain(&self) -> bool {
        self.methods.is_empty()
            && self.headers.is_empty()
            && self.query.is_empty()
            && self.cookies.is_empty()
            && self.clients.is_empty()
            && self.local_addresses.is_empty()
    }

    /// Whether it asks for the address that was dialled.
    pub(crate) fn asks_local_address(&self) -> bool {
        !self.local_addresses.is_empty()
    }

    /// Judges everything but host and path.
    #[inline]
    pub(crate) fn admits(&self, request: &Request, ends: Ends) -> Result<(), Miss> {
        if !self.methods.is_empty() && !self.methods.iter().any(|method| method == request.method())
        {
            return Err(Miss::Method);
        }
        for (index, header) in self.headers.iter().enumerate() {
            let values = request.fields().get_all_name(header.name.as_bytes());
            header
                .judge(values, Spelling::Plain)
                .map_err(|misfit| Miss::Header(index, misfit))?;
        }
        self.admits_query(request)?;
        self.admits_cookies(request)?;
        self.admits_ends(ends)
    }

    /// Judges whether it would admit the request that a browser asks about, of which `request` tells the host, the
    /// path and the query, and `asked` the rest.
    pub(crate) fn admits_asked(&self, asked: &Asked<'_>, request: &Request, ends: Ends) -> bool {
        let mut methods = self.methods.iter();
        let header = |header: &FieldMatcher| {
            let values = request.fields().get_all_name(header.name.as_bytes());
            asked.names(&header.name) || header.judge(values, Spelling::Plain).is_ok()
        };
        (self.methods.is_empty() || methods.any(|method| method == asked.method))
            && (asked.is_lenient
                || (self.headers.iter().all(header) && self.admits_cookies(request).is_ok()))
            && self.admits_query(request).is_ok()
            && self.admits_ends(ends).is_ok()
    }

    fn admits_query(&self, request: &Request) -> Result<(), Miss> {
        for (index, parameter) in self.query.iter().enumerate() {
            let values = request
                .query_pairs()
                .filter(|(name, _)| encoded::equals(name, parameter.name.as_bytes()))
                .map(|(_, value)| value);
            parameter
                .judge(values, Spelling::Encoded)
                .map_err(|misfit| Miss::Query(index, misfit))?;
        }
        Ok(())
    }

    fn admits_cookies(&self, request: &Request) -> Result<(), Miss> {
        for (index, cookie) in self.cookies.iter().enumerate() {
            let values = request
                .cookies()
                .filter(|(name, _)| *name == cookie.name.as_bytes())
                .map(|(_, value)| value);
            cookie
                .judge(values, Spelling::Plain)
                .map_err(|misfit| Miss::Cookie(index, misfit))?;
        }
        Ok(())
    }

    #[inline]
    fn admits_ends(&self, ends: Ends) -> Result<(), Miss> {
        if !self.clients.is_empty() && !self.clients.contains(ends.client) {
            return Err(Miss::Client);
        }
        if !self.local_addresses.is_empty()
            && !ends
                .local
                .is_some_and(|local| self.local_addresses.contains(local))
        {
            return Err(Miss::LocalAddress);
        }
        Ok(())
    }

    /// Says in words what a [`Miss`] of this route means for a request.
    pub(crate) fn describe(&self, miss: Miss, request: &Request, ends: Ends) -> String {
        let name = |fields: &[FieldMatcher], index: usize| {
            fields
                .get(index)
                .map_or_else(String::new, |field| field.name.clone())
        };
        match miss {
            Miss::Method => format!(
                "method: {} is not {}",
                request.method(),
                self.methods.join(" or ")
            ),
            Miss::Header(index, misfit) => {
                format!("header `{}` {}", name(&self.headers, index), misfit.words())
            }
            Miss::Query(index, misfit) => {
                format!("query `{}` {}", name(&self.query, index), misfit.words())
            }
            Miss::Cookie(index, misfit) => {
                format!("cookie `{}` {}", name(&self.cookies, index), misfit.words())
            }
            Miss::Client => format!(
                "client: {} is in none of the networks",
                ends.client.to_canonical()
            ),
            Miss::LocalAddress => match ends.local {
                Some(local) => format!(
                    "local address: {} is in none of the networks",
                    local.to_canonical()
                ),
                None => "local address: the connection has none".into(),
            },
        }
    }
}

impl Rank {
    fn of(asked: &Match) -> Self {
        Self {
            has_methods: !asked.methods.is_empty(),
            headers: asked.headers.len(),
            query: asked.query.len(),
            cookies: asked.cookies.len(),
            has_clients: !asked.clients.is_empty(),
            has_local_addresses: !asked.local_addresses.is_empty(),
        }
    }
}

impl Misfit {
    fn words(self) -> &'static str {
        match self {
            Self::Absent => "is absent",
            Self::Repeated => "occurs several times",
            Self::Differs => "has another value",
        }
    }
}

/// Compiles every item of a list under `match`, naming the one that is wrong.
fn each<T, U>(
    key: &str,
    items: &[T],
    compile: impl Fn(&T) -> Result<U, String>,
) -> Result<Vec<U>, String> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            compile(item).map_err(|error| format!("match.{key}[{index}]: {error}"))
        })
        .collect()
}

/// Addresses of a list under `match`.
fn networks(key: &str, texts: &[String]) -> Result<Networks, String> {
    let read = each(key, texts, |text| parse_network(text))?;
    Ok(read.into_iter().collect())
}

fn compile_header(field: &FieldMatch) -> Result<FieldMatcher, String> {
    if !syntax::is_token(field.name.as_bytes()) {
        return Err(format!(
            "`{}` is no field name; write letters, digits and `-`",
            field.name
        ));
    }
    if field.name.eq_ignore_ascii_case("host") {
        return Err("`host` is matched by the route's `hosts`; write it there".into());
    }
    FieldMatcher::compile(field)
}

fn check_method(method: &str) -> Result<(), String> {
    if !syntax::is_token(method.as_bytes()) {
        return Err(format!("`{method}` is no method; write one such as `GET`"));
    }
    if ["CONNECT", "TRACE", "TRACK"]
        .iter()
        .any(|refused| refused.eq_ignore_ascii_case(method))
    {
        return Err(format!(
            "{method} requests are always refused; leave it out"
        ));
    }
    Ok(())
}
