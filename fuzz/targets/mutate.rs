// SPDX-License-Identifier: Apache-2.0
//! Bytes for the targets without a fuzzer: seeds that were cut, spliced and filled with pieces.
use proptest::prelude::*;
use proptest::sample::Index;
use std::path::Path;

/// The whole examples of a target, which it takes.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let mut files: Vec<_> = std::fs::read_dir(folder.join(target))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no seeds");
    files
        .iter()
        .filter_map(|file| std::fs::read(file).ok())
        .collect()
}

/// A seed with up to six changes: some bytes out, a piece or stray bytes in.
pub fn mutated(target: &str, pieces: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(pieces).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    let change = (any::<Index>(), 0usize..6, piece);
    let changes = prop::collection::vec(change, 0..6);
    (prop::sample::select(seeds(target)), changes).prop_map(|(mut bytes, changes)| {
        for (index, out, piece) in changes {
            let from = index.index(bytes.len() + 1);
            let to = (from + out).min(bytes.len());
            bytes.splice(from..to, piece);
        }
        bytes
    })
}
