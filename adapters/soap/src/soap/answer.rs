//! Writing envelopes: replies and faults, in the caller's version.

use bytes::Bytes;
use vestibule_core::{
    fault::{Fault, FaultCode},
    job::{JobId, Remark},
    ports::{CallContext, WireReply},
};

use super::envelope::{Addressing, EnvelopeError, SOAP11, Version};
use crate::xml::write::lossy;

/// The namespace of the detail of every fault.
pub const FAULT_NAMESPACE: &str = "urn:vestibule:fault:1";

/// The schema of the detail of every fault. A WSDL of one's own may declare it, so that clients get a typed fault.
pub const FAULT_SCHEMA: &str = r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:v="urn:vestibule:fault:1" targetNamespace="urn:vestibule:fault:1" elementFormDefault="qualified">
      <xs:element name="ValidationFault" type="v:ValidationFault"/>
      <xs:complexType name="ValidationFault">
        <xs:sequence>
          <xs:element name="code" type="xs:string"/>
          <xs:element name="message" type="xs:string"/>
          <xs:element name="ticket" type="xs:string" minOccurs="0"/>
          <xs:element name="finding" type="v:Finding" minOccurs="0" maxOccurs="unbounded"/>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="Finding">
        <xs:sequence>
          <xs:element name="code" type="xs:string"/>
          <xs:element name="field" type="xs:string" minOccurs="0"/>
          <xs:element name="xpath" type="xs:string" minOccurs="0"/>
          <xs:element name="expected" type="xs:string"/>
          <xs:element name="found" type="xs:string" minOccurs="0"/>
          <xs:element name="say" type="xs:string" minOccurs="0"/>
        </xs:sequence>
      </xs:complexType>
    </xs:schema>"#;

/// What a reply needs to know of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) version: Version,
    pub(super) addressing: Option<Addressing>,
}

impl Manner {
    /// The words in [`CallContext::version`].
    pub(super) fn words(self) -> &'static str {
        match (self.version, self.addressing) {
            (Version::V11, None) => "1.1",
            (Version::V12, None) => "1.2",
            (Version::V11, Some(Addressing::V10)) => "1.1 wsa 1.0",
            (Version::V12, Some(Addressing::V10)) => "1.2 wsa 1.0",
            (Version::V11, Some(Addressing::V2004)) => "1.1 wsa 2004",
            (Version::V12, Some(Addressing::V2004)) => "1.2 wsa 2004",
        }
    }

    /// What the words say; SOAP 1.1 where they say nothing.
    pub(super) fn of(context: &CallContext) -> Self {
        let version = if context.version.starts_with("1.2") { Version::V12 } else { Version::V11 };
        let addressing = match context.version.get(3..) {
            Some(" wsa 1.0") => Some(Addressing::V10),
            Some(" wsa 2004") => Some(Addressing::V2004),
            _ => None,
        };
        Self { version, addressing }
    }
}

/// Whose fault it is, in SOAP's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    Sender,
    Receiver,
    MustUnderstand,
    VersionMismatch,
}

/// Everything that a fault says.
pub(super) struct Report<'f> {
    fault: &'f Fault,
    blame: Blame,
    ticket: Option<String>,
    findings: &'f [Remark],
    /// Headers of the fault's own: what was not understood, which versions are.
    header: String,
}

impl<'f> Report<'f> {
    /// A fault of the pipeline.
    pub(super) fn of(fault: &'f Fault) -> Self {
        let blame = match fault.code {
            FaultCode::MustUnderstand => Blame::MustUnderstand,
            code if code.is_callers() => Blame::Sender,
            _ => Blame::Receiver,
        };
        let ticket = fault.ticket.map(|it| it.to_string());
        Self { fault, blame, ticket, findings: &[], header: String::new() }
    }

    /// The record was refused.
    pub(super) fn refused(fault: &'f Fault, findings: &'f [Remark], ticket: String) -> Self {
        Self { ticket: Some(ticket), findings, ..Self::of(fault) }
    }

