//! Places that were named last.

use crate::tree::{Hit, NodeId, Tree};

/// How many places are kept: an item, its list, and parts of the item.
const PLACES: usize = 4;

/// Places of the last nodes whose children were named: what comes next is near.
#[derive(Default)]
pub(super) struct Places {
    kept: [(Option<NodeId>, String); PLACES],
    newest: usize,
    /// Room for the place that is put together.
    pub(super) text: String,
}

impl Places {
    /// The slot that holds the place of `node`; its text is empty for a root without a name.
    fn slot(&mut self, tree: &Tree<'_>, node: NodeId) -> usize {
        let find =
            |kept: &[(Option<NodeId>, String)], node| kept.iter().position(|(it, _)| *it == Some(node));
        if let Some(slot) = find(&self.kept, node) {
            return slot;
        }
        let above = tree.parent(node).and_then(|parent| find(&self.kept, parent));
        let mut slot = (self.newest + 1) % PLACES;
        if Some(slot) == above {
            slot = (slot + 1) % PLACES;
        }
        let mut place = self.kept.get_mut(slot).map(|(_, place)| std::mem::take(place)).unwrap_or_default();
        place.clear();
        match above.and_then(|above| self.kept.get(above)) {
            Some((_, above)) => {
                place.push_str(above);
                tree.write_step(node, &mut place);
            }
            None => place.push_str(tree.place(&Hit::Node(node)).trim_end_matches('/')),
        }
        if let Some(kept) = self.kept.get_mut(slot) {
            *kept = (Some(node), place);
        }
        self.newest = slot;
        slot
    }

    /// The place of `node`; empty for a root without a name.
    pub(super) fn get(&mut self, tree: &Tree<'_>, node: NodeId) -> &str {
        let slot = self.slot(tree, node);
        self.kept.get(slot).map_or("", |(_, place)| place)
    }
}
