//! The envelope of SOAP 1.1 (W3C Note, 2000) and SOAP 1.2 (W3C Recommendation, second edition).

use vestibule_core::tree::{NodeId, Tree};

/// The namespace of SOAP 1.1.
pub(crate) const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// The namespace of SOAP 1.2.
pub(crate) const SOAP12: &str = "http://www.w3.org/2003/05/soap-envelope";
/// The namespace of WS-Addressing 1.0.
const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";
/// The namespace of WS-Addressing as submitted in August 2004.
const ADDRESSING_2004: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
/// Where answers can go: back on the caller's connection, in both versions of WS-Addressing, or to nobody.
const SERVED_ADDRESSES: [&str; 3] = [
    "http://www.w3.org/2005/08/addressing/anonymous",
    "http://www.w3.org/2005/08/addressing/none",
    "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous",
];
/// Longest message id that is sent back.
const LONGEST_ID: usize = 1024;

/// A version of SOAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// 1.1
    V11,
    /// 1.2
    V12,
}

impl Version {
    /// The version that this namespace is of.
    pub(crate) fn of(namespace: &str) -> Option<Self> {
        match namespace {
            SOAP11 => Some(Self::V11),
            SOAP12 => Some(Self::V12),
            _ => None,
        }
    }

    /// The envelope's namespace.
    pub(crate) fn namespace(self) -> &'static str {
        match self {
            Self::V11 => SOAP11,
            Self::V12 => SOAP12,
        }
    }

    /// The Content-Type of its messages.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::V11 => "text/xml; charset=utf-8",
            Self::V12 => "application/soap+xml; charset=utf-8",
        }
    }
}

/// A version of WS-Addressing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addressing {
    /// 1.0
    V10,
    /// The submission of August 2004.
    V2004,
}

impl Addressing {
    fn of(namespace: &str) -> Option<Self> {
        match namespace {
            ADDRESSING => Some(Self::V10),
            ADDRESSING_2004 => Some(Self::V2004),
            _ => None,
        }
    }

    /// Its namespace.
    pub(crate) fn namespace(self) -> &'static str {
        match self {
            Self::V10 => ADDRESSING,
            Self::V2004 => ADDRESSING_2004,
        }
    }
}

/// A message whose envelope is in order.
#[derive(Debug, PartialEq)]
pub(crate) struct Message<'t> {
    pub(crate) version: Version,
    /// The one element of the Body.
    pub(crate) payload: NodeId,
    pub(crate) addressing: Option<Addressing>,
    pub(crate) message_id: Option<&'t str>,
    /// WS-Addressing Action.
    pub(crate) action: Option<&'t str>,
}