    /// The envelope was refused.
    pub(super) fn of_envelope(fault: &'f Fault, error: &EnvelopeError, version: Version) -> Self {
        let mut report = Self::of(fault);
        match error {
            EnvelopeError::UnknownVersion => {
                report.blame = Blame::VersionMismatch;
                if version == Version::V12 {
                    report.header = format!(
                        "<s:Upgrade><s:SupportedEnvelope qname=\"s:Envelope\"/>\
                         <s:SupportedEnvelope xmlns:o=\"{SOAP11}\" qname=\"o:Envelope\"/></s:Upgrade>"
                    );
                }
            }
            EnvelopeError::MustUnderstand(headers) if version == Version::V12 => {
                for (namespace, name) in headers {
                    report.header.push_str("<s:NotUnderstood xmlns:h=\"");
                    lossy(&mut report.header, namespace);
                    report.header.push_str("\" qname=\"h:");
                    lossy(&mut report.header, name);
                    report.header.push_str("\"/>");
                }
            }
            _ => {}
        }
        report
    }

    fn message(&self) -> String {
        match &self.fault.place {
            Some(place) => format!("{} (at {place})", self.fault.message),
            None => self.fault.message.clone(),
        }
    }
}

/// Which message is answered, and where it goes if not back on its own connection.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Heading<'h> {
    /// The MessageID of what is answered.
    pub(super) relates_to: Option<&'h str>,
    pub(super) sent: Option<Sent<'h>>,
}

/// A message that is sent to an address of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'h> {
    pub(super) to: &'h str,
    /// What a reply is; a fault's is that of every fault.
    pub(super) action: &'h str,
    /// The job; a message about the same one has the same MessageID.
    pub(super) ticket: Option<JobId>,
}

/// A reply around `payload`, which declares its own namespaces.
pub(super) fn reply(manner: Manner, heading: Heading<'_>, payload: &[u8]) -> WireReply {
    let mut head = String::with_capacity(256);
    open(&mut head, manner, heading, "");
    let mut body = Vec::with_capacity(head.len() + payload.len() + 64);
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(without_declaration(payload));
    body.extend_from_slice(b"</s:Body></s:Envelope>");
    WireReply { status: 200, content_type: manner.version.content_type().into(), body: Bytes::from(body) }
}

/// A fault with the detail that [`FAULT_SCHEMA`] describes.
pub(super) fn fault(manner: Manner, heading: Heading<'_>, report: &Report<'_>) -> WireReply {
    let action = manner.addressing.map_or("", Addressing::fault_action);
    let heading = Heading { sent: heading.sent.map(|it| Sent { action, ..it }), ..heading };
    let mut out = String::with_capacity(1024);
    open(&mut out, manner, heading, &report.header);
    match manner.version {
        Version::V11 => fault11(&mut out, report),
        Version::V12 => fault12(&mut out, report),
    }
    out.push_str("</s:Body></s:Envelope>");
    let status = match (manner.version, report.blame) {
        (Version::V12, Blame::Sender) => 400,
        _ => 500,
    };
    WireReply { status, content_type: manner.version.content_type().into(), body: Bytes::from(out) }
}

fn open(out: &mut String, manner: Manner, heading: Heading<'_>, header: &str) {
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"");
    out.push_str(manner.version.namespace());
    out.push_str("\">");
    let addressed = manner.addressing.filter(|_| heading.relates_to.is_some() || heading.sent.is_some());
    if addressed.is_some() || !header.is_empty() {
        out.push_str("<s:Header>");
        out.push_str(header);
        if let Some(addressing) = addressed {
            address(out, addressing, heading);
        }
        out.push_str("</s:Header>");
    }
    out.push_str("<s:Body>");
}

/// The headers of WS-Addressing.
fn address(out: &mut String, addressing: Addressing, heading: Heading<'_>) {
    let mut block = |name: &str, text: &str| {
        for part in ["<a:", name, " xmlns:a=\"", addressing.namespace(), "\">"] {
            out.push_str(part);
        }
        lossy(out, text);
        for part in ["</a:", name, ">"] {
            out.push_str(part);
        }
    };
    if let Some(sent) = heading.sent {
        block("Action", sent.action);
        block("To", sent.to);
        if let Some(ticket) = sent.ticket {
            block("MessageID", &format!("urn:uuid:{ticket}"));
        }
    }
    if let Some(relates_to) = heading.relates_to {
        block("RelatesTo", relates_to);
    }
}

