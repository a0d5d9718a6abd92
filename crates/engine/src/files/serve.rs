// SPDX-License-Identifier: Apache-2.0
//! A request for a file, from its path to its answer.
use super::find::{Entry, Search};
use super::open::{Patience, Trouble};
use super::plan::FilesPlan;
use super::{folder, reply};
use crate::downstream::{Downstream, Journey, Record};
use crate::thread::Thread;
use std::sync::Arc;
use tidegate_contract::{Answer, Exchange};
use tidegate_core::ErrorKind;
use tidegate_files::listing;
use tidegate_files::name::encode_segment;
use tidegate_request::{Fields, Method, Request};

/// What a request comes to before anything is sent.
pub(crate) enum Found {
    /// Bytes of a file.
    File(Arc<Entry>),
    /// The folder's own path, with its slash.
    Redirect(String),
    /// A folder to be listed.
    Listing(Vec<u8>),
    /// An answer without a file.
    Answer(Answer),
    /// No answer of ours.
    Failed(ErrorKind, &'static str),
}

/// The part of the path below the root: what follows the bytes that a prefix match took, with the
/// slash that a prefix such as `/` took along.
pub(crate) fn below_route(path: &str, prefix_len: usize) -> &str {
    let behind = path.get(prefix_len..).unwrap_or(path);
    if behind.starts_with('/') {
        return behind;
    }
    match path.get(..prefix_len) {
        Some(taken) if taken.ends_with('/') => path.get(prefix_len - 1..).unwrap_or(path),
        _ => behind,
    }
}

/// What a method other than GET and HEAD is answered by.
pub(crate) fn other_method(request: &Request) -> Option<Answer> {
    let (status, body, error) = match request.method_kind() {
        Method::Get | Method::Head => return None,
        Method::Options => (204, Vec::new(), None),
        _ => {
            let error = (ErrorKind::MethodNotAllowed, "files are only read");
            (405, b"405 Method Not Allowed\n".to_vec(), Some(error))
        }
    };
    let mut fields = Fields::default();
    let _ = fields.append(b"Allow", b"GET, HEAD, OPTIONS");
    if !body.is_empty() {
        let _ = fields.append(b"Content-Type", b"text/plain; charset=utf-8");
    }
    Some(Answer {
        status,
        fields,
        body,
        error,
    })
}

/// What an entry comes to for this request.
pub(crate) fn judge(entry: Arc<Entry>, request: &Request) -> Found {
    match &*entry {
        Entry::File(_) => Found::File(entry),
        Entry::Redirect => Found::Redirect(with_slash(request)),
        Entry::Listing(name) => Found::Listing(name.clone()),
        Entry::Missing(why) => Found::Failed(ErrorKind::DestinationNotFound, why),
        Entry::Forbidden(why) => Found::Failed(ErrorKind::HttpRequestDenied, why),
    }
}

/// The path of a folder that was asked for without its slash. It begins with one slash: two would
/// name another host.
fn with_slash(request: &Request) -> String {
    let path = request.path().trim_start_matches('/');
    match request.query() {
        Some(query) => format!("/{path}/?{}", String::from_utf8_lossy(query)),
        None => format!("/{path}/"),
    }
}

/// Answers a request from a folder; returns whether the connection may go on.
pub(crate) async fn serve(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    exchange: &mut Exchange,
    record: &mut Record,
    plan: &Arc<FilesPlan>,
) -> bool {
    let (found, is_fallback) = find(downstream, journey, exchange, plan).await;
    let answer = match found {
        Found::File(entry) => {
            // Another client would have got a 404 for this path: a cache has to ask again.
            let vary = is_fallback.then_some(&b"Accept"[..]);
            return send_found(downstream, journey, exchange, record, plan, &entry, vary).await;
        }
        Found::Redirect(location) => {
            let mut fields = Fields::default();
            // A query is checked text; one that is no field value all the same stays away.
            if fields.append(b"Location", location.as_bytes()).is_err() {
                let _ = fields.append(
                    b"Location",
                    location.split('?').next().unwrap_or("/").as_bytes(),
                );
            }
            Answer {
                status: 301,
                fields,
                body: Vec::new(),
                error: None,
            }
        }
        Found::Listing(name) => match list(downstream, exchange, plan, name).await {
            Ok(answer) => answer,
            Err(trouble) => {
                let (kind, why) = of_trouble(trouble);
                return downstream
                    .fail(record, &exchange.request, kind, why, journey.keep_alive)
                    .await;
            }
        },
        Found::Answer(answer) => answer,
        Found::Failed(kind, why) => {
            return downstream
                .fail(record, &exchange.request, kind, why, journey.keep_alive)
                .await;
        }
    };
    let count = journey.filters.len();
    downstream
        .answer(journey, exchange, record, answer, count)
        .await
}

/// What a request comes to, and whether that is by the fallback.
async fn find(
    downstream: &Downstream,
    journey: &Journey<'_>,
    exchange: &Exchange,
    plan: &Arc<FilesPlan>,
) -> (Found, bool) {
    let request = &exchange.request;
    if let Some(answer) = other_method(request) {
        return (Found::Answer(answer), false);
    }
    let wall = downstream.thread.wall_seconds();
    let path = below_route(request.path(), journey.routed.prefix_len);
    let mut found = look_up(&downstream.thread, plan, path, wall).await;
    let mut is_fallback = false;
    if let Ok(entry) = &found
        && let Entry::Missing(_) = **entry
        && let Some(fallback) = &plan.settings.fallback
        && reply::wants_page(request)
    {
        found = look_up(&downstream.thread, plan, fallback, wall).await;
        is_fallback = true;
    }
    let found = match found {
        Ok(entry) => judge(entry, request),
        Err(trouble) => {
            let (kind, why) = of_trouble(trouble);
            Found::Failed(kind, why)
        }
    };
    (found, is_fallback)
}

pub(crate) fn of_trouble(trouble: Trouble) -> (ErrorKind, &'static str) {
    match trouble {
        Trouble::Missing(why) => (ErrorKind::DestinationNotFound, why),
        Trouble::Forbidden(why) => (ErrorKind::HttpRequestDenied, why),
        Trouble::Failed(why) => (ErrorKind::ProxyInternalError, why),
        Trouble::Wait => (ErrorKind::ProxyInternalError, "the disk was not asked"),
    }
}

/// What a path stands for: remembered, or found out.
async fn look_up(
    thread: &Thread,
    plan: &Arc<FilesPlan>,
    path: &str,
    wall: u64,
) -> Result<Arc<Entry>, Trouble> {
    let now = thread.now();
    let known = plan
        .store(thread.index)
        .and_then(|mut store| store.get(path, plan, now));
    if let Some((entry, looked)) = known
        && plan
            .settings
            .cache
            .validity
            .is_some_and(|limit| now < looked.after_millis(limit.0))
    {
        return Ok(entry);
    }
    let search = Search {
        path,
        wall,
        patience: Patience::Now,
    };
    let found = match search.run(plan) {
        Err(Trouble::Wait) => {
            let (plan, path) = (plan.clone(), path.to_owned());
            let search = move || {
                let patience = Patience::Any;
                let search = Search {
                    path: &path,
                    wall,
                    patience,
                };
                search.run(&plan)
            };
            // The pool is this thread's own; it ends with it.
            let lost = Err(Trouble::Failed("the search for a file broke off"));
            tokio::task::spawn_blocking(search).await.unwrap_or(lost)
        }
        found => found,
    };
    let entry = Arc::new(found?);
    if plan.settings.cache.validity.is_some()
        && let Some(mut store) = plan.store(thread.index)
    {
        store.put(path, entry.clone(), plan, now);
        drop(store);
        thread.remember_files(plan);
    }
    Ok(entry)
}

async fn list(
    downstream: &Downstream,
    exchange: &Exchange,
    plan: &Arc<FilesPlan>,
    name: Vec<u8>,
) -> Result<Answer, Trouble> {
    let wall = downstream.thread.wall_seconds();
    let plan = plan.clone();
    let reading = tokio::task::spawn_blocking(move || folder::read(&plan, &name, wall)).await;
    let (items, has_more) = reading.unwrap_or(Err(Trouble::Failed("a folder was not read")))?;
    let request = &exchange.request;
    let is_json = reply::wants_json(request);
    let body = match is_json {
        true => listing::json(&items, has_more),
        false => listing::html(&shown(request.path()), &items, has_more),
    };
    Ok(Answer {
        status: 200,
        fields: reply::listing_fields(is_json),
        body: body.into_bytes(),
        error: None,
    })
}

/// A path as people read it.
fn shown(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let mut again = String::new();
        match tidegate_files::name::judge(segment, true) {
            Ok(name) => String::from_utf8(name.path).unwrap_or_else(|bytes| {
                encode_segment(bytes.as_bytes(), &mut again);
                again
            }),
            Err(_) => segment.to_owned(),
        }
    });
    segments.collect::<Vec<String>>().join("/")
}

