// SPDX-License-Identifier: Apache-2.0
use super::forward::lines;
use super::message::{apply_response, is_protected};
use super::plan::FunctionPlan;
use super::seats::Found;
use super::told::Told;
use std::sync::Arc;
use tidegate_config::{Function, FunctionKind, Millis, Octets};
use tidegate_core::Moment;
use tidegate_functions::{
    Change, Frames, MAX_SETTINGS, NodeMessage, TooLarge, WorkerMessage, encode_response_changes,
};
use tidegate_request::{Fields, Method, Response};

fn function(workers: &[&str], concurrency: u32) -> Function {
    Function {
        kind: FunctionKind::Policy,
        workers: workers.iter().map(|path| (*path).to_owned()).collect(),
        deadline: Millis(1000),
        pending: Millis(500),
        concurrency,
        max_body: Octets(1024),
    }
}

const NOW: Moment = Moment(5_000_000);

/// A seat when all workers are ready.
fn take(plan: &FunctionPlan) -> Option<(String, super::plan::Seat)> {
    match plan.take(|path| Some(path.to_owned())) {
        Found::Seat(found) => Some(found),
        Found::Busy => None,
        Found::Nobody => panic!("all are ready"),
    }
}

#[test]
fn a_worker_that_is_not_ready_is_passed_over() {
    let plan = FunctionPlan::build("f", function(&["a", "b"], 2), None, NOW);
    let only_b = |path: &str| (path == "b").then_some(());
    let first = plan.take(only_b);
    let second = plan.take(only_b);
    assert!(matches!(
        (&first, &second),
        (Found::Seat(_), Found::Seat(_))
    ));
    assert!(matches!(plan.take(only_b), Found::Busy), "b is full");
    assert!(matches!(plan.take(|_| None::<()>), Found::Nobody));
    drop(first);
    assert!(matches!(plan.take(only_b), Found::Seat(_)));
}

#[test]
fn workers_of_a_start_are_waited_for_longer_than_those_that_died() {
    let plan = FunctionPlan::build("f", function(&["a"], 1), None, NOW);
    let late = NOW.after_millis(9_800);
    assert_eq!(plan.ready_until(NOW), NOW.after_millis(10_000));
    assert_eq!(plan.ready_until(late), late.after_millis(500));
    plan.note_ready();
    assert_eq!(plan.ready_until(NOW), NOW.after_millis(500));
    let same = FunctionPlan::build("f", function(&["a"], 2), Some(&plan), late);
    assert_eq!(same.ready_until(late), late.after_millis(500));
}

#[test]
fn calls_go_to_the_least_busy_worker_until_all_are_full() {
    let plan = FunctionPlan::build("f", function(&["a", "b"], 2), None, NOW);
    let mut seats = Vec::new();
    let mut paths = Vec::new();
    while let Some((path, seat)) = take(&plan) {
        paths.push(path);
        seats.push(seat);
    }
    assert_eq!(paths.len(), 4);
    assert_eq!(paths.iter().filter(|path| *path == "a").count(), 2);
    seats.pop();
    assert!(take(&plan).is_some(), "a seat given back is taken again");
}

#[test]
fn calls_under_way_still_count_after_a_change_that_keeps_the_workers() {
    let before = FunctionPlan::build("f", function(&["a"], 1), None, NOW);
    let seat = take(&before);
    let after = FunctionPlan::build("f", function(&["a"], 1), Some(&before), NOW);
    assert!(take(&after).is_none());
    drop(seat);
    assert!(take(&after).is_some());
    let moved = FunctionPlan::build("f", function(&["b"], 1), Some(&after), NOW);
    assert!(take(&moved).is_some());
}

#[test]
fn a_head_becomes_fields_without_those_between_two_hops() {
    let head =
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b: c\r\nTransfer-Encoding: chunked\r\nEmpty:\r\n\r\n";
    let expected: Vec<(&[u8], &[u8])> = vec![(b"Host", b"a"), (b"X", b"b: c"), (b"Empty", b"")];
    assert_eq!(lines(head).collect::<Vec<_>>(), expected);
}

fn changed(changes: &[Change<'_>]) -> (bool, Response) {
    let mut out = Vec::new();
    encode_response_changes(&mut out, 1, changes.iter().copied()).unwrap();
    let mut frames = Frames::default();
    frames.push(&out);
    let mut response = Response::local(200, Fields::default(), 3, Method::Get);
    match WorkerMessage::decode(frames.next().unwrap().unwrap()).unwrap() {
        WorkerMessage::Changes(changes) => {
            (apply_response(changes, &mut response).is_ok(), response)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_worker_cannot_change_how_a_response_is_framed() {
    for name in [
        &b"Content-Length"[..],
        b"transfer-encoding",
        b"Connection",
        b"Upgrade",
    ] {
        assert!(is_protected(name));
        assert!(!changed(&[Change::Set(name, b"1")]).0);
        assert!(!changed(&[Change::Remove(name)]).0);
    }
    assert!(!changed(&[Change::Path(b"/x")]).0);
    assert!(!changed(&[Change::Set(b"x", b"a\r\nb: c")]).0);
    let (is_taken, response) = changed(&[Change::Set(b"x", b"y"), Change::Status(404)]);
    assert!(is_taken);
    assert_eq!(
        (response.status(), response.fields().get_name(b"X")),
        (404, Some(&b"y"[..]))
    );
}

fn said(out: &mut Vec<u8>) -> Vec<(u32, String)> {
    let mut frames = Frames::default();
    frames.push(out);
    out.clear();
    let mut found = Vec::new();
    while let Some(frame) = frames.next().unwrap() {
        match NodeMessage::decode(frame).unwrap() {
            NodeMessage::Settings(text) => found.push((frame.exchange, text.to_owned())),
            other => panic!("{other:?}"),
        }
    }
    found
}

#[test]
fn settings_are_told_once_and_the_number_of_those_gone_is_used_again() {
    let (mut told, mut out) = (Told::default(), Vec::new());
    let gold: Arc<str> = r#"{"tier":"gold"}"#.into();
    let silver: Arc<str> = r#"{"tier":"silver"}"#.into();
    assert_eq!(told.number(&gold, &mut out), Ok(1));
    assert_eq!(told.number(&silver, &mut out), Ok(2));
    assert_eq!(told.number(&gold, &mut out), Ok(1));
    assert_eq!(
        said(&mut out),
        [(1, gold.to_string()), (2, silver.to_string())]
    );
    drop(gold);
    // Where the allocator puts it does not matter: its predecessor's place is held until then.
    let lead: Arc<str> = r#"{"tier":"lead"}"#.into();
    assert_eq!(told.number(&lead, &mut out), Ok(1));
    assert_eq!(said(&mut out), [(1, lead.to_string())]);
    assert_eq!(told.number(&silver, &mut out), Ok(2));
    assert_eq!(told.number(&lead, &mut out), Ok(1));
    assert!(out.is_empty());
}

#[test]
fn what_does_not_fit_is_not_told() {
    let (mut told, mut out) = (Told::default(), Vec::new());
    let long: Arc<str> = "x".repeat(MAX_SETTINGS + 1).into();
    assert_eq!(told.number(&long, &mut out), Err(TooLarge));
    assert!(out.is_empty());
    let most: Arc<str> = "x".repeat(MAX_SETTINGS).into();
    assert_eq!(told.number(&most, &mut out), Ok(1));
    assert_eq!(said(&mut out), [(1, most.to_string())]);
}
