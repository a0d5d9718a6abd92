// SPDX-License-Identifier: Apache-2.0
use super::registry::Registry;
use super::store::{Store, Stored};
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_config::{Delta, SCHEMA};
use tidegate_core::Clock;

/// A folder of this test's own, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidegate-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn whole(number: u64) -> Delta {
    Delta {
        schema: SCHEMA,
        base: 0,
        number,
        set: Vec::new(),
        remove: (0..number % 1000)
            .map(|filler| (tidegate_config::Kind::Route, format!("filler-{filler}")))
            .collect(),
        endpoints: Vec::new(),
    }
}

fn number_on_disk(store: &Store) -> u64 {
    match store.load() {
        Stored::Snapshot(delta) => delta.number,
        Stored::Nothing => 0,
        Stored::Unusable(why) => panic!("{why}"),
    }
}

#[test]
fn only_the_newest_snapshot_that_waits_is_written() {
    let folder = Folder::new("newest");
    let store = Store::new(&folder.0);
    assert!(store.offer(whole(1)), "nobody writes yet");
    assert!(!store.offer(whole(2)), "the first caller writes");
    assert!(store.write_offered().is_some_and(|outcome| outcome.is_ok()));
    assert_eq!(number_on_disk(&store), 2);
    assert!(!store.offer(whole(3)), "it goes on until nothing waits");
    assert!(store.write_offered().is_some_and(|outcome| outcome.is_ok()));
    assert!(store.write_offered().is_none());
    assert!(store.offer(whole(4)), "and then somebody else does");
    assert_eq!(number_on_disk(&store), 3);
}

/// Two writers at once used the same temporary file, and an older snapshot could replace a newer.
#[test]
fn many_snapshots_in_a_row_leave_the_last_one_whole() {
    let folder = Folder::new("in-a-row");
    let store = Arc::new(Store::new(&folder.0));
    let mut writers = Vec::new();
    for number in 1..=200 {
        if store.offer(whole(number)) {
            let store = store.clone();
            writers.push(std::thread::spawn(move || {
                while let Some(outcome) = store.write_offered() {
                    outcome.unwrap();
                }
            }));
        }
        number_on_disk(&store);
    }
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(number_on_disk(&store), 200);
}

/// A connection that moved to a snapshot built from nothing was counted out of a new count, which
/// fell below zero; from then on the listener seemed full and refused everybody.
#[test]
fn a_listener_is_counted_in_one_place_whatever_snapshot_names_it() {
    let registry = Registry::new(Clock::system(), 1);
    let client = std::net::IpAddr::from([127, 0, 0, 1]);
    let old = registry.counted("web");
    assert!(old.enter(client, 1, 1));
    registry.sweep();
    let new = registry.counted("web");
    assert!(!new.enter(client, 1, 1), "the connection still counts");
    new.leave(client, 1);
    assert!(new.enter(client, 1, 1));
    new.leave(client, 1);
    drop((old, new));
    registry.sweep();
    assert!(registry.counted("web").enter(client, 1, 1));
}
