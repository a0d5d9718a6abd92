// SPDX-License-Identifier: Apache-2.0
//! What a path stands for.
use super::open::{self, Identity, Opened, Patience, Trouble};
use super::plan::{FilesPlan, names_of};
use smallvec::SmallVec;
use std::fmt::Write;
use std::os::fd::OwnedFd;
use tidegate_config::ContentCoding;
use tidegate_files::condition::Validators;
use tidegate_files::{name, pattern, types};
use tidegate_http::HttpDate;

/// A file changed within so many seconds before it was looked at may change again without its time
/// telling: its tag is weak (RFC 9110 §8.8.1).
const FRESH: u64 = 2;

/// What a path stands for.
pub(crate) enum Entry {
    File(Box<FileEntry>),
    /// A folder that was asked for without its slash.
    Redirect,
    /// A folder to be listed, by its name below the root.
    Listing(Vec<u8>),
    /// Nothing, and why.
    Missing(&'static str),
    /// A file that may not be read.
    Forbidden(&'static str),
}

impl Entry {
    /// Bytes it keeps in memory, about.
    pub(crate) fn memory(&self) -> u64 {
        match self {
            Self::File(file) => {
                let encoded = file.encoded.iter().map(|(_, body)| body.memory());
                512 + file.plain.memory() + encoded.sum::<u64>()
            }
            _ => 128,
        }
    }
}

/// A file and its compressed forms.
pub(crate) struct FileEntry {
    /// Below the root.
    pub(crate) name: Vec<u8>,
    pub(crate) plain: Body,
    /// In the order of the configuration.
    pub(crate) encoded: SmallVec<[(ContentCoding, Body); 1]>,
    pub(crate) content_type: String,
    pub(crate) cache_control: Option<String>,
}

/// The bytes of one form of a file, and what tells it from others.
pub(crate) struct Body {
    pub(crate) content: Content,
    pub(crate) identity: Identity,
    tag: String,
    modified: Option<u64>,
    last_modified: Vec<u8>,
}

/// Where a file's bytes are.
pub(crate) enum Content {
    Memory(Box<[u8]>),
    File(OwnedFd),
}

impl Body {
    pub(crate) fn length(&self) -> u64 {
        self.identity.length
    }

    fn memory(&self) -> u64 {
        match &self.content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File(_) => 0,
        }
    }

    /// `ETag` as it is sent, if there is one.
    pub(crate) fn tag(&self) -> Option<&[u8]> {
        (!self.tag.is_empty()).then_some(self.tag.as_bytes())
    }

    /// `Last-Modified` as it is sent, if it is.
    pub(crate) fn last_modified(&self) -> Option<&[u8]> {
        (!self.last_modified.is_empty()).then_some(&self.last_modified)
    }

    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators {
            tag: self.tag(),
            modified: self.modified,
        }
    }

    /// Reads a small file, keeps a large one open.
    fn take(
        plan: &FilesPlan,
        fd: OwnedFd,
        mut identity: Identity,
        coding: Option<ContentCoding>,
        search: &Search<'_>,
    ) -> Result<Self, Trouble> {
        let content = match plan.is_small(identity.length) {
            true => Content::Memory(open::read_all(&fd, &mut identity, search.patience)?),
            false => Content::File(fd),
        };
        let mut body = Self {
            content,
            identity,
            tag: String::new(),
            modified: None,
            last_modified: Vec::new(),
        };
        body.mark(coding, search.wall);
        Ok(body)
    }

    /// Time and size make the tag, and not the inode: nodes with copies of the same files agree on
    /// it. Packagers that want the same bytes each time set times to 0 or 1, which tell nothing.
    fn mark(&mut self, coding: Option<ContentCoding>, wall: u64) {
        let (seconds, nanos) = self.identity.modified;
        let Some(modified) = u64::try_from(seconds).ok().filter(|at| *at > 1) else {
            return;
        };
        let weak = if modified + FRESH > wall { "W/" } else { "" };
        let length = self.identity.length;
        let end = coding.map_or("", |coding| names_of(coding).0);
        let _ = write!(self.tag, "{weak}\"{modified:x}-{nanos:x}-{length:x}{end}\"");
        // A time to come is no time to tell (RFC 9110 §8.8.2.1).
        let told = modified.min(wall);
        self.modified = Some(told);
        self.last_modified
            .extend_from_slice(HttpDate::at(told).as_bytes());
    }
}

