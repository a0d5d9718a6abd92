// SPDX-License-Identifier: Apache-2.0
//! Zones that are drained by command, kept in `zones.json`: they outlive snapshots and the node.
use super::state::Service;
use crate::snapshot::Problem;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

fn path(service: &Service) -> PathBuf {
    let directory = &service.node.config.runtime_directory;
    directory.join("zones.json")
}

/// Takes up what was being drained when the node ended.
pub(super) fn restore(service: &Service) {
    let path = path(service);
    let read = std::fs::read(&path).and_then(|bytes| {
        let zones = serde_json::from_slice::<BTreeSet<String>>(&bytes);
        zones.map_err(io::Error::other)
    });
    match read {
        Ok(zones) => service.node.registry.drain_zones(zones),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => super::warn(&format!(
            "{}: which zones were drained is not to be read ({error}): none is",
            path.display()
        )),
    }
}

/// Drains a zone, or takes it in again: what follows is told, `{"drained": [zone], "endpoints": n}`
/// with the endpoints that stand in it.
///
/// # Errors
/// No endpoint stands in a zone that is to be drained, or the disk does not keep it; nothing has
/// changed then.
pub(super) fn set(service: &Service, zone: &str, is_drained: bool) -> Result<Value, Vec<Problem>> {
    let snapshot = service.snapshot();
    let lists: Vec<_> = snapshot
        .backends
        .values()
        .map(|plan| plan.shared.list.load_full())
        .collect();
    let zones = || {
        let endpoints = lists.iter().flat_map(|list| &list.endpoints);
        endpoints.filter_map(|endpoint| endpoint.zone.as_deref())
    };
    let endpoints = zones().filter(|found| *found == zone).count();
    if is_drained && endpoints == 0 {
        let known: BTreeSet<&str> = zones().collect();
        let known = match known.is_empty() {
            true => "no endpoint has a `zone`".to_owned(),
            false => format!(
                "there is {}",
                known.into_iter().collect::<Vec<_>>().join(", ")
            ),
        };
        let message = format!("no endpoint stands in this zone; {known}");
        return Err(vec![Problem::new(zone, message)]);
    }
    let mut drained = (*service.node.registry.drained_zones()).clone();
    match is_drained {
        true => drained.insert(zone.to_owned()),
        false => drained.remove(zone),
    };
    keep(service, &drained).map_err(|error| {
        let message = format!("{}: {error}; nothing has changed", path(service).display());
        vec![Problem::new(zone, message)]
    })?;
    service.node.registry.drain_zones(drained.clone());
    service.changed.notify_waiters();
    Ok(json!({"drained": drained, "endpoints": endpoints}))
}

fn keep(service: &Service, drained: &BTreeSet<String>) -> io::Result<()> {
    let bytes = serde_json::to_vec(drained)?;
    crate::snapshot::write_private(&path(service), &bytes)
}