fn fault11(out: &mut String, report: &Report<'_>) {
    let code = match report.blame {
        Blame::Sender => "Client",
        Blame::Receiver => "Server",
        Blame::MustUnderstand => "MustUnderstand",
        Blame::VersionMismatch => "VersionMismatch",
    };
    out.push_str("<s:Fault><faultcode>s:");
    out.push_str(code);
    out.push_str("</faultcode><faultstring>");
    lossy(out, &report.message());
    out.push_str("</faultstring><detail>");
    detail(out, report);
    out.push_str("</detail></s:Fault>");
}

fn fault12(out: &mut String, report: &Report<'_>) {
    let code = match report.blame {
        Blame::Sender => "Sender",
        Blame::Receiver => "Receiver",
        Blame::MustUnderstand => "MustUnderstand",
        Blame::VersionMismatch => "VersionMismatch",
    };
    out.push_str("<s:Fault><s:Code><s:Value>s:");
    out.push_str(code);
    out.push_str("</s:Value><s:Subcode><s:Value xmlns:v=\"");
    out.push_str(FAULT_NAMESPACE);
    out.push_str("\">v:");
    out.push_str(report.fault.code.code());
    out.push_str("</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang=\"en\">");
    lossy(out, &report.message());
    out.push_str("</s:Text></s:Reason><s:Detail>");
    detail(out, report);
    out.push_str("</s:Detail></s:Fault>");
}

fn detail(out: &mut String, report: &Report<'_>) {
    let (code, message) = (report.fault.code.code(), report.message());
    validation_fault(out, code, &message, report.ticket.as_deref(), report.findings);
}

/// The element that [`FAULT_SCHEMA`] describes.
pub(super) fn validation_fault(
    out: &mut String,
    code: &str,
    message: &str,
    ticket: Option<&str>,
    findings: &[Remark],
) {
    out.push_str("<v:ValidationFault xmlns:v=\"");
    out.push_str(FAULT_NAMESPACE);
    out.push_str("\">");
    element(out, "code", Some(code));
    element(out, "message", Some(message));
    element(out, "ticket", ticket);
    for finding in findings {
        out.push_str("<v:finding>");
        element(out, "code", Some(&finding.code));
        element(out, "field", Some(&finding.field));
        element(out, "xpath", finding.xpath.as_deref());
        element(out, "expected", Some(&finding.expected));
        element(out, "found", finding.found.as_deref());
        element(out, "say", finding.say.as_deref());
        out.push_str("</v:finding>");
    }
    out.push_str("</v:ValidationFault>");
}

/// The fault of a record that was refused.
pub(super) fn refusal(findings: &[Remark]) -> Fault {
    let number = findings.len();
    let findings = if number == 1 { "finding" } else { "findings" };
    Fault::new(FaultCode::Refused, format!("the record was refused: {number} {findings}"))
}

fn element(out: &mut String, name: &str, text: Option<&str>) {
    let Some(text) = text else { return };
    out.push_str("<v:");
    out.push_str(name);
    out.push('>');
    lossy(out, text);
    out.push_str("</v:");
    out.push_str(name);
    out.push('>');
}

/// A document inside another has no declaration of its own.
pub(super) fn without_declaration(payload: &[u8]) -> &[u8] {
    let payload = payload.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(payload);
    if !payload.starts_with(b"<?xml ") {
        return payload;
    }
    let end = payload.windows(2).position(|it| it == b"?>").map_or(0, |at| at + 2);
    payload.get(end..).unwrap_or(payload)
}

/// A fault for a Content-Type that is no XML: HTTP says it too.
pub(super) fn unsupported(fault_report: &Report<'_>) -> WireReply {
    let manner = Manner { version: Version::V11, addressing: None };
    WireReply { status: 415, ..fault(manner, Heading::default(), fault_report) }
}
