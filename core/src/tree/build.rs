//! Building a tree in document order.

use std::{borrow::Cow, collections::HashMap};

use smallvec::SmallVec;

use super::{Attribute, NONE, Node, NodeId, Tree, UNREAD, XSI, find::trim, u32_of, usize_of};

/// Children with more different names than this are found by hash; fewer, by walking from name to name.
const NARROW: usize = 8;

/// Builds a tree in document order.
#[derive(Debug, Default)]
pub struct TreeBuilder<'a> {
    tree: Tree<'a>,
    /// The open nodes, outermost first.
    open: Vec<Open>,
    /// Closed frames, to be used again.
    spare: Vec<Open>,
    /// For each name the name that came after it last time: legacy documents repeat themselves.
    follows: Vec<u32>,
    last_name: u32,
    namespace_numbers: HashMap<&'a str, u32>,
    last_namespace: u32,
    last_offset: usize,
}

/// A node that is not closed yet.
#[derive(Debug)]
struct Open {
    node: u32,
    last_child: u32,
    /// The last child when text (not only white space) was added last; `None` before there was any.
    text_after: Option<u32>,
    /// The newest first-of-its-name child.
    last_distinct: u32,
    /// Names of children so far, with the newest child of each.
    newest: SmallVec<[(u32, u32); NARROW]>,
    /// The same once there are more than [`NARROW`].
    newest_wide: HashMap<u32, u32>,
}

impl Open {
    fn new(node: u32) -> Self {
        let newest_wide = HashMap::new();
        Self {
            node,
            last_child: NONE,
            text_after: None,
            last_distinct: NONE,
            newest: SmallVec::new(),
            newest_wide,
        }
    }

    fn reuse(mut self, node: u32) -> Self {
        self.node = node;
        self.last_child = NONE;
        self.text_after = None;
        self.last_distinct = NONE;
        self.newest.clear();
        if !self.newest_wide.is_empty() {
            // A cleared map keeps its room and clearing costs that room each time: a wide parent must not slow the rest.
            self.newest_wide = HashMap::new();
        }
        self
    }

    /// Makes `node` the newest child of this name; returns the one before.
    fn replace_newest(&mut self, name: u32, node: u32) -> Option<u32> {
        if !self.newest_wide.is_empty() {
            return self.newest_wide.insert(name, node);
        }
        if let Some((_, newest)) = self.newest.iter_mut().find(|(it, _)| *it == name) {
            return Some(std::mem::replace(newest, node));
        }
        if self.newest.len() < NARROW {
            self.newest.push((name, node));
        } else {
            self.newest_wide.extend(self.newest.drain(..));
            self.newest_wide.insert(name, node);
        }
        None
    }
}

impl<'a> TreeBuilder<'a> {
    /// A builder with room for so many nodes.
    pub fn with_capacity(nodes: usize) -> Self {
        let mut builder = Self { last_name: NONE, ..Self::default() };
        builder.tree.nodes.reserve(nodes);
        builder.tree.texts.reserve(nodes);
        builder
    }

    /// The text that offsets refer to. Without it every line number is 0.
    pub fn set_source(&mut self, source: &'a str) {
        self.tree.source = source;
    }

    /// A node begins at this byte offset. `namespace` is its URI, empty for none. Nodes after the root's end become
    /// children of the root; readers refuse such documents before.
    pub fn open(&mut self, namespace: &'a str, name: Cow<'a, str>, offset: usize) -> NodeId {
        let number = u32_of(self.tree.nodes.len());
        let name = self.intern_name(name);
        let namespace = self.intern_namespace(namespace);
        if self.open.is_empty() && number > 0 {
            self.open.push(Open::new(0));
        }
        let mut node = Node {
            name,
            namespace,
            parent: NONE,
            first_child: NONE,
            next_sibling: NONE,
            next_same: NONE,
            next_distinct: NONE,
            nth: 1,
            below_end: number.saturating_add(1),
            text: NONE,
            first_attribute: u32_of(self.tree.attributes.len()),
            attribute_count: 0,
            start: u32_of(offset),
            end: u32_of(offset),
            is_wide: false,
            is_interrupted: false,
        };
        self.link(number, &mut node);
        self.tree.nodes.push(node);
        let frame = self.spare.pop().map_or_else(|| Open::new(number), |spare| spare.reuse(number));
        self.open.push(frame);
        self.last_offset = self.last_offset.max(offset);
        NodeId(number)
    }

