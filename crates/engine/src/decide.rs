// SPDX-License-Identifier: Apache-2.0
//! What becomes of a request: pure functions that the live path and `explain` both call.
//!
//! Nothing here reads a clock, a socket or a generator of its own: time and randomness are
//! arguments. Whatever the live path decides, it decides here.
use crate::affinity::{self, Session};
use crate::asked::asked_about;
use crate::levels;
use crate::snapshot::{BackendPlan, EndpointList, RoutePlan, Settings, Snapshot, TargetPlan};
use smallvec::SmallVec;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_contract::{Candidates, Client, Endpoint, Parameters};
use tidegate_core::{Draw, Moment, StableHash};
use tidegate_request::{FieldId, Reject, Request};
use tidegate_routing::Ends;

/// A route that takes the request, and what its path match found.
pub(crate) struct Routed<'a> {
    pub(crate) route: &'a Arc<RoutePlan>,
    pub(crate) parameters: Parameters,
    /// Bytes of the path that a prefix match took.
    pub(crate) prefix_len: usize,
    /// The request is a browser's question about another, which the route would take; the question itself it
    /// would not, so that a policy has to answer.
    pub(crate) is_question: bool,
}

impl<'a> Routed<'a> {
    /// `route` takes the request whatever its path.
    pub(crate) fn whole(route: &'a Arc<RoutePlan>) -> Self {
        Self {
            route,
            parameters: Parameters::default(),
            prefix_len: 0,
            is_question: false,
        }
    }
}

/// Who asks: the peer, or whom a chain of trusted proxies names. The rightmost address that is not
/// itself trusted counts; anything further left was written by a stranger.
pub(crate) fn client(
    settings: &Settings,
    peer: IpAddr,
    port: u16,
    is_trusted: bool,
    request: &Request,
) -> Client {
    let mut address = peer;
    if is_trusted {
        // Fields that occur several times are one list (RFC 9110 §5.2): the last line is nearest.
        let lines: SmallVec<[&[u8]; 4]> =
            request.fields().get_all(FieldId::XForwardedFor).collect();
        let hops = lines
            .iter()
            .rev()
            .flat_map(|line| line.rsplit(|byte| *byte == b','));
        for hop in hops {
            let text = std::str::from_utf8(hop).unwrap_or_default().trim();
            let Some(named) = forwarded_address(text) else {
                break;
            };
            address = named;
            if !settings.is_trusted(named) {
                break;
            }
        }
    }
    Client {
        address,
        peer,
        port,
        is_trusted,
    }
}

/// An address as `X-Forwarded-For` writes it, with or without a port.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next());
    let parsed = match bare {
        Some(inside) => inside.parse().ok(),
        None => text
            .parse()
            .ok()
            .or_else(|| text.rsplit_once(':')?.0.parse().ok()),
    };
    parsed.map(|address: IpAddr| address.to_canonical())
}

/// The route that takes the request at the listener with this index.
pub(crate) fn route<'a>(
    snapshot: &'a Snapshot,
    listener: usize,
    request: &Request,
    ends: Ends,
) -> Option<Routed<'a>> {
    let found = snapshot.table.find(listener, request, ends);
    let asked = asked_about(snapshot, listener, request, ends);
    let asked = asked.filter(|asked| found.as_ref().is_none_or(|own| own.route != asked.route));
    let is_question = asked.is_some();
    let found = asked.or(found)?;
    let route = snapshot.routes.get(found.route)?;
    let parameters = found
        .parameters
        .iter()
        .filter_map(|(name, range)| {
            let value = request.path().get(range.clone())?;
            Some((
                route.compiled.parameter_names().get(*name)?.clone(),
                value.to_owned(),
            ))
        })
        .collect();
    Some(Routed {
        route,
        parameters,
        prefix_len: found.prefix_len,
        is_question,
    })
}

