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
/// The addresses that stand for the caller's own connection, and for nobody.
const SERVED_ADDRESSES: [&str; 3] = [
    "http://www.w3.org/2005/08/addressing/anonymous",
    "http://www.w3.org/2005/08/addressing/none",
    "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous",
];
/// Longest message id that is sent back.
const LONGEST_ID: usize = 1024;
/// Longest address that an answer is sent to.
const LONGEST_ADDRESS: usize = 2048;

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

    /// The Action of every fault.
    pub(crate) fn fault_action(self) -> &'static str {
        match self {
            Self::V10 => "http://www.w3.org/2005/08/addressing/soap/fault",
            Self::V2004 => "http://schemas.xmlsoap.org/ws/2004/08/addressing/fault",
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
    /// Where the answer is to be sent, where that is not the connection itself.
    pub(crate) reply_to: Option<&'t str>,
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
    /// Faults are wanted somewhere else than replies.
    #[error("header `FaultTo` wants faults at an address of their own: they go where replies go")]
    FaultsElsewhere,
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
    let mut message =
        Message { version, payload: body, addressing: None, message_id: None, action: None, reply_to: None };
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
    let mut endpoints = Endpoints::default();
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
                "ReplyTo" => endpoints.add(tree, block, message.version, |it| &mut it.reply)?,
                "FaultTo" => endpoints.add(tree, block, message.version, |it| &mut it.fault)?,
                _ => {}
            }
            continue;
        }
        if must_understand(tree, block) && is_for_us(tree, block, message.version) {
            unknown.push((tree.namespace(block).into(), tree.name(block).chars().take(80).collect()));
        }
    }
    if !unknown.is_empty() {
        return Err(EnvelopeError::MustUnderstand(unknown));
    }
    message.reply_to = endpoints.elsewhere(message)?;
    Ok(())
}

/// Where answers are wanted.
#[derive(Default)]
struct Endpoints<'t> {
    reply: Option<&'t str>,
    fault: Option<&'t str>,
    version: Option<Addressing>,
}

impl<'t> Endpoints<'t> {
    /// Adds an endpoint that is for us: its address.
    fn add(
        &mut self,
        tree: &'t Tree<'_>,
        endpoint: NodeId,
        version: Version,
        place: impl Fn(&mut Self) -> &mut Option<&'t str>,
    ) -> Result<(), EnvelopeError> {
        let own = tree.namespace(endpoint);
        let is = |it: &NodeId, name: &str| tree.name(*it) == name && tree.namespace(*it) == own;
        let address = tree.children(endpoint).find(|it| is(it, "Address"));
        let Some(address) = address.map(|it| tree.text(it).trim()).filter(|it| !it.is_empty()) else {
            return Ok(());
        };
        if !is_for_us(tree, endpoint, version) {
            return Ok(());
        }
        if place(self).replace(address).is_some_and(|first| first != address) {
            return Err(EnvelopeError::Structure("two headers say where the answer goes"));
        }
        if SERVED_ADDRESSES.contains(&address) {
            return Ok(());
        }
        if address.len() > LONGEST_ADDRESS {
            return Err(EnvelopeError::Structure("an address that is too long"));
        }
        let is_parameters = |it: NodeId| is(&it, "ReferenceParameters") || is(&it, "ReferenceProperties");
        if tree.children(endpoint).any(|it| is_parameters(it) && tree.children(it).next().is_some()) {
            return Err(EnvelopeError::Structure(
                "an endpoint with reference parameters: an answer can not carry them",
            ));
        }
        self.version = Addressing::of(own);
        Ok(())
    }

    /// The address of its own that the answer goes to. Replies and faults go to the same one, with the MessageID by
    /// which the caller knows what they answer.
    fn elsewhere(&self, message: &Message<'t>) -> Result<Option<&'t str>, EnvelopeError> {
        let own = |it: Option<&'t str>| it.filter(|it| !SERVED_ADDRESSES.contains(it));
        let (reply, fault) = (own(self.reply), own(self.fault));
        let is_split = match reply {
            Some(_) => self.fault.is_some() && fault != reply,
            None => fault.is_some(),
        };
        match reply {
            _ if is_split => Err(EnvelopeError::FaultsElsewhere),
            Some(_) if message.message_id.is_none() || message.addressing != self.version => Err(
                EnvelopeError::Structure("a ReplyTo with an address of its own needs a MessageID beside it"),
            ),
            reply => Ok(reply),
        }
    }
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
