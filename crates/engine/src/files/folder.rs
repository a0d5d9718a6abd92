// SPDX-License-Identifier: Apache-2.0
//! What a folder holds.
use super::open::{self, Identity, Opened, Patience, Trouble};
use super::plan::FilesPlan;
use rustix::fs::{Dir, fstat};
use tidegate_files::listing::{self, Item};
use tidegate_files::name;
use tidegate_http::HttpDate;

/// Names that are shown of one folder, and names that are looked at.
const MOST_SHOWN: usize = 10_000;
const MOST_READ: usize = 100_000;

/// The folder `name` below the root, sorted; whether more names were left out. May wait for the disk.
///
/// What could not be asked for is not shown: hidden names, links that lead out, pipes.
pub(crate) fn read(plan: &FilesPlan, name: &[u8], wall: u64) -> Result<(Vec<Item>, bool), Trouble> {
    let root = open::root(plan, Patience::Any)?;
    let Opened::Folder(folder) = open::below(&root, name, plan, Patience::Any)? else {
        return Err(Trouble::Missing("no folder any more"));
    };
    let unreadable = || Trouble::Failed("a folder can not be read");
    let mut items = Vec::new();
    let mut has_more = false;
    let entries = Dir::read_from(&folder).map_err(|_| unreadable())?;
    for (count, entry) in entries.enumerate() {
        if count >= MOST_READ || items.len() >= MOST_SHOWN {
            has_more = true;
            break;
        }
        let entry = entry.map_err(|_| unreadable())?;
        let own = entry.file_name().to_bytes();
        let mut escaped = String::from("/");
        name::encode_segment(own, &mut escaped);
        if name::judge(&escaped, plan.settings.hidden).is_err() {
            continue;
        }
        let path = match name.is_empty() {
            true => own.to_vec(),
            false => [name, b"/", own].concat(),
        };
        let (is_folder, identity) = match open::below(&root, &path, plan, Patience::Any) {
            Ok(Opened::File(_, identity)) => (false, identity),
            Ok(Opened::Folder(fd)) => match fstat(&fd) {
                Ok(stat) => (true, Identity::of(&stat)),
                Err(_) => continue,
            },
            Err(_) => continue,
        };
        let changed = u64::try_from(identity.modified.0).unwrap_or_default();
        let modified = HttpDate::at(changed.min(wall));
        items.push(Item {
            name: own.to_vec(),
            is_folder,
            length: identity.length,
            modified: String::from_utf8_lossy(modified.as_bytes()).into_owned(),
        });
    }
    listing::sort(&mut items);
    Ok((items, has_more))
}