    /// Links a new node with its parent and its siblings.
    fn link(&mut self, number: u32, node: &mut Node) {
        let Some(frame) = self.open.last_mut() else { return };
        let nodes = &mut self.tree.nodes;
        node.parent = frame.node;
        let before = frame.replace_newest(node.name, number);
        match nodes.get_mut(usize_of(frame.last_child)) {
            Some(sibling) => sibling.next_sibling = number,
            None => {
                if let Some(parent) = nodes.get_mut(usize_of(frame.node)) {
                    parent.first_child = number;
                }
            }
        }
        frame.last_child = number;
        if let Some(same) = before.and_then(|it| nodes.get_mut(usize_of(it))) {
            same.next_same = number;
            node.nth = same.nth.saturating_add(1);
            return;
        }
        if let Some(distinct) = nodes.get_mut(usize_of(frame.last_distinct)) {
            distinct.next_distinct = number;
        }
        frame.last_distinct = number;
        if frame.newest_wide.is_empty() {
            return;
        }
        let Some(parent) = nodes.get_mut(usize_of(frame.node)) else { return };
        if parent.is_wide {
            self.tree.wide.insert((frame.node, node.name), number);
            return;
        }
        // The names so far were found by walking; from now on all are found by hash.
        parent.is_wide = true;
        let mut next = parent.first_child;
        while let Some(child) = nodes.get(usize_of(next)) {
            self.tree.wide.insert((frame.node, child.name), next);
            next = child.next_distinct;
        }
        self.tree.wide.insert((frame.node, node.name), number);
    }

    fn intern_name(&mut self, name: Cow<'a, str>) -> u32 {
        let guess = self.follows.get(usize_of(self.last_name)).copied().unwrap_or(NONE);
        let number = match self.tree.names.get(usize_of(guess)) {
            Some(known) if *known == name => guess,
            _ => self.look_up_name(name),
        };
        if let Some(follows) = self.follows.get_mut(usize_of(self.last_name)) {
            *follows = number;
        }
        self.last_name = number;
        number
    }

    fn look_up_name(&mut self, name: Cow<'a, str>) -> u32 {
        if let Some(number) = self.tree.name_numbers.get(&*name) {
            return *number;
        }
        let number = u32_of(self.tree.names.len());
        self.tree.names.push(name.clone());
        self.tree.name_numbers.insert(name, number);
        self.follows.push(NONE);
        number
    }

    fn intern_namespace(&mut self, uri: &'a str) -> u32 {
        if self.tree.namespaces.get(usize_of(self.last_namespace)).is_some_and(|known| *known == uri) {
            return self.last_namespace;
        }
        let next = u32_of(self.tree.namespaces.len());
        let number = *self.namespace_numbers.entry(uri).or_insert(next);
        if number == next {
            self.tree.namespaces.push(uri);
        }
        self.last_namespace = number;
        number
    }

    /// An attribute of the node that was opened last (before any text or child).
    pub fn attribute(&mut self, namespace: &'a str, name: Cow<'a, str>, value: Cow<'a, str>) {
        let element = self.last_namespace;
        let namespace = self.intern_namespace(namespace);
        // The next element is likely to be in the element's namespace, not in the attribute's.
        self.last_namespace = element;
        let Some(node) = self.tree.nodes.last_mut() else { return };
        node.attribute_count = node.attribute_count.saturating_add(1);
        self.tree.attributes.push(Attribute { namespace, name, value });
    }

    /// Says of the node that was opened last that it is there, and that its value is not known.
    pub(crate) fn unread(&mut self, why: Cow<'a, str>) {
        self.attribute(UNREAD, Cow::Borrowed("why"), why);
    }

    /// Says of the node that was opened last that it has no value.
    pub(crate) fn nil(&mut self) {
        self.attribute(XSI, Cow::Borrowed("nil"), Cow::Borrowed("true"));
    }

    /// Character data of the innermost open node; several runs are joined.
    pub fn text(&mut self, text: Cow<'a, str>) {
        if text.is_empty() {
            return;
        }
        let Some(open) = self.open.last_mut() else { return };
        let Some(node) = self.tree.nodes.get_mut(usize_of(open.node)) else { return };
        if !trim(&text).is_empty() {
            node.is_interrupted |= open.text_after.is_some_and(|child| child != open.last_child);
            open.text_after = Some(open.last_child);
        }
        match self.tree.texts.get_mut(usize_of(node.text)) {
            Some(before) => before.to_mut().push_str(&text),
            None => {
                node.text = u32_of(self.tree.texts.len());
                self.tree.texts.push(text);
            }
        }
    }

    /// The innermost open node ends at this byte offset (exclusive).
    pub fn close(&mut self, end: usize) {
        let Some(frame) = self.open.pop() else { return };
        self.last_offset = self.last_offset.max(end);
        let below_end = u32_of(self.tree.nodes.len());
        if let Some(node) = self.tree.nodes.get_mut(usize_of(frame.node)) {
            node.end = u32_of(end);
            node.below_end = below_end;
        }
        self.spare.push(frame);
    }

    /// The tree. Nodes that are still open end where the last thing ended.
    pub fn finish(mut self) -> Tree<'a> {
        while !self.open.is_empty() {
            self.close(self.last_offset);
        }
        self.tree
    }
}
