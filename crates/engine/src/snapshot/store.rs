// SPDX-License-Identifier: Apache-2.0
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidegate_config::{Delta, SCHEMA, SecretSet};
use tokio::sync::watch;

/// How the names of files with secrets begin; the snapshot's number follows.
const SECRETS: &str = "secrets-";

/// What is read first: other forms have other keys.
#[derive(Deserialize)]
struct Form {
    schema: u32,
}

/// The file of secrets.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    schema: u32,
    number: u64,
    secrets: Vec<SecretSet>,
}

/// The last good snapshot on disk, from which a node starts when control is not there: in
/// `snapshot.json`, and what its secrets stand for in `secrets-NUMBER.json`.
pub(crate) struct Store {
    path: PathBuf,
    waiting: Mutex<Waiting>,
    /// The last offer that was dealt with.
    dealt_with: watch::Sender<u64>,
}

/// What is to be written next: one writer at a time, and only the newest snapshot counts.
#[derive(Default)]
struct Waiting {
    newest: Option<Delta>,
    /// Counts what was offered.
    offered: u64,
    has_writer: bool,
}

/// What was found on disk.
pub(crate) enum Stored {
    /// A whole snapshot.
    Snapshot(Box<Delta>),
    /// Nothing.
    Nothing,
    /// Something that cannot be used, and why. It is left where it is.
    Unusable(String),
}

impl Store {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            path: directory.join("snapshot.json"),
            waiting: Mutex::default(),
            dealt_with: watch::Sender::new(0),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a snapshot to be written instead of one that still waits. Returns whether nobody
    /// writes yet: the caller then sees to it that [`Self::write_offered`] is called until `None`.
    pub(crate) fn offer(&self, whole: Delta) -> bool {
        let mut waiting = self.waiting();
        waiting.newest = Some(whole);
        waiting.offered += 1;
        !std::mem::replace(&mut waiting.has_writer, true)
    }

    /// Writes what was offered last; `None` when nothing waits, and nobody writes any more.
    pub(crate) fn write_offered(&self) -> Option<io::Result<()>> {
        let (newest, number) = {
            let mut waiting = self.waiting();
            waiting.has_writer = waiting.newest.is_some();
            (waiting.newest.take(), waiting.offered)
        };
        newest.map(|whole| {
            let outcome = self.save(whole);
            self.dealt_with.send_replace(number);
            outcome
        })
    }

    /// How many snapshots were offered: the number of the last one.
    pub(crate) fn offered(&self) -> u64 {
        self.waiting().offered
    }

    /// Waits until the offer of this number, or a newer one, is on disk or could not be written.
    pub(crate) async fn until_dealt_with(&self, offer: u64) {
        let mut dealt_with = self.dealt_with.subscribe();
        let _ = dealt_with.wait_for(|number| *number >= offer).await; // the sender is here
    }

    /// Writes new files and renames them over the old ones, so that a cut write loses nothing. The
    /// secrets go first, under the snapshot's number: a snapshot is never there without its own.
    fn save(&self, mut whole: Delta) -> io::Result<()> {
        let secrets = std::mem::take(&mut whole.secrets);
        // Which resources have some is no secret; an empty set says that the values are kept apart.
        whole.secrets = secrets
            .iter()
            .map(|set| SecretSet {
                values: BTreeMap::new(),
                ..set.clone()
            })
            .collect();
        let own = self.secrets_path(whole.number);
        if !secrets.is_empty() {
            let kept = Kept {
                schema: SCHEMA,
                number: whole.number,
                secrets,
            };
            write(&own, &serde_json::to_vec(&kept).map_err(io::Error::other)?)?;
        }
        write(
            &self.path,
            &serde_json::to_vec(&whole).map_err(io::Error::other)?,
        )?;
        let keeps = (!whole.secrets.is_empty()).then_some(own);
        self.forget_secrets(keeps.as_deref())
    }

    fn secrets_path(&self, number: u64) -> PathBuf {
        self.path.with_file_name(format!("{SECRETS}{number}.json"))
    }

    /// Removes the secrets of snapshots that are gone.
    fn forget_secrets(&self, kept: Option<&Path>) -> io::Result<()> {
        let Some(directory) = self.path.parent() else {
            return Ok(());
        };
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with(SECRETS)) && Some(&*path) != kept {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    pub(crate) fn load(&self) -> Stored {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Stored::Nothing,
            Err(error) => return Stored::Unusable(format!("{}: {error}", self.path.display())),
        };
        let mut delta = match serde_json::from_slice::<Form>(&bytes) {
            Ok(form) if form.schema != SCHEMA => {
                return Stored::Unusable(format!(
                    "{}: written in form {}, this engine reads form {SCHEMA}",
                    self.path.display(),
                    form.schema
                ));
            }
            Ok(_) => match serde_json::from_slice::<Delta>(&bytes) {
                Ok(delta) => Box::new(delta),
                Err(error) => return Stored::Unusable(format!("{}: {error}", self.path.display())),
            },
            Err(error) => return Stored::Unusable(format!("{}: {error}", self.path.display())),
        };
        if !delta.secrets.is_empty() {
            let path = self.secrets_path(delta.number);
            match read_secrets(&path, delta.number) {
                Ok(secrets) => delta.secrets = secrets,
                Err(why) => {
                    return Stored::Unusable(format!(
                        "the secrets of snapshot {} are not to be had: {}: {why}",
                        delta.number,
                        path.display()
                    ));
                }
            }
        }
        Stored::Snapshot(delta)
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    // One that was left over may be open to others.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&fresh, path)
}

/// The secrets of snapshot `number`, from a file that nobody else can have read or written.
fn read_secrets(path: &Path, number: u64) -> Result<Vec<SecretSet>, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let about = file.metadata().map_err(|error| error.to_string())?;
    if about.mode() & 0o077 != 0 {
        return Err(format!(
            "others may read it (mode {:04o}); remove it, and change what it held",
            about.mode() & 0o7777
        ));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    // Without the parser's words, which quote what they stumble over.
    let broken = |_| "it is damaged".to_owned();
    let kept: Kept = serde_json::from_slice(&bytes).map_err(broken)?;
    if kept.schema != SCHEMA || kept.number != number {
        return Err(format!("it belongs to snapshot {}", kept.number));
    }
    Ok(kept.secrets)
}
