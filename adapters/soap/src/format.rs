//! XML as a document format.

use std::sync::Arc;

use vestibule_core::{
    document::{Document, Hash},
    fault::{Fault, FaultCode},
    mapping::plan::{Mapping, Return},
    ports::{Contract, Extraction, Extractor, Files, Format, Renderer},
    tree::{NodeId, Tree, extract::Reads},
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
        Ok(Arc::new(XmlExtractor {
            limits: self.limits.clone(),
            encoding: mapping.source.encoding.clone(),
            reads: Reads::of(mapping),
        }))
    }

    fn renderer(&self, mapping: &Mapping, form: &Return) -> Result<Arc<dyn Renderer>, Fault> {
        Ok(Arc::new(XmlRenderer::compile(mapping, form)?))
    }
}

struct XmlExtractor {
    limits: Limits,
    /// Character set when neither transport nor document says one.
    encoding: Option<String>,
    reads: Reads,
}

impl Extractor for XmlExtractor {
    fn extract(&self, document: &Document) -> Result<Extraction, Fault> {
        let otherwise = self.encoding.as_deref();
        let source = Source::decode(&document.bytes, document.charset.as_deref(), otherwise, &self.limits)?;
        let tree = source.parse(&self.limits, Options::default())?;
        let root = tree.root().ok_or_else(|| Fault::new(FaultCode::Malformed, "no root element"))?;
        let payload = payload(&tree, root)?;
        Ok(extract(&tree, payload, source.text(), &self.reads, document))
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
    reads: &Reads,
    document: &Document,
) -> Extraction {
    let mut extraction = vestibule_core::tree::extract::extract(tree, payload, reads, document);
    extraction.payload = text.get(tree.span(payload)).map(|it| Hash::of(it.as_bytes()));
    extraction
}
