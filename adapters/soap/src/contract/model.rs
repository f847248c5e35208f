//! What a schema says: elements, types and how they nest. Names that no schema declares are open: anything goes.

use std::{collections::HashMap, sync::Arc};

/// The namespace of XML Schema.
pub(crate) const XSD: &str = "http://www.w3.org/2001/XMLSchema";

/// Most steps through groups, base types and substitutions on the way to one list of children.
const MOST_HOPS: usize = 64;
/// Most particles, types and attribute groups that are looked at for one element.
const MOST_VISITS: usize = 50_000;

/// A name in a namespace (empty for none).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QName {
    /// The namespace's URI.
    pub namespace: Arc<str>,
    /// The name behind the prefix.
    pub local: Arc<str>,
}

/// One element as declared. A local element that is not qualified has no namespace.
#[derive(Debug, PartialEq)]
pub struct Element {
    /// Its name.
    pub name: QName,
    /// Its type.
    pub kind: TypeRef,
    /// The head of its substitution group.
    pub stands_for: Option<QName>,
    /// `xsi:nil` is allowed.
    pub nillable: bool,
}

/// The type of an element.
#[derive(Debug, Clone, PartialEq)]
pub enum TypeRef {
    /// `anyType`, or none.
    Any,
    /// By name.
    Named(QName),
    /// Written in place.
    Inline(Arc<Type>),
}

/// A type.
#[derive(Debug, PartialEq)]
pub enum Type {
    /// Text, without attributes.
    Simple {
        /// The type it restricts; `None` for lists and unions.
        base: Option<QName>,
    },
    /// Attributes, and children or text.
    Complex(Complex),
}

/// A complex type.
#[derive(Debug, Default, PartialEq)]
pub struct Complex {
    /// The type it extends or restricts.
    pub base: Option<QName>,
    /// True: its children come after the base's. False (a restriction): instead of them.
    pub extends: bool,
    /// Its own children.
    pub content: Option<Particle>,
    /// Its own attributes.
    pub attributes: Attributes,
}

/// Attributes of a type or of an attribute group.
#[derive(Debug, Default, PartialEq)]
pub struct Attributes {
    /// In order.
    pub own: Vec<Attribute>,
    /// `attributeGroup ref`.
    pub groups: Vec<QName>,
    /// `anyAttribute`.
    pub open: bool,
}

/// One attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Its name; without a namespace unless it is qualified or global.
    pub name: QName,
    /// `use="required"`.
    pub required: bool,
}

/// A part of a content model.
#[derive(Debug, PartialEq)]
pub struct Particle {
    /// Least occurrences.
    pub least: u32,
    /// Most occurrences; `None` is unbounded.
    pub most: Option<u32>,
    /// What occurs.
    pub term: Term,
}

/// What a particle is.
#[derive(Debug, PartialEq)]
pub enum Term {
    /// An element declared here.
    Element(Arc<Element>),
    /// A global element.
    ElementRef(QName),
    /// A named group.
    Group(QName),
    /// One after the other.
    Sequence(Vec<Particle>),
    /// One of them.
    Choice(Vec<Particle>),
    /// Each, in any order.
    All(Vec<Particle>),
    /// Any element.
    Any,
}

/// All schemas of a contract together.
#[derive(Debug, Default)]
pub struct Schemas {
    /// Global elements.
    pub elements: HashMap<QName, Arc<Element>>,
    /// Names of global elements as they were read.
    pub element_order: Vec<QName>,
    /// Named types.
    pub types: HashMap<QName, Arc<Type>>,
    /// Named groups.
    pub groups: HashMap<QName, Particle>,
    /// Attribute groups.
    pub attribute_groups: HashMap<QName, Attributes>,
    /// Members of substitution groups, by their head.
    pub substitutes: HashMap<QName, Vec<QName>>,
}

/// One element that may stand inside another.
#[derive(Debug, Clone, Copy)]
pub struct Child<'s> {
    /// Its declaration.
    pub element: &'s Arc<Element>,
    /// It may stand there more than once.
    pub repeats: bool,
}

/// What was met on the way through a content model.
#[derive(Default)]
struct Seen {
    /// Where in the list of children each name stands.
    places: HashMap<QName, usize>,
    /// Particles and types looked at: groups that name each other many times must not multiply.
    visits: usize,
}

impl Seen {
    /// False when the model is too much to be followed further.
    fn goes_on(&mut self, hops: usize) -> bool {
        self.visits += 1;
        hops <= MOST_HOPS && self.visits <= MOST_VISITS
    }
}

/// What may stand inside an element, in the order of its content model.
#[derive(Debug, Default)]
pub struct Children<'s> {
    /// Declared elements; one that occurs twice in the model stands at its first place.
    pub all: Vec<Child<'s>>,
    /// Others may stand there too.
    pub open: bool,
}

/// Attributes of an element.
#[derive(Debug, Default)]
pub struct AttributeList<'s> {
    /// Declared attributes.
    pub all: Vec<&'s Attribute>,
    /// Others may stand there too.
    pub open: bool,
    visits: usize,
}

impl Schemas {
    /// What may stand inside this element.
    pub fn children<'s>(&'s self, element: &'s Element) -> Children<'s> {
        let mut found = Children::default();
        let mut seen = Seen::default();
        match self.kind_of(element) {
            TypeRef::Any => found.open = true,
            TypeRef::Named(name) => self.children_of_named(name, &mut found, &mut seen, 0),
            TypeRef::Inline(kind) => self.children_of_type(kind, &mut found, &mut seen, 0),
        }
        found
    }

