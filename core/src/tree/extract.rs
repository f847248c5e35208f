//! From a tree to raw records: what every format that is a tree shares.

use std::sync::Arc;

use crate::{
    document::{AttributeKind, Document},
    finding::Check,
    interpret::{Codec, Reading},
    mapping::{
        address::{Address, Meta, Path},
        plan::{FieldPlan, From, Mapping, Shape, Source},
    },
    origin::Origin,
    ports::{Defect, Extraction, RawField, RawRecord},
};

mod places;
#[cfg(test)]
mod tests;

use self::places::Places;
use super::{Hit, NodeId, Tree, Walk, find::trim, place::write_attribute};

/// Nodes that may be looked at for each node of the document. A mapping whose addresses climb out of a repeated item
/// (`../Total`) looks at some nodes once an item; only a hostile document makes that many.
const VISITS_PER_NODE: u64 = 64;
/// Nodes that may be looked at in any document.
const VISITS_FREE: u64 = 1_000_000;
/// Records and items that may be made for each node of the document: a node may stand in more than one list.
const ITEMS_PER_NODE: usize = 4;

/// What of a mapping says where its records and their fields are found: all that reading a tree needs, and cheap to
/// keep.
pub struct Reads {
    /// One record for each match; `None`: the document is one record.
    each: Option<Path>,
    record: Arc<Shape>,
    trailer: Option<Arc<Shape>>,
}

impl Reads {
    /// This mapping's.
    pub fn of(mapping: &Mapping) -> Self {
        let Source { each, trailer, .. } = &mapping.source;
        Self { each: each.clone(), record: Arc::clone(&mapping.record), trailer: trailer.clone() }
    }
}

/// Reads the records of a document below `payload`, and its trailer. White space of XML is trimmed at both ends of
/// every value; an element with child elements gives its own character data; an element that says `xsi:nil` is
/// absent. Where more than one place matches a single value, the first is used and a defect names the second; text that
/// goes on after a child element is joined, and a defect says so.
///
/// In a document of one record addresses start at the payload's children or name the payload itself; in an `each`
/// they start at the item's children. `Extraction::payload` is left to the caller. An `each` without a match is
/// `Absent` with the place where it was looked for.
pub fn extract(tree: &Tree<'_>, payload: NodeId, reads: &Reads, document: &Document) -> Extraction {
    read(tree, Base { node: payload, or_self: true, crumb: None }, reads, document, None)
}

/// What a change of a row has besides the tree of the row as it is.
pub(crate) struct RowFacts<'t, 'a> {
    /// The row as it was; a tree without a node where there was none.
    pub before: &'t Tree<'a>,
    /// What is known of the change.
    pub meta: &'t dyn Fn(Meta) -> Option<String>,
    /// The table with its schema.
    pub table: Arc<str>,
    /// Where the change stands among all changes.
    pub position: Arc<str>,
}

/// Like [`extract`], for a change of a row: the columns are the children of the root. What is not known of the row is a
/// defect, and absent.
pub(crate) fn extract_row(
    tree: &Tree<'_>,
    root: NodeId,
    reads: &Reads,
    document: &Document,
    facts: &RowFacts<'_, '_>,
) -> Extraction {
    read(tree, Base { node: root, or_self: false, crumb: None }, reads, document, Some(facts))
}

fn read(
    tree: &Tree<'_>,
    whole: Base<'_>,
    reads: &Reads,
    document: &Document,
    facts: Option<&RowFacts<'_, '_>>,
) -> Extraction {
    let size = u64::try_from(tree.len()).unwrap_or(u64::MAX);
    let mut reader = Reader {
        tree,
        document,
        walk: Walk::default(),
        hits: Vec::new(),
        places: Places::default(),
        defects: Vec::new(),
        items: 0,
        most_visits: size.saturating_mul(VISITS_PER_NODE).saturating_add(VISITS_FREE),
        is_exhausted: false,
        facts,
        is_before: false,
    };
    let records = match &reads.each {
        None => vec![reader.record(&reads.record, whole)],
        Some(path) => reader.records(path, &reads.record, whole),
    };
    let trailer = reads.trailer.as_ref().map(|shape| {
        let crumb = Crumb { around: None, name: "trailer", index: None };
        reader.record(shape, Base { crumb: Some(&crumb), ..whole })
    });
    Extraction { records, defects: reader.defects, trailer, payload: None }
}

