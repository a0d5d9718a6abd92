// SPDX-License-Identifier: Apache-2.0
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tidegate_config::{Delta, SCHEMA};

/// The last good snapshot on disk, from which a node starts when control is not there.
pub(crate) struct Store {
    path: PathBuf,
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
        }
    }

    /// Writes a new file and renames it over the old one, so that a cut write loses nothing.
    pub(crate) fn save(&self, whole: &Delta) -> io::Result<()> {
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
