// SPDX-License-Identifier: Apache-2.0
use crate::slots::Slots;
use smallvec::SmallVec;

/// Routes of one host with the same path pattern, the one that goes first in front: the greater
/// rank, then the earlier in the file.
///
/// It holds slots, not positions in the file, so that a route put in front of the file leaves
/// every bucket as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket(SmallVec<[u32; 2]>);

impl Bucket {
    pub(crate) fn insert(&mut self, slots: &Slots, slot: u32) {
        let order = slots.order(slot);
        let at = self.0.partition_point(|other| slots.order(*other) < order);
        self.0.insert(at, slot);
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        self.0.retain(|other| *other != slot);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(crate) fn slots(&self) -> &[u32] {
        &self.0
    }
}
