//! One service: requests in, envelopes out.

use std::sync::Arc;

use bytes::Bytes;
use vestibule_core::{
    document::{Document, IdempotencyKey},
    fault::{Fault, FaultCode},
    job::{Job, JobId, Reply, ReplyBody},
    mapping::plan::Mapping,
    ports::{Call, CallContext, Service, Understood, WireReply, WireRequest},
    tree::{Tree, extract::Reads},
};

use super::{
    answer::{self, Manner, Report},
    content_type::ContentType,
    describe,
    envelope::{self, Message, Version},
};
use crate::{
    contract::model::QName,
    format::{extract, is_xml},
    xml::{Limits, Options, Source, charset, write},
};

/// A flow and how it is called.
pub(super) struct Route {
    pub(super) flow: usize,
    pub(super) mapping: Arc<Mapping>,
    pub(super) reads: Reads,
    pub(super) operation: Arc<str>,
    /// The element of its requests; its namespace holds only where a contract says it.
    pub(super) root: QName,
    pub(super) strict_namespace: bool,
    pub(super) actions: Vec<String>,
}

/// A service of SOAP 1.1 and 1.2.
pub(super) struct SoapService {
    pub(super) name: Arc<str>,
    pub(super) routes: Vec<Route>,
    pub(super) limits: Limits,
}

/// What is known when a request is refused.
struct Refused {
    manner: Manner,
    message_id: Option<String>,
}

/// The character set that the message was read in, where it does not say so itself: a message that is read once more
/// after a restart must not be taken for one in the mapping's `encoding`.
fn charset_of<'c>(request: &WireRequest, content_type: &ContentType<'c>) -> Option<&'c str> {
    let said = content_type.charset.filter(|it| !it.trim().is_empty());
    said.or_else(|| (!charset::is_said_in(&request.body)).then_some("utf-8"))
}

impl SoapService {
    fn read(&self, request: &WireRequest, content_type: &ContentType<'_>) -> Result<Understood, WireReply> {
        let version =
            if content_type.media_type == "application/soap+xml" { Version::V12 } else { Version::V11 };
        let early = Refused { manner: Manner { version, addressing: None }, message_id: None };
        let source = Source::decode(&request.body, content_type.charset, None, &self.limits)
            .map_err(|error| early.fault(&error.into()))?;
        let tree = source.parse(&self.limits, Options::default()).map_err(|error| {
            Refused::spoken(version_in(source.text()).unwrap_or(version)).fault(&error.into())
        })?;
        let version = envelope::version(&tree).unwrap_or(version);
        let message = envelope::read(&tree).map_err(|error| {
            let code = match &error {
                envelope::EnvelopeError::MustUnderstand(_) => FaultCode::MustUnderstand,
                _ => FaultCode::NotUnderstood,
            };
            let fault = Fault::new(code, error.to_string());
            let manner = Manner { version, addressing: None };
            answer::fault(manner, None, &Report::of_envelope(&fault, &error, version))
        })?;
        let refused = Refused {
            manner: Manner { version, addressing: message.addressing },
            message_id: message.message_id.map(str::to_owned),
        };
        let action = request.action.as_deref().map(unquoted).filter(|it| !it.is_empty());
        let action = action.or(content_type.action).or(message.action);
        let route = self.route(&tree, &message, action).map_err(|fault| refused.fault(&fault))?;
        let document = Document {
            bytes: request.body.clone(),
            media_type: content_type.media_type.as_str().into(),
            charset: charset_of(request, content_type).map(Into::into),
            name: None,
            received: request.received,
            key: message.message_id.map(IdempotencyKey::or_hash),
            attributes: Vec::new(),
        };
        let extraction = extract(&tree, message.payload, source.text(), &route.reads, &document);
        let context = CallContext {
            version: refused.manner.words().into(),
            operation: Arc::clone(&route.operation),
            message_id: message.message_id.map(Into::into),
            reply_to: None,
        };
        Ok(Understood::Call(Box::new(Call { flow: route.flow, document, extraction, context })))
    }