/// The file that a request is for where files go before a backend: none for other methods, and where
/// the path names a folder without index, nothing, or what may not be read.
///
/// # Errors
/// When the folder itself can not be read: what is asked for may be there.
pub(crate) async fn tried(
    thread: &Thread,
    plan: &Arc<FilesPlan>,
    request: &Request,
    prefix_len: usize,
) -> Result<Option<Arc<Entry>>, (ErrorKind, &'static str)> {
    if !matches!(request.method_kind(), Method::Get | Method::Head) {
        return Ok(None);
    }
    let path = below_route(request.path(), prefix_len);
    match look_up(thread, plan, path, thread.wall_seconds()).await {
        Ok(entry) => Ok(matches!(*entry, Entry::File(_)).then_some(entry)),
        Err(trouble @ Trouble::Failed(_)) => Err(of_trouble(trouble)),
        Err(_) => Ok(None),
    }
}

/// Sends a file that was found; `vary` is what the choice of it went by besides codings.
pub(crate) async fn send_found(
    downstream: &mut Downstream,
    journey: &mut Journey<'_>,
    exchange: &mut Exchange,
    record: &mut Record,
    plan: &FilesPlan,
    entry: &Arc<Entry>,
    vary: Option<&[u8]>,
) -> bool {
    let Entry::File(file) = &**entry else {
        return false;
    };
    let wall = downstream.thread.wall_seconds();
    let boundary = || {
        let mut draw = downstream.thread.draw.borrow_mut();
        format!("{:016x}{:016x}", draw.bits(), draw.bits())
    };
    let mut reply = reply::reply(file, plan, &exchange.request, wall, boundary);
    if let Some(names) = vary {
        let _ = reply.fields.append(b"Vary", names);
    }
    super::send::send(downstream, journey, exchange, record, entry, reply).await
}
