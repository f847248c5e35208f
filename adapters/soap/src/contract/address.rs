//! Is there such a place? Addresses of a mapping against the schemas of its contract.

use std::{collections::HashSet, rc::Rc, sync::Arc};

use vestibule_core::{
    mapping::address::{Axis, Path, Pick, Step},
    ports::{Direction, NotInContract},
};

use super::{
    WsdlContract,
    model::{Element, QName, Schemas},
};

/// Most places that a path is followed to at once; past it, everything goes.
const MOST_PLACES: usize = 512;
/// Most elements that `//` looks at.
const MOST_DESCENDANTS: usize = 20_000;

/// Where a path has come to.
#[derive(Clone)]
struct Place<'c> {
    here: Here<'c>,
    above: Option<Rc<Place<'c>>>,
}

#[derive(Clone, Copy)]
enum Here<'c> {
    /// Above the root.
    Document,
    /// A declared element.
    Element(&'c Arc<Element>),
    /// A declared attribute: nothing is below it.
    Attribute,
    /// Where the contract does not say.
    Anything,
}

impl<'c> Place<'c> {
    fn anywhere() -> Self {
        Self { here: Here::Anything, above: None }
    }

    fn below(&self, here: Here<'c>) -> Self {
        Self { here, above: Some(Rc::new(self.clone())) }
    }
}

/// Walks `path` from the message's root, through the addresses of the lists that it stands in.
pub(super) fn check(
    contract: &WsdlContract,
    operation: Option<&str>,
    direction: Direction,
    base: &[&Path],
    path: &Path,
) -> Result<(), NotInContract> {
    let walk = Walk { schemas: &contract.schemas };
    let roots = roots(contract, operation, direction);
    if roots.is_empty() {
        return Ok(());
    }
    let mut places = roots.clone();
    let mut first = true;
    for base in base {
        // An outer address that is wrong is reported where it stands, not again for everything inside it.
        match walk.follow(&roots, &places, base, first) {
            Ok(found) => places = found,
            Err(_) => return Ok(()),
        }
        first = false;
    }
    walk.follow(&roots, &places, path, first).map(drop)
}

/// The elements that a message may be.
fn roots<'c>(contract: &'c WsdlContract, operation: Option<&str>, direction: Direction) -> Vec<Place<'c>> {
    let names: Vec<&QName> = match (contract.operation(operation), direction) {
        (Some(operation), Direction::Request) => operation.request.iter().collect(),
        (Some(operation), Direction::Reply) => operation.reply.iter().collect(),
        (None, _) if operation.is_some() => Vec::new(),
        (None, _) if contract.operations.is_empty() => contract.schemas.element_order.iter().collect(),
        (None, Direction::Request) => {
            contract.operations.iter().filter_map(|it| it.request.as_ref()).collect()
        }
        (None, Direction::Reply) => contract.operations.iter().filter_map(|it| it.reply.as_ref()).collect(),
    };
    let document = Rc::new(Place { here: Here::Document, above: None });
    let element = |name: &QName| contract.schemas.elements.get(name);
    let place = |it| Place { here: Here::Element(it), above: Some(Rc::clone(&document)) };
    names.into_iter().filter_map(element).map(place).collect()
}

struct Walk<'c> {
    schemas: &'c Schemas,
}

