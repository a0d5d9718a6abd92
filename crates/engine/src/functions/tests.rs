// SPDX-License-Identifier: Apache-2.0
use super::forward::lines;
use super::message::{apply_response, is_protected};
use super::plan::FunctionPlan;
use tidegate_config::{Function, FunctionKind, Millis, Octets};
use tidegate_functions::{Change, Frames, WorkerMessage, encode_response_changes};
use tidegate_request::{Fields, Method, Response};

fn function(workers: &[&str], concurrency: u32) -> Function {
    Function {
        kind: FunctionKind::Policy,
        workers: workers.iter().map(|path| (*path).to_owned()).collect(),
        deadline: Millis(1000),
        concurrency,
        max_body: Octets(1024),
    }
}

#[test]
fn calls_go_to_the_least_busy_worker_until_all_are_full() {
    let plan = FunctionPlan::build("f", function(&["a", "b"], 2), None);
    let mut seats = Vec::new();
    let mut paths = Vec::new();
    while let Some((path, seat)) = plan.take() {
        paths.push(path.to_owned());
        seats.push(seat);
    }
    assert_eq!(paths.len(), 4);
    assert_eq!(paths.iter().filter(|path| *path == "a").count(), 2);
    seats.pop();
    assert!(plan.take().is_some(), "a seat given back is taken again");
}

#[test]
fn calls_under_way_still_count_after_a_change_that_keeps_the_workers() {
    let before = FunctionPlan::build("f", function(&["a"], 1), None);
    let seat = before.take();
    let after = FunctionPlan::build("f", function(&["a"], 1), Some(&before));
    assert!(after.take().is_none());
    drop(seat);
    assert!(after.take().is_some());
    let moved = FunctionPlan::build("f", function(&["b"], 1), Some(&after));
    assert!(moved.take().is_some());
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
