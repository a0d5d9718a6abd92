// SPDX-License-Identifier: Apache-2.0
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidegate_config::{Delta, SCHEMA};

/// The last good snapshot on disk, from which a node starts when control is not there.
pub(crate) struct Store {
    path: PathBuf,
    waiting: Mutex<Waiting>,
}

/// What is to be written next: one writer at a time, and only the newest snapshot counts.
#[derive(Default)]
struct Waiting {
    newest: Option<Delta>,
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
        !std::mem::replace(&mut waiting.has_writer, true)
    }

    /// Writes what was offered last; `None` when nothing waits, and nobody writes any more.
    pub(crate) fn write_offered(&self) -> Option<io::Result<()>> {
        let newest = {
            let mut waiting = self.waiting();
            waiting.has_writer = waiting.newest.is_some();
            waiting.newest.take()
        };
        newest.map(|whole| self.save(&whole))
    }

    /// Writes a new file and renames it over the old one, so that a cut write loses nothing.
    fn save(&self, whole: &Delta) -> io::Result<()> {
        let bytes = serde_json::to_vec(whole).map_err(io::Error::other)?;
        let fresh = self.path.with_extension("json.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&fresh, &self.path)
    }

    pub(crate) fn load(&self) -> Stored {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Stored::Nothing,
            Err(error) => return Stored::Unusable(format!("{}: {error}", self.path.display())),
        };
        match serde_json::from_slice::<Delta>(&bytes) {
            Ok(delta) if delta.schema == SCHEMA => Stored::Snapshot(Box::new(delta)),
            Ok(delta) => Stored::Unusable(format!(
                "{}: written in form {}, this engine reads form {SCHEMA}",
                self.path.display(),
                delta.schema
            )),
            Err(error) => Stored::Unusable(format!("{}: {error}", self.path.display())),
        }
    }
}
