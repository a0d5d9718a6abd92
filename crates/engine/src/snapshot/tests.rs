// SPDX-License-Identifier: Apache-2.0
use super::Snapshot;
use super::registry::Registry;
use super::secrets::Secrets;
use super::store::{Store, Stored};
use serde_json::value::RawValue;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_config::{Delta, SCHEMA, SecretSet};
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
        secrets: Vec::new(),
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
    assert_eq!(store.offered(), 3);
    assert!(is_ready(store.until_dealt_with(3)));
    assert!(!is_ready(store.until_dealt_with(4)));
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

/// A snapshot whose route refers to a secret with this value.
fn with_secret(number: u64, value: &str) -> Delta {
    let own = serde_json::json!({"kind": "route", "name": "r", "values": {"env:KEY": value}});
    Delta {
        secrets: vec![serde_json::from_value(own).unwrap()],
        ..whole(number)
    }
}

fn saved(store: &Store, whole: Delta) {
    store.offer(whole);
    while let Some(outcome) = store.write_offered() {
        outcome.unwrap();
    }
}

/// Names of the files there, sorted.
fn names(folder: &Folder) -> Vec<String> {
    let files = std::fs::read_dir(&folder.0).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn unusable(store: &Store) -> String {
    match store.load() {
        Stored::Unusable(why) => why,
        _ => panic!("it was taken"),
    }
}

#[test]
fn secrets_are_kept_in_a_file_of_their_own_that_goes_with_its_snapshot() {
    let folder = Folder::new("secrets");
    let store = Store::new(&folder.0);
    for (number, value) in [(5, "hunter2"), (6, "changed")] {
        saved(&store, with_secret(number, value));
        let own = format!("secrets-{number}.json");
        assert_eq!(names(&folder), [own.as_str(), "snapshot.json"]);
        let mode = folder.0.join(&own).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let snapshot = std::fs::read_to_string(folder.0.join("snapshot.json")).unwrap();
        assert!(!snapshot.contains(value), "{snapshot}");
        let Stored::Snapshot(found) = store.load() else {
            panic!("{}", unusable(&store));
        };
        let secrets: Vec<_> = found.secrets.iter().flat_map(|set| &set.values).collect();
        let [(id, secret)] = secrets[..] else {
            panic!("{} secrets", secrets.len());
        };
        assert_eq!((id.as_str(), secret.reveal()), ("env:KEY", value));
        assert!(!format!("{found:?}").contains(value));
    }
    saved(&store, whole(7));
    assert_eq!(names(&folder), ["snapshot.json"]);
    assert_eq!(number_on_disk(&store), 7);
}

#[test]
fn a_snapshot_without_its_secrets_is_refused() {
    let folder = Folder::new("secrets-gone");
    let store = Store::new(&folder.0);
    saved(&store, with_secret(5, "hunter2"));
    let own = folder.0.join("secrets-5.json");
    let set_mode = |mode| {
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for mode in [0o640, 0o604, 0o644] {
        set_mode(mode);
        let why = unusable(&store);
        assert!(
            why.contains(&format!("others may read it (mode {mode:04o})")),
            "{why}"
        );
    }
    set_mode(0o600);
    assert_eq!(number_on_disk(&store), 5);
    std::fs::write(&own, r#"{"schema": 2, "number": 5, "secrets": "hunter2"}"#).unwrap();
    let why = unusable(&store);
    assert!(
        why.contains("it is damaged") && !why.contains("hunter2"),
        "{why}"
    );
    std::fs::write(&own, r#"{"schema": 2, "number": 4, "secrets": []}"#).unwrap();
    assert!(unusable(&store).contains("it belongs to snapshot 4"));
    std::fs::remove_file(&own).unwrap();
    let why = unusable(&store);
    assert!(
        why.contains("secrets of snapshot 5") && why.contains("No such file"),
        "{why}"
    );
}

#[test]
fn a_file_left_over_that_others_may_read_gets_no_secret() {
    let folder = Folder::new("secrets-left");
    let fresh = folder.0.join("secrets-5.json.new");
    std::fs::write(&fresh, "").unwrap();
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = std::fs::File::open(&fresh).unwrap();
    saved(&Store::new(&folder.0), with_secret(5, "hunter2"));
    assert_eq!(std::io::read_to_string(open).unwrap(), "");
    assert_eq!(names(&folder), ["secrets-5.json", "snapshot.json"]);
}

#[test]
fn what_a_log_or_an_explanation_shows_has_no_secret() {
    let sets = serde_json::json!([{"kind": "route", "name": "r",
        "values": {"env:KEY": "hunter2hunter2", "env:FLAG": "1", "env:EMPTY": ""}}]);
    let sets: Vec<SecretSet> = serde_json::from_value(sets).unwrap();
    let secrets = Secrets::changed(None, &[], &[], &sets);
    assert_eq!(secrets.shown("hunter2hunter2"), "(secret env:KEY)");
    assert_eq!(secrets.shown("public"), "public");
    assert_eq!(secrets.shown(""), "");
    assert_eq!(
        secrets.logged_field(b"a=b; k=hunter2hunter2"),
        b"[redacted]"
    );
    assert_eq!(secrets.logged_field(b"1"), b"[redacted]");
    assert_eq!(secrets.logged_field(b"127.0.0.1"), b"127.0.0.1");
    assert_eq!(secrets.logged(b"1"), b"[redacted]");
    assert_eq!(
        &*secrets.logged_query(b"a=b&k=hunter2hunter%32&&c&d="),
        b"a=b&k=[redacted]&&c&d="
    );
}

/// The whole with two routes, of which the first puts a secret into requests.
fn two_routes(base: u64, number: u64, value: &str, set: &[&str]) -> Delta {
    let route = |policies: serde_json::Value| {
        serde_json::json!({
            "listeners": [], "hosts": [], "body_size": null,
            "buffer_request": null, "mirror": null, "websocket": null, "web": null, "media_types": [], "clients": {"allow": [], "deny": []}, "error_pages": [], "maintenance": null, "rewrite": null, "policies": policies,
            "match": {"path": {"kind": "prefix", "value": "/"}, "methods": [], "headers": [],
                      "query": [], "cookies": [], "clients": [], "local_addresses": []},
            "to": {"type": "respond", "status": 200, "headers": [], "body": ""},
            "timeouts": {"request": null, "first_byte": null, "upgraded_idle": 1, "upgraded_life": null},
            "retries": {"attempts": 0, "methods": [], "statuses": [], "grpc_statuses": []}})
    };
    let policy = serde_json::json!([{"kind": "request_headers", "settings":
        {"remove": [], "set": [["x", {"secret": "env:KEY"}]], "add": []}}]);
    let settings = serde_json::json!({"name": "t", "threads": 1, "trusted_proxies": [],
        "graceful_stop": 1, "access_log": null, "redact_query": [], "redact_fields": []});
    let all = [
        ("gateway", "gateway", settings),
        ("route", "a", route(policy)),
        ("route", "b", route(serde_json::json!([]))),
        (
            "route_order",
            "routes",
            serde_json::json!({"names": ["a", "b"], "l4": []}),
        ),
    ];
    let chosen = all.into_iter().filter(|(_, name, _)| set.contains(name));
    let set: Vec<_> = chosen
        .map(|(kind, name, value)| {
            serde_json::json!({"kind": kind, "name": name, "hash": "same", "value": value})
        })
        .collect();
    let secrets = serde_json::json!([{"kind": "route", "name": "a", "values": {"env:KEY": value}}]);
    let delta = serde_json::json!({"schema": SCHEMA, "base": base, "number": number, "set": set,
        "secrets": if value.is_empty() { serde_json::json!([]) } else { secrets },
        "remove": [], "endpoints": []});
    serde_json::from_str(&delta.to_string()).unwrap()
}

#[test]
fn a_secret_that_changed_builds_what_refers_to_it_and_nothing_else() {
    let registry = Registry::new(Clock::fake(), 1);
    let all = ["gateway", "a", "b", "routes"];
    let first = Snapshot::apply(None, &two_routes(0, 1, "one", &all), &registry).ok();
    let first = first.unwrap();
    let next = |delta: &Delta| Snapshot::apply(Some(&first), delta, &registry);
    let is_kept = |after: &Snapshot| -> Vec<bool> {
        let pairs = after.routes.iter().zip(&first.routes);
        pairs
            .map(|(after, before)| Arc::ptr_eq(after, before))
            .collect()
    };
    let same = next(&two_routes(1, 2, "one", &all)).ok().unwrap();
    assert_eq!(is_kept(&same), [true, true]);
    let rotated = next(&two_routes(1, 2, "two", &["a"])).ok().unwrap();
    assert_eq!(is_kept(&rotated), [false, true]);
    let kept = rotated.to_delta(Vec::new()).secrets;
    assert_eq!(kept[0].values["env:KEY"].reveal(), "two");
    let problems = next(&two_routes(1, 2, "", &["a"])).err().unwrap();
    assert_eq!(problems[0].place, "Route a");
    assert!(
        problems[0].message.contains("env:KEY"),
        "{}",
        problems[0].message
    );
}

/// Whether something that is waited for is there already.
fn is_ready(future: impl Future<Output = ()>) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::pin!(future).poll(&mut context).is_ready()
}

/// What a set of policies names is there once, however many routes have the set.
#[test]
fn policies_of_the_same_settings_are_one_and_share_what_they_refer_to() {
    let registry = Registry::new(Clock::system(), 1);
    let resource = tidegate_config::Resource {
        kind: tidegate_config::Kind::Data,
        name: "d1".into(),
        hash: "d1".into(),
        value: RawValue::from_string(r#"[["x-a", "1"]]"#.into()).unwrap(),
    };
    registry.data.replace([Arc::new(resource)].iter());
    let used = |removed: &str, name: &str| tidegate_config::PolicyUse {
        kind: "request_headers".into(),
        settings: RawValue::from_string(format!(r#"{{"remove":["{removed}"],"add":[]}}"#)).unwrap(),
        name: Some(removed.into()),
        when: None,
        shadow: false,
        continues: false,
        data: [("set".to_owned(), name.to_owned())].into(),
    };
    let build = |removed: &str, name: &str| registry.filter(&used(removed, name));
    let first = build("x-b", "d1").unwrap();
    assert!(Arc::ptr_eq(&first, &build("x-b", "d1").unwrap()));
    assert!(!Arc::ptr_eq(&first, &build("x-c", "d1").unwrap()));
    let missing = build("x-b", "d2").err().unwrap();
    assert_eq!(missing, "there is no data `d2`");
    // What a snapshot still has stays when its data is replaced; what none has goes.
    registry.data.replace([].iter());
    registry.sweep();
    assert!(Arc::ptr_eq(&first, &build("x-b", "d1").unwrap()));
    drop(first);
    registry.sweep();
    assert!(build("x-b", "d1").is_err());
}