/// Why an envelope is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvelopeError {
    /// The root is something else.
    #[error("the root element is not a SOAP Envelope")]
    NotAnEnvelope,
    /// An Envelope of a SOAP that is neither 1.1 nor 1.2.
    #[error("the Envelope is neither of SOAP 1.1 nor of SOAP 1.2")]
    UnknownVersion,
    /// Parts are missing, double, strange or in the wrong order.
    #[error("{0}")]
    Structure(&'static str),
    /// Headers that are for us and must be understood: namespace and name.
    #[error("header `{}` must be understood and is not", .0.iter().map(|(_, name)| &**name).collect::<Vec<_>>().join("`, `"))]
    MustUnderstand(Vec<(Box<str>, Box<str>)>),
    /// A WS-Addressing header that wants the answer somewhere else than on this connection.
    #[error("header `{0}` wants the answer at an address of its own: only the anonymous address is served")]
    Elsewhere(&'static str),
}

/// True for an Envelope of any SOAP that this crate reads.
pub(crate) fn is_envelope(tree: &Tree<'_>, root: NodeId) -> bool {
    tree.name(root) == "Envelope" && Version::of(tree.namespace(root)).is_some()
}

/// The version, as far as the root says it.
pub(crate) fn version(tree: &Tree<'_>) -> Option<Version> {
    tree.root()
        .filter(|root| tree.name(*root) == "Envelope")
        .and_then(|root| Version::of(tree.namespace(root)))
}

/// Reads the envelope.
pub(crate) fn read<'t>(tree: &'t Tree<'_>) -> Result<Message<'t>, EnvelopeError> {
    let root =
        tree.root().filter(|root| tree.name(*root) == "Envelope").ok_or(EnvelopeError::NotAnEnvelope)?;
    let version = Version::of(tree.namespace(root)).ok_or(EnvelopeError::UnknownVersion)?;
    let is =
        |node: NodeId, name: &str| tree.name(node) == name && tree.namespace(node) == version.namespace();
    let mut header = None;
    let mut body = None;
    for child in tree.children(root) {
        match (is(child, "Header"), is(child, "Body"), body) {
            (true, _, None) if header.is_none() => header = Some(child),
            (_, true, None) => body = Some(child),
            (true, ..) => return Err(EnvelopeError::Structure("a second Header, or one after the Body")),
            (_, true, _) => return Err(EnvelopeError::Structure("a second Body")),
            // SOAP 1.1 lets other elements follow the Body; 1.2 does not.
            (_, _, Some(_)) if version == Version::V11 && !tree.namespace(child).is_empty() => {}
            _ => {
                return Err(EnvelopeError::Structure(
                    "an element in the Envelope that is neither Header nor Body",
                ));
            }
        }
    }
    if !tree.text(root).trim().is_empty() {
        return Err(EnvelopeError::Structure("text in the Envelope"));
    }
    let body = body.ok_or(EnvelopeError::Structure("the Envelope has no Body"))?;
    let mut message = Message { version, payload: body, addressing: None, message_id: None, action: None };
    // Headers come first: what must be understood is refused before anything is done with the Body.
    if let Some(header) = header {
        read_header(tree, header, &mut message)?;
    }
    let mut payloads = tree.children(body);
    message.payload = payloads.next().ok_or(EnvelopeError::Structure("the Body is empty"))?;
    if payloads.next().is_some() {
        return Err(EnvelopeError::Structure("more than one element in the Body"));
    }
    if !tree.text(body).trim().is_empty() {
        return Err(EnvelopeError::Structure("text in the Body"));
    }
    Ok(message)
}

fn read_header<'t>(
    tree: &'t Tree<'_>,
    header: NodeId,
    message: &mut Message<'t>,
) -> Result<(), EnvelopeError> {
    let mut unknown = Vec::new();
    for block in tree.children(header) {
        if tree.namespace(block).is_empty() {
            return Err(EnvelopeError::Structure("a header without a namespace"));
        }
        if let Some(addressing) = Addressing::of(tree.namespace(block)) {
            let text = tree.text(block).trim();
            match tree.name(block) {
                // Without its key a call that is sent again would be worked on twice.
                "MessageID" if message.message_id.is_some() => {
                    return Err(EnvelopeError::Structure("two MessageIDs"));
                }
                "MessageID" if text.len() > LONGEST_ID => {
                    return Err(EnvelopeError::Structure("a MessageID that is too long"));
                }
                "MessageID" if !text.is_empty() => {
                    message.addressing = Some(addressing);
                    message.message_id = Some(text);
                }
                "Action" if !text.is_empty() => message.action = Some(text),
                // Who waits at another address would never hear of an answer that comes back here.
                "ReplyTo" if is_elsewhere(tree, block, message.version) => {
                    return Err(EnvelopeError::Elsewhere("ReplyTo"));
                }
                "FaultTo" if is_elsewhere(tree, block, message.version) => {
                    return Err(EnvelopeError::Elsewhere("FaultTo"));
                }
                _ => {}
            }
            continue;
        }
        if must_understand(tree, block) && is_for_us(tree, block, message.version) {
            unknown.push((tree.namespace(block).into(), tree.name(block).chars().take(80).collect()));
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(EnvelopeError::MustUnderstand(unknown)) }
}

/// True for an endpoint whose address is neither the caller's own connection nor nobody's.
fn is_elsewhere(tree: &Tree<'_>, endpoint: NodeId, version: Version) -> bool {
    let own = tree.namespace(endpoint);
    let is_address = |it: &NodeId| tree.name(*it) == "Address" && tree.namespace(*it) == own;
    let Some(address) = tree.children(endpoint).find(is_address) else { return false };
    let address = tree.text(address).trim();
    is_for_us(tree, endpoint, version) && !address.is_empty() && !SERVED_ADDRESSES.contains(&address)
}

fn must_understand(tree: &Tree<'_>, block: NodeId) -> bool {
    tree.attribute(block, "mustUnderstand").is_some_and(|it| matches!(it.trim(), "1" | "true"))
}

/// We are the ultimate receiver, and next.
fn is_for_us(tree: &Tree<'_>, block: NodeId, version: Version) -> bool {
    let (attribute, ours): (_, &[&str]) = match version {
        Version::V11 => ("actor", &["", "http://schemas.xmlsoap.org/soap/actor/next"]),
        Version::V12 => (
            "role",
            &[
                "",
                "http://www.w3.org/2003/05/soap-envelope/role/next",
                "http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver",
            ],
        ),
    };
    tree.attribute(block, attribute).is_none_or(|it| ours.contains(&it.trim()))
}
