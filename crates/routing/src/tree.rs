// SPDX-License-Identifier: Apache-2.0
use crate::Map;
use crate::bucket::Bucket;
use crate::slots::Slots;
use crate::template::{Segment, next_segment};
use smallvec::SmallVec;
use std::sync::Arc;

/// A node of a tree of path segments; one tree holds a host's prefixes, another its templates.
///
/// Nodes are shared between snapshots: an edit copies the nodes on the way to it and no others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    literals: Map<Arc<str>, Arc<Node>>,
    parameter: Option<Arc<Node>>,
    /// Patterns that end here.
    end: Bucket,
    /// Templates that take all that follows.
    rest: Bucket,
}

/// Prefixes of a path that have routes, with their length in bytes; the shortest first.
pub(crate) type Prefixes<'t> = SmallVec<[(&'t Bucket, usize); 8]>;

/// Templates that fit a path, with the number of their literal segments.
pub(crate) type Templates<'t> = SmallVec<[(usize, &'t Bucket); 8]>;

impl Node {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.literals.is_empty()
            && self.parameter.is_none()
            && self.end.is_empty()
            && self.rest.is_empty()
    }

    /// Puts a route where `segments` lead.
    pub(crate) fn insert(&mut self, segments: &[Segment], slots: &Slots, slot: u32) {
        match segments {
            [] => self.end.insert(slots, slot),
            [Segment::Rest, ..] => self.rest.insert(slots, slot),
            [Segment::Literal(text), after @ ..] => {
                let next = self.literals.entry(Arc::clone(text)).or_default();
                Arc::make_mut(next).insert(after, slots, slot);
            }
            [Segment::Parameter, after @ ..] => {
                let next = self.parameter.get_or_insert_default();
                Arc::make_mut(next).insert(after, slots, slot);
            }
        }
    }

    /// Takes a route from where `segments` lead, and every node that this leaves empty.
    pub(crate) fn remove(&mut self, segments: &[Segment], slot: u32) {
        match segments {
            [] => self.end.remove(slot),
            [Segment::Rest, ..] => self.rest.remove(slot),
            [Segment::Literal(text), after @ ..] => {
                let Some(next) = self.literals.get_mut(text) else {
                    return;
                };
                let node = Arc::make_mut(next);
                node.remove(after, slot);
                if node.is_empty() {
                    self.literals.remove(text);
                }
            }
            [Segment::Parameter, after @ ..] => {
                let Some(next) = self.parameter.as_mut() else {
                    return;
                };
                let node = Arc::make_mut(next);
                node.remove(after, slot);
                if node.is_empty() {
                    self.parameter = None;
                }
            }
        }
    }

    /// The prefixes that `path` begins with.
    ///
    /// It goes as deep as the tree, never as deep as the path: a path of four thousand segments
    /// costs no more than the longest prefix that the operator wrote.
    pub(crate) fn prefixes(&self, path: &str) -> Prefixes<'_> {
        let mut found = Prefixes::new();
        let mut node = self;
        let mut length = 0;
        loop {
            if !node.end.is_empty() {
                found.push((&node.end, length));
            }
            if node.literals.is_empty() {
                return found;
            }
            let Some(left) = path.get(length..).and_then(|left| left.strip_prefix('/')) else {
                return found;
            };
            let (segment, _) = next_segment(left);
            let Some(next) = node.literals.get(segment) else {
                return found;
            };
            node = next;
            length += 1 + segment.len();
        }
    }

    /// Adds every template that `left`, the path behind its first slash, fits; `None` is a path
    /// that has ended.
    pub(crate) fn templates<'t>(
        &'t self,
        left: Option<&str>,
        literals: usize,
        found: &mut Templates<'t>,
    ) {
        let Some(left) = left else {
            if !self.end.is_empty() {
                found.push((literals, &self.end));
            }
            return;
        };
        if !self.rest.is_empty() {
            found.push((literals, &self.rest));
        }
        let (segment, after) = next_segment(left);
        if let Some(next) = self.literals.get(segment) {
            next.templates(after, literals + 1, found);
        }
        if let Some(next) = &self.parameter
            && !segment.is_empty()
        {
            next.templates(after, literals, found);
        }
    }
}