    /// The element's type; one that is not given is that of the head of its substitution group.
    fn kind_of<'s>(&'s self, element: &'s Element) -> &'s TypeRef {
        let mut here = element;
        for _ in 0..MOST_HOPS {
            match here.stands_for.as_ref().and_then(|head| self.elements.get(head)) {
                Some(head) if here.kind == TypeRef::Any => here = head,
                _ => break,
            }
        }
        &here.kind
    }

    fn children_of_named<'s>(&'s self, name: &QName, found: &mut Children<'s>, seen: &mut Seen, hops: usize) {
        match self.types.get(name) {
            Some(kind) => self.children_of_type(kind, found, seen, hops),
            None => found.open |= !is_builtin(name),
        }
    }

    fn children_of_type<'s>(
        &'s self,
        kind: &'s Type,
        found: &mut Children<'s>,
        seen: &mut Seen,
        hops: usize,
    ) {
        let Type::Complex(complex) = kind else { return };
        if !seen.goes_on(hops) {
            found.open = true;
            return;
        }
        if let Some(base) = complex.base.as_ref().filter(|_| complex.extends) {
            self.children_of_named(base, found, seen, hops + 1);
        }
        if let Some(content) = &complex.content {
            self.children_of_particle(content, false, found, seen, hops);
        }
    }

    fn children_of_particle<'s>(
        &'s self,
        particle: &'s Particle,
        repeats: bool,
        found: &mut Children<'s>,
        seen: &mut Seen,
        hops: usize,
    ) {
        let repeats = repeats || particle.most.is_none_or(|most| most > 1);
        if !seen.goes_on(hops) {
            found.open = true;
            return;
        }
        match &particle.term {
            Term::Element(element) => add(element, repeats, found, seen),
            Term::ElementRef(name) => match self.elements.get(name) {
                Some(element) => self.with_substitutes(element, repeats, found, seen, hops),
                None => found.open = true,
            },
            Term::Group(name) => match self.groups.get(name) {
                Some(group) => self.children_of_particle(group, repeats, found, seen, hops + 1),
                None => found.open = true,
            },
            Term::Sequence(all) | Term::Choice(all) | Term::All(all) => {
                all.iter().for_each(|one| self.children_of_particle(one, repeats, found, seen, hops));
            }
            Term::Any => found.open = true,
        }
    }

    fn with_substitutes<'s>(
        &'s self,
        element: &'s Arc<Element>,
        repeats: bool,
        found: &mut Children<'s>,
        seen: &mut Seen,
        hops: usize,
    ) {
        let known = seen.places.contains_key(&element.name);
        add(element, repeats, found, seen);
        if known || hops > MOST_HOPS {
            return;
        }
        for member in self.substitutes.get(&element.name).into_iter().flatten() {
            if let Some(member) = self.elements.get(member) {
                self.with_substitutes(member, repeats, found, seen, hops + 1);
            }
        }
    }

    /// The attributes that this element may have.
    pub fn attributes<'s>(&'s self, element: &'s Element) -> AttributeList<'s> {
        let mut found = AttributeList::default();
        match self.kind_of(element) {
            TypeRef::Any => found.open = true,
            TypeRef::Named(name) => self.attributes_of_named(name, &mut found, 0),
            TypeRef::Inline(kind) => self.attributes_of_type(kind, &mut found, 0),
        }
        found
    }

    fn attributes_of_named<'s>(&'s self, name: &QName, found: &mut AttributeList<'s>, hops: usize) {
        match self.types.get(name) {
            Some(kind) => self.attributes_of_type(kind, found, hops),
            None => found.open |= !is_builtin(name),
        }
    }

    fn attributes_of_type<'s>(&'s self, kind: &'s Type, found: &mut AttributeList<'s>, hops: usize) {
        let Type::Complex(complex) = kind else { return };
        if hops > MOST_HOPS {
            found.open = true;
            return;
        }
        self.add_attributes(&complex.attributes, found, hops);
        // A restriction keeps the attributes that it does not prohibit.
        if let Some(base) = &complex.base {
            self.attributes_of_named(base, found, hops + 1);
        }
    }

    fn add_attributes<'s>(&'s self, attributes: &'s Attributes, found: &mut AttributeList<'s>, hops: usize) {
        found.visits += 1 + attributes.own.len();
        if hops > MOST_HOPS || found.visits > MOST_VISITS {
            found.open = true;
            return;
        }
        found.open |= attributes.open;
        for one in &attributes.own {
            if !found.all.iter().any(|it| it.name == one.name) {
                found.all.push(one);
            }
        }
        for group in &attributes.groups {
            match self.attribute_groups.get(group) {
                Some(group) => self.add_attributes(group, found, hops + 1),
                None => found.open = true,
            }
        }
    }
}

fn add<'s>(element: &'s Arc<Element>, repeats: bool, found: &mut Children<'s>, seen: &mut Seen) {
    match seen.places.get(&element.name).and_then(|at| found.all.get_mut(*at)) {
        Some(first) => first.repeats = true,
        None => {
            seen.places.insert(element.name.clone(), found.all.len());
            found.all.push(Child { element, repeats });
        }
    }
}

/// A type of XML Schema itself that has no children.
fn is_builtin(name: &QName) -> bool {
    &*name.namespace == XSD && &*name.local != "anyType"
}