    /// The flow that the Body's element names; where it names none, the one that the SOAP action does.
    fn route(&self, tree: &Tree<'_>, message: &Message<'_>, action: Option<&str>) -> Result<&Route, Fault> {
        let (namespace, name) = (tree.namespace(message.payload), tree.name(message.payload));
        let is_root = |it: &&Route| {
            name == &*it.root.local && (!it.strict_namespace || namespace == &*it.root.namespace)
        };
        let is_action = |it: &&Route| action.is_some_and(|action| it.actions.iter().any(|own| own == action));
        let by_root = self.routes.iter().find(is_root);
        by_root.or_else(|| self.routes.iter().find(is_action)).ok_or_else(|| {
            let known: Vec<_> = self
                .routes
                .iter()
                .take(20)
                .map(|it| format!("{{{}}}{}", it.root.namespace, it.root.local))
                .collect();
            let known = known.join(", ");
            Fault::new(
                FaultCode::NotUnderstood,
                format!("the Body's element is none of this service: {known}"),
            )
            .at("/Envelope/Body")
        })
    }

    /// Canonical JSON, for a mapping that says nothing about its reply.
    fn as_text(&self, context: &CallContext, bytes: &Bytes) -> Vec<u8> {
        let route = self.routes.iter().find(|it| it.operation == context.operation && !it.strict_namespace);
        let own = format!("urn:vestibule:{}", self.name);
        let mut out = format!("<{}Response xmlns=\"", context.operation);
        write::lossy(&mut out, route.map_or(&own, |it| &it.root.namespace));
        out.push_str("\"><Result>");
        write::lossy(&mut out, &String::from_utf8_lossy(bytes));
        out.push_str(&format!("</Result></{}Response>", context.operation));
        out.into_bytes()
    }
}

impl Refused {
    fn spoken(version: Version) -> Self {
        Self { manner: Manner { version, addressing: None }, message_id: None }
    }

    fn fault(&self, fault: &Fault) -> WireReply {
        answer::fault(self.manner, self.message_id.as_deref(), &Report::of(fault))
    }
}

/// The version of a message that is not well-formed further on: what its beginning shows.
fn version_in(text: &str) -> Option<Version> {
    let head = text.char_indices().nth(1024).and_then(|(at, _)| text.get(..at)).unwrap_or(text);
    if head.contains(envelope::SOAP12) {
        return Some(Version::V12);
    }
    head.contains(envelope::SOAP11).then_some(Version::V11)
}

fn unquoted(action: &str) -> &str {
    action.trim().trim_matches('"').trim()
}

impl Service for SoapService {
    fn accept(&self, request: &WireRequest) -> Result<Understood, WireReply> {
        let content_type = ContentType::read(request.content_type.as_deref().unwrap_or("text/xml"));
        if !is_xml(&content_type.media_type) {
            let fault = Fault::new(
                FaultCode::NotUnderstood,
                "the Content-Type is no XML: text/xml is, and application/soap+xml",
            );
            return Err(answer::unsupported(&Report::of(&fault)));
        }
        self.read(request, &content_type)
    }

    fn reply(&self, call: &CallContext, reply: &Reply, ticket: JobId) -> WireReply {
        let (manner, message_id) = (Manner::of(call), call.message_id.as_deref());
        match &reply.body {
            ReplyBody::Written { media_type, bytes } if is_xml(media_type) => {
                answer::reply(manner, message_id, bytes)
            }
            ReplyBody::Written { bytes, .. } => answer::reply(manner, message_id, &self.as_text(call, bytes)),
            ReplyBody::Refused => {
                let number = reply.findings.len();
                let findings = if number == 1 { "finding" } else { "findings" };
                let fault =
                    Fault::new(FaultCode::Refused, format!("the record was refused: {number} {findings}"));
                answer::fault(
                    manner,
                    message_id,
                    &Report::refused(&fault, &reply.findings, ticket.to_string()),
                )
            }
        }
    }

    fn ticket(&self, call: &CallContext, ticket: JobId, _: Option<&ReplyBody>) -> WireReply {
        self.fault(call, &Fault::new(FaultCode::Internal, "not built yet").about(ticket))
    }

    fn result(&self, call: &CallContext, _: Option<&Job>) -> WireReply {
        self.fault(call, &Fault::new(FaultCode::Internal, "not built yet"))
    }

    fn fault(&self, call: &CallContext, fault: &Fault) -> WireReply {
        answer::fault(Manner::of(call), call.message_id.as_deref(), &Report::of(fault))
    }

    fn describe(&self, address: &str) -> WireReply {
        let text = describe::wsdl(self, address);
        WireReply { status: 200, content_type: "text/xml; charset=utf-8".into(), body: Bytes::from(text) }
    }
}