impl<'c> Walk<'c> {
    /// `or_self`: the first step may also name the places themselves.
    fn follow(
        &self,
        roots: &[Place<'c>],
        from: &[Place<'c>],
        path: &Path,
        or_self: bool,
    ) -> Result<Vec<Place<'c>>, NotInContract> {
        let mut places = from.to_vec();
        let mut skip = 0;
        if path.absolute {
            match self.enter(roots, path) {
                Some((found, used)) => (places, skip) = (found, used),
                None => {
                    let known = roots.iter().filter_map(Self::name).collect();
                    return Err(NotInContract { step: 0, known });
                }
            }
        }
        for (index, step) in path.steps.iter().enumerate().skip(skip) {
            let mut next = self.step(&places, step);
            if next.is_empty() && index == 0 && or_self && step.axis == Axis::Child {
                next = places.iter().filter(|it| Self::is(it, step)).cloned().collect();
            }
            if next.is_empty() {
                return Err(NotInContract { step: index, known: self.known(&places) });
            }
            self.check_picks(&next, step).map_err(|known| NotInContract { step: index, known })?;
            places = next;
        }
        Ok(places)
    }

    /// `/Envelope/Body/Root/…` or `/Root/…`: where it gets to, and how many steps that takes.
    fn enter(&self, roots: &[Place<'c>], path: &Path) -> Option<(Vec<Place<'c>>, usize)> {
        let step = |index: usize| path.steps.get(index);
        let named = |index: usize, name: &str| step(index).is_some_and(|it| &*it.name == name);
        let mut at = 0;
        if named(0, "Envelope") {
            at = 1;
            if !named(1, "Body") {
                return Some((vec![Place::anywhere()], path.steps.len().min(2)));
            }
            at += 1;
        }
        let Some(first) = step(at) else { return Some((roots.to_vec(), at)) };
        let found: Vec<_> = match first.axis {
            Axis::Descendant => return Some((roots.to_vec(), at)),
            _ => roots.iter().filter(|it| Self::is(it, first)).cloned().collect(),
        };
        (!found.is_empty()).then_some((found, at + 1))
    }

    fn is(place: &Place<'c>, step: &Step) -> bool {
        match place.here {
            Here::Element(element) => matches(&element.name, step),
            Here::Anything => true,
            Here::Document | Here::Attribute => false,
        }
    }

    fn name(place: &Place<'c>) -> Option<String> {
        match place.here {
            Here::Element(element) => Some(element.name.local.to_string()),
            _ => None,
        }
    }

    fn step(&self, places: &[Place<'c>], step: &Step) -> Vec<Place<'c>> {
        let mut found = Vec::new();
        for place in places {
            match step.axis {
                Axis::Current => found.push(place.clone()),
                Axis::Parent => found.push(match &place.above {
                    Some(above) => (**above).clone(),
                    None => Place::anywhere(),
                }),
                Axis::Child => self.children(place, step, &mut found),
                Axis::Attribute => self.attributes(place, step, &mut found),
                Axis::Descendant => self.descendants(place, step, &mut found),
            }
            if found.len() > MOST_PLACES {
                return vec![Place::anywhere()];
            }
        }
        found
    }

    fn children(&self, place: &Place<'c>, step: &Step, found: &mut Vec<Place<'c>>) {
        match place.here {
            Here::Element(element) => {
                let children = self.schemas.children(element);
                let before = found.len();
                let hits = children.all.iter().filter(|it| matches(&it.element.name, step));
                found.extend(hits.map(|it| place.below(Here::Element(it.element))));
                if children.open && found.len() == before {
                    found.push(place.below(Here::Anything));
                }
            }
            Here::Anything | Here::Document => found.push(place.below(Here::Anything)),
            Here::Attribute => {}
        }
    }

    fn attributes(&self, place: &Place<'c>, step: &Step, found: &mut Vec<Place<'c>>) {
        match place.here {
            Here::Element(element) => {
                let attributes = self.schemas.attributes(element);
                if attributes.open || attributes.all.iter().any(|it| matches(&it.name, step)) {
                    found.push(place.below(Here::Attribute));
                }
            }
            Here::Anything => found.push(place.below(Here::Attribute)),
            Here::Document | Here::Attribute => {}
        }
    }

    fn descendants(&self, place: &Place<'c>, step: &Step, found: &mut Vec<Place<'c>>) {
        let mut seen: HashSet<*const Element> = HashSet::new();
        let mut open = vec![place.clone()];
        let mut anything = false;
        while let Some(next) = open.pop() {
            let Here::Element(element) = next.here else {
                anything = true;
                continue;
            };
            let children = self.schemas.children(element);
            anything |= children.open;
            for child in &children.all {
                let below = next.below(Here::Element(child.element));
                if matches(&child.element.name, step) {
                    found.push(below.clone());
                }
                if seen.insert(Arc::as_ptr(child.element)) && seen.len() < MOST_DESCENDANTS {
                    open.push(below);
                }
            }
        }
        if anything && found.is_empty() {
            found.push(Place::anywhere());
        }
    }

    /// A pick that asks for a name must find it on one of the places.
    fn check_picks(&self, places: &[Place<'c>], step: &Step) -> Result<(), Vec<String>> {
        for pick in &step.picks {
            let (axis, name) = match pick {
                Pick::Nth(_) | Pick::Last => continue,
                Pick::Attribute(name, _) => (Axis::Attribute, name),
                Pick::Child(name, _) => (Axis::Child, name),
            };
            let asked = Step { axis, namespace: None, name: Arc::clone(name), picks: Vec::new() };
            if self.step(places, &asked).is_empty() {
                return Err(self.known(places));
            }
        }
        Ok(())
    }

    /// What could have stood there: children, then attributes with their `@`.
    fn known(&self, places: &[Place<'c>]) -> Vec<String> {
        let mut known = Vec::new();
        let mut add = |name: String| {
            if !known.contains(&name) && known.len() < MOST_PLACES {
                known.push(name);
            }
        };
        for place in places {
            if let Here::Element(element) = place.here {
                let children = self.schemas.children(element);
                children.all.iter().for_each(|it| add(it.element.name.local.to_string()));
                let attributes = self.schemas.attributes(element);
                attributes.all.iter().for_each(|it| add(format!("@{}", it.name.local)));
            }
        }
        known
    }
}

fn matches(name: &QName, step: &Step) -> bool {
    (&*step.name == "*" || step.name == name.local)
        && step.namespace.as_ref().is_none_or(|namespace| *namespace == name.namespace)
}
