//! Naming a place.

use std::fmt::Write;

use smallvec::SmallVec;

use super::{Hit, NodeId, Tree, Walk};
use crate::mapping::address::{Axis, Path, Step, write_name};

impl Tree<'_> {
    /// The exact place, itself an absolute address: `/Envelope/Body/Claim/Lines/Line(2)`; a position only where a
    /// sibling has the same name.
    pub fn place(&self, hit: &Hit<'_>) -> String {
        let mut place = String::with_capacity(64);
        match hit {
            Hit::Node(node) => self.write_place(*node, &mut place),
            Hit::Attribute(node, name, _) => {
                self.write_place(*node, &mut place);
                write_attribute(name, &mut place);
            }
        }
        place
    }

    fn write_place(&self, node: NodeId, place: &mut String) {
        let mut way: SmallVec<[NodeId; 16]> = SmallVec::new();
        let mut at = Some(node);
        while let Some(node) = at {
            way.push(node);
            at = self.parent(node);
        }
        for node in way.into_iter().rev() {
            self.write_step(node, place);
        }
        if place.is_empty() {
            place.push('/');
        }
    }

    /// Adds `/Line(2)`. The root without a name adds nothing.
    pub(super) fn write_step(&self, node: NodeId, place: &mut String) {
        let Some(kept) = self.node(node) else { return };
        let name = self.name_of(kept.name);
        if kept.parent == super::NONE && name.is_empty() {
            return;
        }
        place.push('/');
        // Writing to a string can not fail.
        let _ = write_name(place, name);
        if kept.nth > 1 || kept.next_same != super::NONE {
            let _ = write!(place, "({})", kept.nth);
        }
    }

    /// Where `path` would be below `base`: the place of the deepest node on the way that exists, then the rest.
    pub fn expected_place(&self, base: NodeId, or_self: bool, path: &Path) -> String {
        self.expected_place_by(base, or_self, path, &mut Walk::default())
    }

    /// The deepest node on the way of `path` that exists (of several the first, which a person looks at), and the
    /// steps that lead nowhere from there.
    pub(super) fn way<'p>(
        &self,
        base: NodeId,
        or_self: bool,
        path: &'p Path,
        walk: &mut Walk,
    ) -> (Option<NodeId>, &'p [Step]) {
        let mut rest = self.begin(base, or_self, path, walk);
        let mut deepest = walk.here().first().copied();
        while let Some((step, further)) = rest.split_first() {
            if step.axis == Axis::Attribute || walk.here().is_empty() {
                break;
            }
            self.step(step, 1, walk);
            let Some(first) = walk.here().first() else { break };
            deepest = Some(*first);
            rest = further;
        }
        (deepest, rest)
    }

    /// Like [`Self::expected_place`], with working room of the caller's.
    pub(crate) fn expected_place_by(
        &self,
        base: NodeId,
        or_self: bool,
        path: &Path,
        walk: &mut Walk,
    ) -> String {
        let (deepest, rest) = self.way(base, or_self, path, walk);
        let mut place = match deepest {
            Some(node) => self.place(&Hit::Node(node)),
            None => String::new(),
        };
        // An absolute path whose root is another one: the path itself is the place.
        let rest = if deepest.is_none() { path.steps.as_slice() } else { rest };
        for step in rest {
            write_expected(step, &mut place);
        }
        if place.is_empty() {
            place.push('/');
        }
        place
    }
}

/// Adds the step as the mapping has it, without its namespace.
pub(super) fn write_expected(step: &Step, place: &mut String) {
    if place == "/" {
        place.clear();
    }
    place.push_str(if step.axis == Axis::Descendant { "//" } else { "/" });
    let local = Step { namespace: None, ..step.clone() };
    let _ = write!(place, "{local}");
}

/// Adds `/@name`.
pub(super) fn write_attribute(name: &str, place: &mut String) {
    if place == "/" {
        place.clear();
    }
    place.push_str("/@");
    let _ = write_name(place, name);
}
