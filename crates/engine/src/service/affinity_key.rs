// SPDX-License-Identifier: Apache-2.0
//! The instance's own key for cookies, where the configuration has none: made when a
//! backend first needs it and kept in `affinity.key`, so that sessions outlive the node.
use super::state::Service;
use crate::snapshot::{Snapshot, write_private};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const LENGTH: usize = 32;

/// Says where the key is; nothing is read or written before a backend needs it.
pub(super) fn offer(service: &Service) {
    let path = service.node.config.runtime_directory.join("affinity.key");
    let registry = &service.node.registry;
    registry.set_affinity_source(move || kept_or_made(&path));
}

/// The key on disk, or a new one, which is kept there; empty where neither can be had.
fn kept_or_made(path: &Path) -> Vec<u8> {
    let key = kept(path).or_else(|_| {
        let fresh = random()?;
        if let Err(error) = write_private(path, &fresh) {
            super::warn(&format!(
                "{}: {error}: sessions by cookie end with this node",
                path.display()
            ));
        }
        Ok::<_, io::Error>(fresh)
    });
    key.unwrap_or_else(|error| {
        super::warn(&format!("no key for cookies can be made: {error}"));
        Vec::new()
    })
}

/// The key on disk, if it is whole and nobody else can have read it.
fn kept(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let is_private = file.metadata()?.mode() & 0o077 == 0;
    let mut key = Vec::new();
    file.read_to_end(&mut key)?;
    match is_private && key.len() == LENGTH {
        true => Ok(key),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn random() -> io::Result<Vec<u8>> {
    let mut key = vec![0; LENGTH];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

/// Says where sessions would be lost between gateways: cookies that only this instance can read,
/// although others are likely to stand beside it.
pub(super) fn warn(before: &Snapshot, fresh: &Snapshot) {
    let settings = &fresh.settings.config;
    if settings.zone.is_none() && settings.trusted_proxies.is_empty() {
        return;
    }
    for plan in fresh.backends.values() {
        let has_own = plan.affinity.as_ref().is_some_and(|own| own.is_own_key);
        let old = before.backends.get(&plan.name);
        let said = old.is_some_and(|old| old.affinity.as_ref().is_some_and(|own| own.is_own_key));
        if has_own && !said {
            super::warn(&format!(
                "backend {}: the cookie of its `affinity` is signed with a key of this instance \
                 alone; where several gateways serve it, write the same `affinity.keys` for all",
                plan.name
            ));
        }
    }
}