/// How answers are mapped back after a rewrite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// What the client's path begins with where the endpoint's begins with `inner`.
    pub(crate) outer: String,
    /// What it was replaced by.
    pub(crate) inner: String,
    /// The host the endpoint was told, where it is not the client's.
    pub(crate) inner_host: Option<String>,
}

/// Changes path and host as the route says; tells how to map the answer back.
///
/// # Errors
/// When the new path would not be canonical, which the configuration's own check makes unlikely.
pub(crate) fn rewrite(
    routed: &Routed<'_>,
    request: &mut Request,
) -> Result<Option<Mapping>, Reject> {
    let Some(rewrite) = &routed.route.rewrite else {
        return Ok(None);
    };
    let mut mapping = Mapping::default();
    if let Some(prefix) = &rewrite.prefix {
        let (taken, rest) = request
            .path()
            .split_at_checked(routed.prefix_len)
            .unwrap_or(("", request.path()));
        mapping.outer = taken.trim_end_matches('/').to_owned();
        mapping.inner = prefix.trim_end_matches('/').to_owned();
        let rest = rest.trim_start_matches('/');
        let path = match rest.is_empty() {
            // `/app` on `/` is `/`; `/app` on `/inner` is `/inner`, not `/inner/`.
            true if taken.len() == request.path().len() => match mapping.inner.is_empty() {
                true => "/".to_owned(),
                false => mapping.inner.clone(),
            },
            _ => format!("{}/{rest}", mapping.inner),
        };
        request.set_path(path.as_bytes())?;
    }
    if let Some(template) = &rewrite.path {
        let mut path = template.clone();
        for (name, value) in &routed.parameters {
            path = path
                .replace(&format!("{{{name}}}"), value)
                .replace(&format!("{{{name}*}}"), value);
        }
        request.set_path(path.as_bytes())?;
    }
    if let Some(host) = &rewrite.host {
        request.set_authority(host.as_bytes())?;
        mapping.inner_host = Some(host.clone());
    }
    Ok(Some(mapping))
}

/// One of the route's backends, drawn by weight.
pub(crate) fn backend<'a>(
    snapshot: &'a Snapshot,
    route: &RoutePlan,
    draw: &mut Draw,
) -> Option<&'a Arc<BackendPlan>> {
    let TargetPlan::Forward { backends, total } = &route.to else {
        return None;
    };
    one_of(snapshot, backends, *total, draw)
}

/// One of `backends`, drawn by weight, of which the sum is `total`.
pub(crate) fn one_of<'a>(
    snapshot: &'a Snapshot,
    backends: &[(Arc<str>, u32)],
    total: u64,
    draw: &mut Draw,
) -> Option<&'a Arc<BackendPlan>> {
    let name = match backends {
        [(only, _)] => only,
        several => {
            let mut ticket = draw.below(total);
            let found = several.iter().find(|(_, weight)| {
                let hit = ticket < u64::from(*weight);
                ticket = ticket.saturating_sub(u64::from(*weight));
                hit
            });
            &found?.0
        }
    };
    snapshot.backends.get(name)
}

/// Why no endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoEndpoint {
    /// There is none that was not tried already.
    Nothing,
    /// All that could serve are at their limits: waiting may help.
    NoRoom,
}

/// Indexes of endpoints that may take a request.
pub(crate) type Usable = SmallVec<[u16; 16]>;

