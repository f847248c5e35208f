//! XML as a document format.

use std::sync::Arc;

use vestibule_core::{
    document::{Document, Hash},
    fault::{Fault, FaultCode},
    mapping::plan::{Mapping, Source as Form},
    ports::{Contract, Extraction, Extractor, Files, Format, Renderer},
    tree::{NodeId, Tree},
};

use crate::{
    contract::WsdlContract,
    render::XmlRenderer,
    soap::is_envelope,
    xml::{Limits, Options, Source, charset},
};

/// The format `xml`: plain documents and, by the first element of its Body, a SOAP message.
#[derive(Debug, Default, Clone)]
pub struct XmlFormat {
    limits: Limits,
}

impl XmlFormat {
    /// With limits of one's own.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits }
    }
}

/// True for `text/xml`, `application/xml` and `*+xml`.
pub(crate) fn is_xml(media_type: &str) -> bool {
    let media_type = media_type.trim().to_ascii_lowercase();
    matches!(media_type.as_str(), "text/xml" | "application/xml")
        || (media_type.ends_with("+xml") && media_type.contains('/'))
}

impl Format for XmlFormat {
    fn kind(&self) -> &'static str {
        "xml"
    }

    fn reads(&self, media_type: &str) -> bool {
        is_xml(media_type)
    }

    fn knows_charset(&self, name: &str) -> bool {
        charset::is_known(name)
    }

    fn media_type(&self) -> &'static str {
        "application/xml"
    }

    fn contract(&self, path: &str, files: &dyn Files) -> Result<Option<Arc<dyn Contract>>, Fault> {
        Ok(Some(Arc::new(WsdlContract::read(path, files)?)))
    }

    fn extractor(&self, mapping: &Mapping) -> Result<Arc<dyn Extractor>, Fault> {
        Ok(Arc::new(XmlExtractor { limits: self.limits.clone(), mapping: reading_part(mapping) }))
    }

    fn renderer(&self, mapping: &Mapping) -> Result<Arc<dyn Renderer>, Fault> {
        Ok(Arc::new(XmlRenderer::compile(mapping)?))
    }
}

/// What reading needs of a mapping, to be kept as long as the reader lives.
fn reading_part(mapping: &Mapping) -> Mapping {
    Mapping {
        name: Arc::clone(&mapping.name),
        version: mapping.version,
        owner: None,
        path: Arc::clone(&mapping.path),
        receive: Vec::new(),
        source: Form {
            kind: Arc::clone(&mapping.source.kind),
            contract: None,
            contract_path: None,
            encoding: mapping.source.encoding.clone(),
            timezone: mapping.source.timezone.clone(),
            each: mapping.source.each.clone(),
            only: None,
            trailer: mapping.source.trailer.clone(),
        },
        record: Arc::clone(&mapping.record),
        checks: Vec::new(),
        ask: None,
        back: None,
        key: Vec::new(),
        durability: mapping.durability,
        deadline: mapping.deadline,
    }
}

struct XmlExtractor {
    limits: Limits,
    mapping: Mapping,
}

impl Extractor for XmlExtractor {
    fn extract(&self, document: &Document) -> Result<Extraction, Fault> {
        let otherwise = self.mapping.source.encoding.as_deref();
        let source = Source::decode(&document.bytes, document.charset.as_deref(), otherwise, &self.limits)?;
        let tree = source.parse(&self.limits, Options::default())?;
        let root = tree.root().ok_or_else(|| Fault::new(FaultCode::Malformed, "no root element"))?;
        let payload = payload(&tree, root)?;
        Ok(extract(&tree, payload, source.text(), &self.mapping, document))
    }
}

/// The element that the mapping's addresses start at.
fn payload(tree: &Tree<'_>, root: NodeId) -> Result<NodeId, Fault> {
    if !is_envelope(tree, root) {
        return Ok(root);
    }
    let body = tree
        .children(root)
        .find(|it| tree.name(*it) == "Body" && tree.namespace(*it) == tree.namespace(root));
    body.and_then(|it| tree.children(it).next())
        .ok_or_else(|| Fault::new(FaultCode::NotUnderstood, "the SOAP Body is empty").at("/Envelope/Body"))
}

/// Reads the records below `payload`, and its hash.
pub(crate) fn extract(
    tree: &Tree<'_>,
    payload: NodeId,
    text: &str,
    mapping: &Mapping,
    document: &Document,
) -> Extraction {
    let mut extraction = vestibule_core::tree::extract::extract(tree, payload, mapping, document);
    extraction.payload = text.get(tree.span(payload)).map(|it| Hash::of(it.as_bytes()));
    extraction
}