/// One look at the file system.
pub(crate) struct Search<'a> {
    /// The path behind what the route matched: empty, or from a `/` on.
    pub(crate) path: &'a str,
    /// Seconds since 1970.
    pub(crate) wall: u64,
    pub(crate) patience: Patience,
}

impl Search<'_> {
    /// What the path stands for now.
    ///
    /// # Errors
    /// [`Trouble::Wait`] and [`Trouble::Failed`]: nothing to remember.
    pub(crate) fn run(&self, plan: &FilesPlan) -> Result<Entry, Trouble> {
        match self.look(plan) {
            Err(Trouble::Missing(why)) => Ok(Entry::Missing(why)),
            Err(Trouble::Forbidden(why)) => Ok(Entry::Forbidden(why)),
            found => found,
        }
    }

    fn look(&self, plan: &FilesPlan) -> Result<Entry, Trouble> {
        let name = name::judge(self.path, plan.settings.hidden).map_err(Trouble::Missing)?;
        let root = open::root(plan, self.patience)?;
        let mut path = name.path;
        if name.is_folder {
            return self.in_folder(plan, &root, path);
        }
        match open::below(&root, &path, plan, self.patience) {
            Ok(Opened::File(fd, identity)) => self.file(plan, &root, path, fd, identity),
            Ok(Opened::Folder(_)) => Ok(Entry::Redirect),
            Err(Trouble::Missing(why)) => {
                let length = path.len();
                for suffix in &plan.settings.suffixes {
                    path.truncate(length);
                    path.extend_from_slice(suffix.as_bytes());
                    if let Some((fd, identity)) = self.maybe(plan, &root, &path)? {
                        return self.file(plan, &root, path, fd, identity);
                    }
                }
                Err(Trouble::Missing(why))
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn in_folder(
        &self,
        plan: &FilesPlan,
        root: &OwnedFd,
        mut path: Vec<u8>,
    ) -> Result<Entry, Trouble> {
        let Opened::Folder(_) = open::below(root, &path, plan, self.patience)? else {
            return Err(Trouble::Missing("a file that was asked for as a folder"));
        };
        let length = path.len();
        for index in &plan.settings.index {
            path.truncate(length);
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(index.as_bytes());
            if let Some((fd, identity)) = self.maybe(plan, root, &path)? {
                return self.file(plan, root, path, fd, identity);
            }
        }
        path.truncate(length);
        match plan.settings.listing {
            true => Ok(Entry::Listing(path)),
            false => Err(Trouble::Missing("a folder without index")),
        }
    }

    /// A regular file of this name, if there is one.
    fn maybe(
        &self,
        plan: &FilesPlan,
        root: &OwnedFd,
        path: &[u8],
    ) -> Result<Option<(OwnedFd, Identity)>, Trouble> {
        match open::below(root, path, plan, self.patience) {
            Ok(Opened::File(fd, identity)) => Ok(Some((fd, identity))),
            Ok(Opened::Folder(_)) | Err(Trouble::Missing(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    fn file(
        &self,
        plan: &FilesPlan,
        root: &OwnedFd,
        name: Vec<u8>,
        fd: OwnedFd,
        identity: Identity,
    ) -> Result<Entry, Trouble> {
        let mut encoded = SmallVec::new();
        for coding in &plan.settings.precompressed {
            let beside = [&name, names_of(*coding).0.as_bytes()].concat();
            // One that is older was made of something else.
            if let Some((fd, other)) = self.maybe(plan, root, &beside)?
                && other.modified >= identity.modified
            {
                encoded.push((*coding, Body::take(plan, fd, other, Some(*coding), self)?));
            }
        }
        let media_type = types::of_name(&name, &plan.settings.types);
        let content_type = match types::is_text(media_type) {
            true => format!("{media_type}; charset={}", plan.settings.charset),
            false => media_type.to_owned(),
        };
        let rule = plan
            .settings
            .cache_control
            .iter()
            .find(|(pattern, _)| pattern::takes(pattern, &name));
        Ok(Entry::File(Box::new(FileEntry {
            plain: Body::take(plan, fd, identity, None, self)?,
            encoded,
            content_type,
            cache_control: rule.map(|(_, value)| value.clone()),
            name,
        })))
    }
}