/// The endpoints a request may go to at `now`: of those not tried, the healthy ones that were not
/// given a computed weight of 0; when there is none, all of them, because a checker that sees
/// nothing healthy may itself be the sick one.
pub(crate) fn usable(
    plan: &BackendPlan,
    list: &EndpointList,
    now: Moment,
    tried: &[u16],
) -> Result<Usable, NoEndpoint> {
    let limit = plan.endpoint_limit;
    let is_open = |index: &u16| {
        list.endpoints
            .get(usize::from(*index))
            .is_some_and(|endpoint| {
                endpoint.weight > 0 && !endpoint.is_draining && !tried.contains(index)
            })
    };
    let is_well = |index: &u16| {
        list.endpoints
            .get(usize::from(*index))
            .is_some_and(|endpoint| levels::is_well(endpoint, now))
    };
    let count = u16::try_from(list.endpoints.len()).unwrap_or(u16::MAX);
    let mut usable: Usable = (0..count)
        .filter(|index| is_open(index) && is_well(index))
        .collect();
    if usable.is_empty() {
        // Retries do not fall back on endpoints known to be sick: the first try did already.
        if tried.is_empty() {
            usable = (0..count).filter(is_open).collect();
        }
        if usable.is_empty() {
            return Err(NoEndpoint::Nothing);
        }
    }
    usable.retain(|index| {
        list.endpoints
            .get(usize::from(*index))
            .is_some_and(|endpoint| endpoint.state.in_flight.load(Ordering::Relaxed) < limit)
    });
    match usable.is_empty() {
        true => Err(NoEndpoint::NoRoom),
        false => Ok(usable),
    }
}

/// What decides where a request goes besides health and load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    /// What the balancer's key is made from; `None` where it has none, or the request.
    pub(crate) hash: Option<u64>,
    /// What the request says of its session; `None` where the backend asks for none.
    pub(crate) session: Option<Session>,
}

impl Key {
    /// What is alike in requests that go to the same group.
    fn of_group(&self) -> Option<u64> {
        self.session.map(Session::key).or(self.hash)
    }
}

/// A place in the division of requests among groups of endpoints: drawn, unless a key decides, so
/// that what is alike goes to the same group.
fn ticket(key: &Key, draw: &mut Draw) -> u64 {
    match key.of_group() {
        Some(key) => StableHash::mix(key) & (levels::WHOLE - 1),
        None => draw.below(levels::WHOLE),
    }
}

/// Every set of endpoints that the request may come before, with the share of such requests that
/// do: one set where nothing is divided, or where a key decides.
pub(crate) fn choices(
    plan: &BackendPlan,
    list: &EndpointList,
    now: Moment,
    key: &Key,
) -> Result<Vec<(f64, Usable)>, NoEndpoint> {
    if plan.is_full(list) {
        return Err(NoEndpoint::NoRoom);
    }
    let mut draw = Draw::from_seed(0);
    if let Some(session) = key.session {
        let index = of_session(plan, list, now, &[], key, session, &mut draw)?;
        return Ok(vec![(1.0, std::iter::once(index).collect())]);
    }
    let Some(levels) = plan.levels(list, now) else {
        return Ok(vec![(1.0, usable(plan, list, now, &[])?)]);
    };
    if key.hash.is_some() {
        let ticket = ticket(key, &mut draw);
        return Ok(vec![(1.0, levels.usable(plan, list, &[], ticket)?)]);
    }
    let shares = levels.shares().filter(|(share, ..)| *share > 0.0);
    let mut choices = Vec::new();
    for (share, first, _) in shares {
        choices.push((share, levels.usable(plan, list, &[], first)?));
    }
    match choices.is_empty() {
        true => Err(NoEndpoint::Nothing),
        false => Ok(choices),
    }
}

/// What the balancer chooses from.
pub(crate) fn candidates<'a>(
    list: &'a EndpointList,
    usable: &'a Usable,
    now: Moment,
) -> Candidates<'a> {
    // Whoever sees the number sees the weights that were set before it.
    let version = list.version.load(Ordering::Acquire);
    Candidates::new(&list.endpoints, usable).at(now, version)
}

/// What in the request decides where it goes.
#[inline]
pub(crate) fn key(plan: &BackendPlan, request: &Request, client: IpAddr) -> Key {
    let hash = plan.key.as_ref().and_then(|key| key.key(request, client));
    let affinity = plan.affinity.as_ref();
    let session = affinity.and_then(|affinity| affinity.session(request, client));
    Key { hash, session }
}

