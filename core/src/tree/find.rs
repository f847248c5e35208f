//! Walking a path.

use smallvec::SmallVec;

use super::{Hit, NodeId, Tree, usize_of};
use crate::mapping::address::{Axis, Path, Pick, Step};

/// A walk's working room, to be used for many paths of one document.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    here: SmallVec<[NodeId; 8]>,
    next: SmallVec<[NodeId; 8]>,
    /// How many nodes and attributes were looked at since the walk was made.
    pub(crate) visited: u64,
}

impl Walk {
    pub(super) fn here(&self) -> &[NodeId] {
        &self.here
    }
}

impl<'a> Tree<'a> {
    /// All matches of `path`, in document order, without doubles. A relative path starts at `base`: its first step
    /// names a child of it, or, where `or_self` is true and no child has that name, `base` itself.
    pub fn find<'t>(&'t self, base: NodeId, or_self: bool, path: &Path, hits: &mut Vec<Hit<'t>>) {
        self.find_most(base, or_self, path, usize::MAX, &mut Walk::default(), hits);
    }

    /// Like [`Self::find`], with working room of the caller's, and ready once `most` matches are known.
    pub(crate) fn find_most<'t>(
        &'t self,
        base: NodeId,
        or_self: bool,
        path: &Path,
        most: usize,
        walk: &mut Walk,
        hits: &mut Vec<Hit<'t>>,
    ) {
        hits.clear();
        let steps = self.begin(base, or_self, path, walk);
        let last = steps.len().saturating_sub(1);
        for (at, step) in steps.iter().enumerate() {
            if step.axis == Axis::Attribute {
                self.attributes_of(step, most, walk, hits);
                return;
            }
            // Only the last step may stop early: a step on the way may lead nowhere.
            self.step(step, if at == last { most } else { usize::MAX }, walk);
            if walk.here.is_empty() {
                return;
            }
        }
        hits.extend(walk.here.iter().take(most).copied().map(Hit::Node));
    }

    /// Puts the walk at its start and returns the steps that are still to go.
    pub(super) fn begin<'p>(
        &self,
        base: NodeId,
        or_self: bool,
        path: &'p Path,
        walk: &mut Walk,
    ) -> &'p [Step] {
        walk.here.clear();
        let steps = path.steps.as_slice();
        let Some((first, rest)) = steps.split_first() else {
            walk.here.extend(if path.absolute { self.root() } else { Some(base) });
            return steps;
        };
        if path.absolute {
            let Some(root) = self.root() else { return steps };
            if self.name(root).is_empty() || first.axis != Axis::Child {
                walk.here.push(root);
                return steps;
            }
            if self.is_step(root, first) {
                walk.here.push(root);
            }
            return rest;
        }
        walk.here.push(base);
        let names_a_child = first.axis == Axis::Child && &*first.name != "*";
        if or_self && names_a_child && !self.has_child(base, first) && self.is_step(base, first) {
            return rest;
        }
        steps
    }

    fn has_child(&self, base: NodeId, step: &Step) -> bool {
        let mut child = self.first_named(base, &step.name);
        while let Some(found) = child {
            if self.is_in(found, step) {
                return true;
            }
            child = self.next_same(found);
        }
        false
    }

    fn is_in(&self, node: NodeId, step: &Step) -> bool {
        step.namespace.as_deref().is_none_or(|uri| self.namespace(node) == uri)
    }

    /// True when the node alone is what the step asks for.
    fn is_step(&self, node: NodeId, step: &Step) -> bool {
        let named = &*step.name == "*" || self.name(node) == &*step.name;
        named
            && self.is_in(node, step)
            && step.picks.iter().all(|pick| match pick {
                Pick::Nth(nth) => *nth == 1,
                Pick::Last => true,
                Pick::Attribute(..) | Pick::Child(..) => self.has(node, pick),
            })
    }

    /// Takes one step from every node of the walk.
    pub(super) fn step(&self, step: &Step, most: usize, walk: &mut Walk) {
        let Walk { here, next, visited } = walk;
        next.clear();
        let mut covered = 0;
        for node in here.iter() {
            match step.axis {
                Axis::Current => next.push(*node),
                Axis::Parent => next.extend(self.parent(*node)),
                Axis::Child => self.children_of(*node, step, most, next, visited),
                Axis::Descendant => {
                    // Without picks a node inside the last one adds nothing.
                    if step.picks.is_empty() && node.0 < covered {
                        continue;
                    }
                    covered = self.node(*node).map_or(0, |node| node.below_end);
                    self.descendants_of(*node, step, most, next, visited);
                }
                Axis::Attribute => {}
            }
        }
        *visited += u64::try_from(here.len()).unwrap_or(u64::MAX);
        if !next.is_sorted_by(|left, right| left < right) {
            next.sort_unstable();
            next.dedup();
        }
        std::mem::swap(here, next);
    }

    fn children_of(
        &self,
        node: NodeId,
        step: &Step,
        most: usize,
        next: &mut SmallVec<[NodeId; 8]>,
        visited: &mut u64,
    ) {
        let from = next.len();
        let stop = if step.picks.is_empty() { most } else { early(&step.picks) };
        let mut look = |child: NodeId, next: &mut SmallVec<[NodeId; 8]>| {
            *visited += 1;
            if self.is_in(child, step) {
                next.push(child);
            }
            next.len() - from < stop
        };
        if &*step.name == "*" {
            for child in self.children(node) {
                if !look(child, next) {
                    break;
                }
            }
        } else {
            let mut child = self.first_named(node, &step.name);
            while let Some(found) = child {
                if !look(found, next) {
                    break;
                }
                child = self.next_same(found);
            }
        }
        self.pick(&step.picks, from, next, visited);
    }

    fn descendants_of(
        &self,
        node: NodeId,
        step: &Step,
        most: usize,
        next: &mut SmallVec<[NodeId; 8]>,
        visited: &mut u64,
    ) {
        let from = next.len();
        let stop = if step.picks.is_empty() { most } else { early(&step.picks) };
        let mut look = |found: NodeId, next: &mut SmallVec<[NodeId; 8]>| {
            *visited += 1;
            if self.is_in(found, step) {
                next.push(found);
            }
            next.len() - from < stop
        };
        if &*step.name == "*" {
            let below = node.0.saturating_add(1)..self.node(node).map_or(0, |node| node.below_end);
            for found in below {
                if !look(NodeId(found), next) {
                    break;
                }
            }
        } else {
            for found in self.named_below(node, &step.name) {
                if !look(NodeId(*found), next) {
                    break;
                }
            }
        }
        self.pick(&step.picks, from, next, visited);
    }

    /// Keeps of `found[from..]` what the picks choose, one pick after the other.
    fn pick(&self, picks: &[Pick], from: usize, found: &mut SmallVec<[NodeId; 8]>, visited: &mut u64) {
        for pick in picks {
            let chosen = match pick {
                Pick::Nth(nth) => {
                    usize_of(*nth).checked_sub(1).and_then(|at| found.get(from..)?.get(at).copied())
                }
                Pick::Last => found.get(from..).and_then(|it| it.last().copied()),
                Pick::Attribute(..) | Pick::Child(..) => {
                    let mut keep = from;
                    for at in from..found.len() {
                        *visited += 1;
                        let Some(node) = found.get(at).copied() else { break };
                        if self.has(node, pick) {
                            if let Some(slot) = found.get_mut(keep) {
                                *slot = node;
                            }
                            keep += 1;
                        }
                    }
                    found.truncate(keep);
                    continue;
                }
            };
            found.truncate(from);
            found.extend(chosen);
        }
    }

    /// True when the node has the attribute or a child with the value that the pick names.
    fn has(&self, node: NodeId, pick: &Pick) -> bool {
        match pick {
            Pick::Attribute(name, value) => {
                self.attributes(node).iter().any(|it| it.name == **name && trim(&it.value) == &**value)
            }
            Pick::Child(name, value) => {
                let mut child = self.first_named(node, name);
                while let Some(found) = child {
                    // Pieces that are joined are no value to pick by.
                    if trim(self.text(found)) == &**value && !self.is_interrupted(found) {
                        return true;
                    }
                    child = self.next_same(found);
                }
                false
            }
            Pick::Nth(_) | Pick::Last => true,
        }
    }

    fn attributes_of<'t>(&'t self, step: &Step, most: usize, walk: &mut Walk, hits: &mut Vec<Hit<'t>>) {
        for node in &walk.here {
            for found in self.attributes(*node) {
                walk.visited += 1;
                let named = &*step.name == "*" || found.name == *step.name;
                let inside =
                    step.namespace.as_deref().is_none_or(|uri| self.namespace_of(found.namespace) == uri);
                if named && inside {
                    if hits.len() == most {
                        return;
                    }
                    hits.push(Hit::Attribute(*node, &found.name, &found.value));
                }
            }
        }
    }
}

/// How many matches decide the first pick.
fn early(picks: &[Pick]) -> usize {
    match picks.first() {
        Some(Pick::Nth(nth)) => usize_of(*nth),
        _ => usize::MAX,
    }
}

/// Without the white space of XML at its ends.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}
