//! JSON as a document format.

#[cfg(test)]
mod tests;

use std::{collections::HashSet, sync::Arc};

use vestibule_core::{
    document::Document,
    fault::Fault,
    mapping::{
        address::{Address, Axis, Path},
        plan::{From, Mapping, Return, Shape},
    },
    ports::{Contract, Extraction, Extractor, Files, Format, Renderer},
    tree::{
        NodeId, Tree,
        extract::{Reads, extract},
    },
};

use crate::{
    error::{JsonError, Problem},
    reader::{Limits, parse, text_of},
    render::JsonRenderer,
};

/// The format `json`. It also reads and writes for mappings of `kind: xml`, by the same addresses.
#[derive(Debug, Default, Clone)]
pub struct JsonFormat {
    limits: Limits,
}

impl JsonFormat {
    /// With limits of one's own.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits }
    }
}

impl Format for JsonFormat {
    fn kind(&self) -> &'static str {
        "json"
    }

    fn knows_charset(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case("utf-8")
    }

    fn reads(&self, media_type: &str) -> bool {
        let media_type = media_type.trim().to_ascii_lowercase();
        media_type == "application/json" || (media_type.ends_with("+json") && media_type.contains('/'))
    }

    fn media_type(&self) -> &'static str {
        "application/json"
    }

    fn contract(&self, _path: &str, _files: &dyn Files) -> Result<Option<Arc<dyn Contract>>, Fault> {
        Ok(None)
    }

    fn extractor(&self, mapping: &Mapping) -> Result<Arc<dyn Extractor>, Fault> {
        let first_names = first_names(mapping);
        Ok(Arc::new(JsonExtractor { limits: self.limits.clone(), reads: Reads::of(mapping), first_names }))
    }

    fn renderer(&self, _: &Mapping, form: &Return) -> Result<Arc<dyn Renderer>, Fault> {
        Ok(Arc::new(JsonRenderer::compile(form)))
    }
}

struct JsonExtractor {
    limits: Limits,
    reads: Reads,
    /// The names that addresses begin with. A wrapper around the payload has another.
    first_names: HashSet<Arc<str>>,
}

impl Extractor for JsonExtractor {
    fn extract(&self, document: &Document) -> Result<Extraction, Fault> {
        let is_utf8 = |it: &str| {
            ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|name| it.trim().eq_ignore_ascii_case(name))
        };
        if document.charset.as_deref().is_some_and(|it| !is_utf8(it)) {
            return Err(JsonError { problem: Problem::Charset, line: 1, column: 1 }.into());
        }
        let tree = parse(text_of(&document.bytes, &self.limits)?, &self.limits)?;
        let Some(root) = tree.root() else { return Ok(Extraction::default()) };
        Ok(extract(&tree, self.payload(&tree, root), &self.reads, document))
    }
}

impl JsonExtractor {
    /// The object itself; or, where it holds just one value by a name that no address begins with, that value: the
    /// XML of the same mapping has an element there.
    fn payload(&self, tree: &Tree<'_>, root: NodeId) -> NodeId {
        let mut children = tree.children(root);
        match (children.next(), children.next()) {
            (Some(only), None)
                if !self.first_names.contains(tree.name(only)) && tree.children(only).next().is_some() =>
            {
                only
            }
            _ => root,
        }
    }
}

fn first_names(mapping: &Mapping) -> HashSet<Arc<str>> {
    let mut names = HashSet::new();
    let mut add = |path: &Path| {
        let first = path.steps.first().filter(|it| it.axis == Axis::Child);
        names.extend(first.map(|it| Arc::clone(&it.name)));
    };
    if let Some(each) = &mapping.source.each {
        add(each);
    }
    let shapes: [Option<&Arc<Shape>>; 2] = [Some(&mapping.record), mapping.source.trailer.as_ref()];
    for field in shapes.into_iter().flatten().flat_map(|it| &it.fields) {
        match &field.from {
            From::Addresses(all) => all.iter().for_each(|it| match it {
                Address::Path(path) => add(path),
                Address::Before(_) | Address::Meta(_) | Address::Attribute(..) => {}
            }),
            From::Each { path, .. } => add(path),
            From::Constant(_) | From::Computed(_) | From::Model => {}
        }
    }
    names
}