/// What decides where a connection without requests goes.
pub(crate) fn connection_key(plan: &BackendPlan, client: IpAddr) -> Key {
    let key = plan.key.as_ref();
    let affinity = plan.affinity.as_ref();
    Key {
        hash: key.and_then(|key| key.of_connection(client)),
        session: affinity.and_then(|affinity| affinity.of_connection(client)),
    }
}

/// The endpoints that a request with this key may go to.
fn open_to(
    plan: &BackendPlan,
    list: &EndpointList,
    now: Moment,
    tried: &[u16],
    key: &Key,
    draw: &mut Draw,
) -> Result<Usable, NoEndpoint> {
    let levels = plan.levels(list, now);
    let ticket = levels.as_ref().map(|_| ticket(key, draw));
    let open = |tried: &[u16]| match (&levels, ticket) {
        (Some(levels), Some(ticket)) => levels.usable(plan, list, tried, ticket),
        _ => usable(plan, list, now, tried),
    };
    let found = open(tried)?;
    // What is alike goes to the same second endpoint as well.
    if key.of_group().is_some() || tried.is_empty() || !list.has_zones {
        return Ok(found);
    }
    Ok(elsewhere(list, tried, &found, open).unwrap_or(found))
}

/// Of the endpoints that a retry may go to, those in zones where no try has failed: what took one
/// endpoint of a zone may well have taken all. `None` where that leaves none of the same priority.
fn elsewhere(
    list: &EndpointList,
    tried: &[u16],
    found: &Usable,
    open: impl Fn(&[u16]) -> Result<Usable, NoEndpoint>,
) -> Option<Usable> {
    let of = |index: u16| list.endpoints.get(usize::from(index));
    let has_failed = |endpoint: &Endpoint| {
        let mut tried = tried.iter().filter_map(|index| of(*index));
        endpoint.zone.is_some() && tried.any(|other| other.zone == endpoint.zone)
    };
    let count = u16::try_from(list.endpoints.len()).unwrap_or(u16::MAX);
    let avoided: SmallVec<[u16; 16]> = (0..count)
        .filter(|index| tried.contains(index) || of(*index).is_some_and(|one| has_failed(one)))
        .collect();
    let away = open(&avoided).ok()?;
    let priority = |usable: &Usable| {
        usable
            .first()
            .and_then(|index| of(*index))
            .map(|one| one.priority)
    };
    (priority(&away) == priority(found)).then_some(away)
}

/// The endpoint of a session: where it is, or where it goes when it cannot be there.
fn of_session(
    plan: &BackendPlan,
    list: &EndpointList,
    now: Moment,
    tried: &[u16],
    key: &Key,
    session: Session,
    draw: &mut Draw,
) -> Result<u16, NoEndpoint> {
    if let Some(index) = affinity::stay(plan, list, now, tried, session)? {
        return Ok(index);
    }
    let usable = open_to(plan, list, now, tried, key, draw)?;
    session.choose(list, &usable).ok_or(NoEndpoint::Nothing)
}

/// The index in `list` of the endpoint that takes the request.
pub(crate) fn endpoint(
    plan: &BackendPlan,
    list: &EndpointList,
    now: Moment,
    tried: &[u16],
    key: &Key,
    draw: &mut Draw,
) -> Result<usize, NoEndpoint> {
    if plan.is_full(list) {
        return Err(NoEndpoint::NoRoom);
    }
    if let Some(session) = key.session {
        return of_session(plan, list, now, tried, key, session, draw).map(usize::from);
    }
    let usable = open_to(plan, list, now, tried, key, draw)?;
    let candidates = candidates(list, &usable, now);
    let position = plan
        .balancer
        .pick(&*plan.balancer_state, &candidates, key.hash, draw)
        .ok_or(NoEndpoint::Nothing)?;
    usable
        .get(position)
        .map(|index| usize::from(*index))
        .ok_or(NoEndpoint::Nothing)
}
