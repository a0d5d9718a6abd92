// SPDX-License-Identifier: Apache-2.0
use crate::CompiledRoute;
use crate::Map;
use crate::bucket::Bucket;
use crate::pattern::PathPattern;
use crate::slots::Slots;
use crate::template::Segment;
use crate::tree::{Node, Templates};
use crate::visit::Visit;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::sync::Arc;

/// The routes of one host on one listener, by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    exact: Map<Arc<str>, Bucket>,
    templates: Node,
    prefixes: Node,
    regexes: Bucket,
}

/// The route that takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) slot: u32,
    /// Bytes of the path that a prefix took; 0 for other patterns.
    pub(crate) prefix_length: usize,
}

impl Paths {
    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty()
            && self.templates.is_empty()
            && self.prefixes.is_empty()
            && self.regexes.is_empty()
    }

    pub(crate) fn insert(&mut self, slots: &Slots, slot: u32, route: &CompiledRoute) {
        match route.path() {
            PathPattern::Exact(path) => self
                .exact
                .entry(Arc::clone(path))
                .or_default()
                .insert(slots, slot),
            PathPattern::Template(template) => {
                self.templates.insert(template.segments(), slots, slot)
            }
            PathPattern::Prefix(prefix) => self.prefixes.insert(&literals(prefix), slots, slot),
            PathPattern::Regex(_) => self.regexes.insert(slots, slot),
        }
    }

    pub(crate) fn remove(&mut self, slot: u32, route: &CompiledRoute) {
        match route.path() {
            PathPattern::Exact(path) => {
                let Some(bucket) = self.exact.get_mut(path) else {
                    return;
                };
                bucket.remove(slot);
                if bucket.is_empty() {
                    self.exact.remove(path);
                }
            }
            PathPattern::Template(template) => self.templates.remove(template.segments(), slot),
            PathPattern::Prefix(prefix) => self.prefixes.remove(&literals(prefix), slot),
            PathPattern::Regex(_) => self.regexes.remove(slot),
        }
    }

    /// The first route, in order of precedence, whose path fits and that `visit` takes.
    pub(crate) fn find<V: Visit>(&self, slots: &Slots, path: &str, visit: &mut V) -> Option<Hit> {
        if let Some(bucket) = self.exact.get(path)
            && let Some(hit) = first(slots, bucket.slots(), 0, visit)
        {
            return Some(hit);
        }
        if !self.templates.is_empty()
            && let Some(hit) = self.find_template(slots, path, visit)
        {
            return Some(hit);
        }
        for (bucket, length) in self.prefixes.prefixes(path).into_iter().rev() {
            if let Some(hit) = first(slots, bucket.slots(), length, visit) {
                return Some(hit);
            }
        }
        self.regexes.slots().iter().find_map(|&slot| {
            let place = slots.place(slot)?;
            let fits = place.route.path().matches(path);
            visit.route(slot, place, fits).then_some(Hit {
                slot,
                prefix_length: 0,
            })
        })
    }

    fn find_template<V: Visit>(&self, slots: &Slots, path: &str, visit: &mut V) -> Option<Hit> {
        let mut found = Templates::new();
        self.templates
            .templates(Some(path.strip_prefix('/')?), 0, &mut found);
        // Unstable sorts: they allocate nothing, and what is equal here is merged below.
        found.sort_unstable_by_key(|(literals, _)| Reverse(*literals));
        for equal in found.chunk_by(|one, other| one.0 == other.0) {
            let hit = match equal {
                [(_, bucket)] => first(slots, bucket.slots(), 0, visit),
                // Different templates with as many literals: their routes compete one by one.
                several => {
                    let mut merged: SmallVec<[u32; 16]> = several
                        .iter()
                        .flat_map(|(_, bucket)| bucket.slots())
                        .copied()
                        .collect();
                    merged.sort_unstable_by_key(|slot| slots.order(*slot));
                    first(slots, &merged, 0, visit)
                }
            };
            if hit.is_some() {
                return hit;
            }
        }
        None
    }
}

#[inline]
fn first<V: Visit>(
    slots: &Slots,
    candidates: &[u32],
    prefix_length: usize,
    visit: &mut V,
) -> Option<Hit> {
    candidates.iter().find_map(|&slot| {
        let place = slots.place(slot)?;
        visit.route(slot, place, true).then_some(Hit {
            slot,
            prefix_length,
        })
    })
}

fn literals(prefix: &str) -> Vec<Segment> {
    prefix
        .split('/')
        .skip(1)
        .map(|segment| Segment::Literal(segment.into()))
        .collect()
}