/// Where a record's addresses start.
#[derive(Clone, Copy)]
struct Base<'c> {
    node: NodeId,
    or_self: bool,
    crumb: Option<&'c Crumb<'c>>,
}

/// The clean name of the list that an item belongs to; only put into words for a defect.
struct Crumb<'c> {
    around: Option<&'c Crumb<'c>>,
    name: &'c str,
    /// From 1.
    index: Option<usize>,
}

impl Crumb<'_> {
    fn write(&self, text: &mut String) {
        if let Some(around) = self.around {
            around.write(text);
        }
        text.push_str(self.name);
        if let Some(index) = self.index {
            text.push_str(&format!("[{index}]"));
        }
        text.push('.');
    }
}

struct Reader<'t, 'a> {
    tree: &'t Tree<'a>,
    facts: Option<&'t RowFacts<'t, 'a>>,
    /// The tree is that of the row as it was.
    is_before: bool,
    document: &'t Document,
    walk: Walk,
    hits: Vec<Hit<'t>>,
    places: Places,
    defects: Vec<Defect>,
    items: usize,
    most_visits: u64,
    is_exhausted: bool,
}

impl<'t> Reader<'t, '_> {
    fn records(&mut self, path: &Path, shape: &Shape, whole: Base<'_>) -> Vec<RawRecord> {
        let found = self.matches(path, whole, "records");
        if found.is_empty() {
            let origin = self.expected(path, whole);
            self.defects.push(Defect {
                field: "records".into(),
                check: Check::Required,
                origin,
                expected: "at least one record".into(),
                found: None,
            });
        }
        // Names in findings are the record's own; the origin tells which record it is.
        found.into_iter().map(|node| self.record(shape, Base { node, or_self: false, crumb: None })).collect()
    }

    /// The nodes that an `each` repeats over. Of a node whose value is not known there is no item, but a defect.
    fn matches(&mut self, path: &Path, base: Base<'_>, name: &str) -> Vec<NodeId> {
        if self.is_spent() {
            return Vec::new();
        }
        let room = self.tree.len().saturating_mul(ITEMS_PER_NODE).saturating_sub(self.items);
        self.tree.find_most(
            base.node,
            base.or_self,
            path,
            room.saturating_add(1),
            &mut self.walk,
            &mut self.hits,
        );
        if self.hits.len() > room {
            self.exhaust();
            self.hits.truncate(room);
        }
        self.items += self.hits.len();
        let mut found: Vec<NodeId> = self.hits.iter().map(Hit::node).collect();
        if self.facts.is_some() {
            let unread = match found.is_empty() {
                true => self.unread_on_the_way(path, base).into_iter().collect(),
                false => found.extract_if(.., |it| self.tree.unread(*it).is_some()).collect::<Vec<_>>(),
            };
            unread.into_iter().for_each(|node| self.unread(node, name, base));
        }
        found
    }

    /// The node on the way to what is not there whose value is not known.
    fn unread_on_the_way(&mut self, path: &Path, base: Base<'_>) -> Option<NodeId> {
        self.facts?;
        let (deepest, _) = self.tree.way(base.node, base.or_self, path, &mut self.walk);
        deepest.filter(|it| self.tree.unread(*it).is_some())
    }

    /// Reports a value that is not known.
    fn unread(&mut self, node: NodeId, name: &str, base: Base<'_>) {
        let origin = self.origin(&Hit::Node(node));
        let why = self.tree.unread(node).unwrap_or_default();
        self.defects.push(Defect {
            field: named(base, name),
            check: Check::Type,
            origin,
            expected: format!("a value that is known: {why}"),
            found: None,
        });
    }

    fn each(
        &mut self,
        found: Vec<NodeId>,
        shape: &Shape,
        around: Option<&Crumb<'_>>,
        name: &str,
    ) -> Vec<RawRecord> {
        let mut records = Vec::with_capacity(found.len());
        for (at, node) in found.into_iter().enumerate() {
            let crumb = Crumb { around, name, index: Some(at + 1) };
            records.push(self.record(shape, Base { node, or_self: false, crumb: Some(&crumb) }));
        }
        records
    }

    fn record(&mut self, shape: &Shape, base: Base<'_>) -> RawRecord {
        let origin = self.origin(&Hit::Node(base.node));
        let fields = shape.fields.iter().map(|field| self.field(field, base)).collect();
        RawRecord { fields, origin }
    }

    fn field(&mut self, field: &FieldPlan, base: Base<'_>) -> RawField {
        match &field.from {
            From::Addresses(addresses) => self.first_of(addresses, field, base),
            From::Constant(_) | From::Computed(_) | From::Model => RawField::Absent { at: None },
            From::Each { path, shape } => {
                let found = self.matches(path, base, &field.name);
                if found.is_empty() {
                    return RawField::Absent { at: Some(self.expected(path, base)) };
                }
                RawField::Items(self.each(found, shape, base.crumb, &field.name))
            }
        }
    }

    /// The first address with something in it; else the first that is there but empty; else nothing.
    fn first_of(&mut self, addresses: &[Address], field: &FieldPlan, base: Base<'_>) -> RawField {
        let mut fallback: Option<RawField> = None;
        for (at, address) in addresses.iter().enumerate() {
            let found = match address {
                Address::Path(path) => self.value(path, field, base),
                Address::Before(path) => self.before(path, field, base, address),
                Address::Meta(meta) => self.meta(*meta),
                Address::Attribute(kind, name) => self.attribute(*kind, name, address),
            };
            let is_last = at + 1 == addresses.len();
            let is_empty = match &found {
                RawField::Absent { .. } => true,
                // Only where another place may still have a value is it worth to read this one twice.
                RawField::Text { text, .. } => {
                    text.is_empty() || (!is_last && spells_nothing(&field.codec, text))
                }
                RawField::Items(_) => false,
            };
            if !is_empty {
                return found;
            }
            let is_better = match &fallback {
                None => true,
                Some(before) => {
                    matches!(before, RawField::Absent { .. }) && matches!(found, RawField::Text { .. })
                }
            };
            if is_better {
                fallback = Some(found);
            }
        }
        fallback.unwrap_or(RawField::Absent { at: None })
    }

    fn value(&mut self, path: &Path, field: &FieldPlan, base: Base<'_>) -> RawField {
        if self.is_spent() {
            return RawField::Absent { at: None };
        }
        self.tree.find_most(base.node, base.or_self, path, 2, &mut self.walk, &mut self.hits);
        let (first, second) = (self.hits.first().copied(), self.hits.get(1).copied());
        let Some(first) = first else {
            if let Some(node) = self.unread_on_the_way(path, base) {
                self.unread(node, &field.name, base);
            }
            return RawField::Absent { at: Some(self.expected(path, base)) };
        };
        if let Some(second) = second {
            self.ambiguous(&second, field, base, ["one value", "a second value"]);
        }
        let origin = self.origin(&first);
        let text = match first {
            Hit::Node(node) if self.tree.is_nil(node) => return RawField::Absent { at: Some(origin) },
            Hit::Node(node) if self.facts.is_some() && self.tree.unread(node).is_some() => {
                self.unread(node, &field.name, base);
                return RawField::Absent { at: Some(origin) };
            }
            Hit::Node(node) => {
                if self.tree.is_interrupted(node) {
                    let pieces = ["text in one piece", "text that goes on after a child element"];
                    self.ambiguous(&first, field, base, pieces);
                }
                self.tree.text(node)
            }
            Hit::Attribute(_, _, value) => value,
        };
        RawField::Text { text: trim(text).into(), origin }
    }

    /// A value of the row as it was.
    fn before(&mut self, path: &Path, field: &FieldPlan, base: Base<'_>, address: &Address) -> RawField {
        let tree = self.facts.map(|it| it.before);
        let Some((tree, node)) = tree.and_then(|it| Some((it, it.root()?))) else {
            return RawField::Absent { at: Some(self.placed(&format!("/{address}"), 0)) };
        };
        let now = std::mem::replace(&mut self.tree, tree);
        let places = std::mem::take(&mut self.places);
        self.is_before = true;
        let found = self.value(path, field, Base { node, or_self: false, crumb: base.crumb });
        self.is_before = false;
        self.tree = now;
        self.places = places;
        found
    }

    /// A place of the tree as an origin: in a row its columns are the first names.
    fn placed(&self, place: &str, line: u32) -> Origin {
        match (self.facts, place.strip_prefix('/')) {
            (Some(RowFacts { table, position, .. }), Some(inside)) if !inside.is_empty() => Origin::Column {
                address: if self.is_before { format!("before {inside}").into() } else { inside.into() },
                table: Arc::clone(table),
                position: Arc::clone(position),
            },
            _ => Origin::Node { address: place.into(), line },
        }
    }

    fn attribute(&self, kind: AttributeKind, name: &str, address: &Address) -> RawField {
        let origin = Origin::Attribute(address.to_string().into());
        match self.document.attribute(kind, name) {
            Some(text) => RawField::Text { text: trim(text).into(), origin },
            None => RawField::Absent { at: Some(origin) },
        }
    }

    fn meta(&self, meta: Meta) -> RawField {
        let text = match meta {
            Meta::Received => Some(self.document.received.to_string()),
            Meta::Name => self.document.name.as_deref().map(str::to_owned),
            Meta::Key => self.document.key.as_ref().map(|key| key.as_str().to_owned()),
            Meta::Hash => Some(self.document.digest().to_string()),
            Meta::Op | Meta::Ts | Meta::Lsn | Meta::Table | Meta::Txid => {
                self.facts.and_then(|it| (it.meta)(meta))
            }
        };
        let origin = Origin::Node { address: Address::Meta(meta).to_string().into(), line: 0 };
        match text {
            Some(text) => RawField::Text { text: text.into(), origin },
            None => RawField::Absent { at: Some(origin) },
        }
    }

    /// More stands at `place` than one value.
    fn ambiguous(
        &mut self,
        place: &Hit<'_>,
        field: &FieldPlan,
        base: Base<'_>,
        [expected, found]: [&'static str; 2],
    ) {
        let origin = self.origin(place);
        self.defects.push(Defect {
            field: named(base, &field.name),
            check: Check::Ambiguous,
            origin,
            expected: expected.into(),
            found: Some(found.into()),
        });
    }

    fn expected(&mut self, path: &Path, base: Base<'_>) -> Origin {
        // The usual case: a name below the record itself, whose place is known already.
        if let ([step], false, false) = (path.steps.as_slice(), path.absolute, base.or_self)
            && matches!(step.axis, crate::mapping::address::Axis::Child)
        {
            let mut address = self.places.get(self.tree, base.node).to_owned();
            super::place::write_expected(step, &mut address);
            return self.placed(&address, 0);
        }
        let address = self.tree.expected_place_by(base.node, base.or_self, path, &mut self.walk);
        self.placed(&address, 0)
    }

    fn origin(&mut self, hit: &Hit<'_>) -> Origin {
        let node = hit.node();
        let line = self.tree.line(node);
        let tree = self.tree;
        let mut text = std::mem::take(&mut self.places.text);
        text.clear();
        match hit {
            Hit::Node(node) => match tree.parent(*node) {
                Some(parent) => {
                    text.push_str(self.places.get(tree, parent));
                    tree.write_step(*node, &mut text);
                }
                None => text.push_str(self.places.get(tree, *node)),
            },
            Hit::Attribute(node, name, _) => {
                text.push_str(self.places.get(tree, *node));
                write_attribute(name, &mut text);
            }
        }
        if text.is_empty() {
            text.push('/');
        }
        let origin = self.placed(&text, line);
        self.places.text = text;
        origin
    }

    fn is_spent(&mut self) -> bool {
        if self.walk.visited > self.most_visits {
            self.exhaust();
        }
        self.is_exhausted
    }

    /// Reports once that the rest of the document is not read.
    fn exhaust(&mut self) {
        if !self.is_exhausted {
            self.is_exhausted = true;
            self.defects.push(Defect {
                field: "records".into(),
                check: Check::Ambiguous,
                origin: Origin::Node { address: "/".into(), line: 0 },
                expected: "a document whose places do not multiply".into(),
                found: Some("more matches than can be read".into()),
            });
        }
    }
}

/// The name of a field with the lists around it: `lines[2].amount`.
fn named(base: Base<'_>, field: &str) -> Box<str> {
    let mut name = String::new();
    if let Some(crumb) = base.crumb {
        crumb.write(&mut name);
    }
    name.push_str(field);
    name.into()
}

fn spells_nothing(codec: &Codec, text: &str) -> bool {
    matches!(codec.read(text), Reading::Empty)
}
