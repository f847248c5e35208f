//! One service: requests in, envelopes out.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use vestibule_core::{
    document::{Document, IdempotencyKey},
    fault::{Fault, FaultCode},
    job::{Job, JobId, Reply, ReplyBody},
    mapping::plan::{Durability, Mapping, Tickets},
    ports::{Call, CallContext, Service, Understood, WireReply, WireRequest},
    tree::{Tree, extract::Reads},
};

use super::{
    answer::{self, Heading, Manner, Report, Sent},
    content_type::ContentType,
    describe,
    envelope::{self, Message, Version},
    jobs,
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

impl Route {
    /// Its callers may get a ticket instead of a result.
    pub(super) fn gives_tickets(&self) -> bool {
        let mapping = &self.mapping;
        mapping.handling.tickets != Tickets::Never && mapping.durability == Durability::Full
    }

    /// The WS-Addressing Action of its replies, as WCF and most toolkits make it by default.
    pub(super) fn reply_action(&self) -> String {
        match self.actions.first() {
            Some(action) => format!("{action}Response"),
            None => format!("{}/{}Response", self.root.namespace.trim_end_matches('/'), self.operation),
        }
    }
}

/// A service of SOAP 1.1 and 1.2.
pub(super) struct SoapService {
    pub(super) name: Arc<str>,
    pub(super) routes: Vec<Route>,
    pub(super) limits: Limits,
    /// It answers `GetResult`: some flow gives tickets, and no operation of its own has that name.
    pub(super) gives_results: bool,
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
            answer::fault(manner, Heading::default(), &Report::of_envelope(&fault, &error, version))
        })?;
        let refused = Refused {
            manner: Manner { version, addressing: message.addressing },
            message_id: message.message_id.map(str::to_owned),
        };
        if self.gives_results && jobs::is_question(&tree, message.payload) {
            return question(&tree, &message, &refused);
        }
        let action = request.action.as_deref().map(unquoted).filter(|it| !it.is_empty());
        let action = action.or(content_type.action).or(message.action);
        let route = self.route(&tree, &message, action).map_err(|fault| refused.fault(&fault))?;
        if message.reply_to.is_some() && !route.gives_tickets() {
            let fault =
                Fault::new(FaultCode::NotUnderstood, "this operation is answered on the connection alone");
            return Err(refused.fault(&fault.at("/Envelope/Header/ReplyTo")));
        }
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
            reply_to: message.reply_to.map(Into::into),
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
    fn as_text(&self, operation: &str, bytes: &Bytes) -> Vec<u8> {
        let route = self.routes.iter().find(|it| *it.operation == *operation && !it.strict_namespace);
        let own = format!("urn:vestibule:{}", self.name);
        let mut out = format!("<{operation}Response xmlns=\"");
        write::lossy(&mut out, route.map_or(&own, |it| &it.root.namespace));
        out.push_str("\"><Result>");
        write::lossy(&mut out, &String::from_utf8_lossy(bytes));
        out.push_str(&format!("</Result></{operation}Response>"));
        out.into_bytes()
    }

    /// What was written, as XML. `None`: it was refused.
    fn as_xml<'b>(&self, operation: &str, body: &'b ReplyBody) -> Option<Cow<'b, [u8]>> {
        match body {
            ReplyBody::Written { media_type, bytes } if is_xml(media_type) => Some(Cow::Borrowed(bytes)),
            ReplyBody::Written { bytes, .. } => Some(Cow::Owned(self.as_text(operation, bytes))),
            ReplyBody::Refused => None,
        }
    }

    /// The Action of a reply to this call; empty where it goes back on its connection.
    fn action(&self, call: &CallContext) -> String {
        let own = |it: &&Route| call.reply_to.is_some() && it.operation == call.operation;
        self.routes.iter().find(own).map(Route::reply_action).unwrap_or_default()
    }
}

/// The headers of an answer to this call.
fn heading<'h>(call: &'h CallContext, action: &'h str, ticket: Option<JobId>) -> Heading<'h> {
    let sent = call.reply_to.as_deref().map(|to| Sent { to, action, ticket });
    Heading { relates_to: call.message_id.as_deref(), sent }
}

impl Refused {
    fn spoken(version: Version) -> Self {
        Self { manner: Manner { version, addressing: None }, message_id: None }
    }

    fn fault(&self, fault: &Fault) -> WireReply {
        let heading = Heading { relates_to: self.message_id.as_deref(), sent: None };
        answer::fault(self.manner, heading, &Report::of(fault))
    }
}

/// Reads the request of `GetResult`.
fn question(tree: &Tree<'_>, message: &Message<'_>, refused: &Refused) -> Result<Understood, WireReply> {
    if message.reply_to.is_some() {
        let fault = Fault::new(FaultCode::NotUnderstood, "GetResult is answered on the connection alone");
        return Err(refused.fault(&fault.at("/Envelope/Header/ReplyTo")));
    }
    let ticket = jobs::asked(tree, message.payload).map_err(|fault| refused.fault(&fault))?;
    let context = CallContext {
        version: refused.manner.words().into(),
        operation: jobs::GET_RESULT.into(),
        message_id: message.message_id.map(Into::into),
        reply_to: None,
    };
    Ok(Understood::GetResult(context, ticket))
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
        let action = self.action(call);
        let (manner, heading) = (Manner::of(call), heading(call, &action, Some(ticket)));
        match self.as_xml(&call.operation, &reply.body) {
            Some(document) => answer::reply(manner, heading, &document),
            None => {
                let fault = answer::refusal(&reply.findings);
                answer::fault(manner, heading, &Report::refused(&fault, &reply.findings, ticket.to_string()))
            }
        }
    }

    fn ticket(&self, call: &CallContext, ticket: JobId, written: Option<&ReplyBody>) -> WireReply {
        let manner = Manner::of(call);
        if call.reply_to.is_some() {
            // The connection has nothing to say: whoever waits at the other address would take a ticket for the answer.
            let content_type = manner.version.content_type().into();
            return WireReply { status: 202, content_type, body: Bytes::new() };
        }
        let written = written.and_then(|it| self.as_xml(&call.operation, it));
        let body = written.unwrap_or_else(|| Cow::Owned(jobs::ticket(ticket).into_bytes()));
        answer::reply(manner, heading(call, "", None), &body)
    }

    fn result(&self, call: &CallContext, job: Option<&Job>) -> WireReply {
        let own = job.and_then(|job| {
            let route = self.routes.iter().find(|it| *it.mapping.name == *job.flow)?;
            Some((job, route))
        });
        let Some((job, route)) = own else { return self.fault(call, &jobs::unknown()) };
        let document = job.state.reply().and_then(|it| self.as_xml(&route.operation, &it.body));
        let body = jobs::result(job.id, &job.state, document.as_deref());
        answer::reply(Manner::of(call), heading(call, "", None), &body)
    }

    fn fault(&self, call: &CallContext, fault: &Fault) -> WireReply {
        answer::fault(Manner::of(call), heading(call, "", fault.ticket), &Report::of(fault))
    }

    fn describe(&self, address: &str) -> WireReply {
        let text = describe::wsdl(self, address);
        WireReply { status: 200, content_type: "text/xml; charset=utf-8".into(), body: Bytes::from(text) }
    }
}
