//! Tickets: what a caller gets who does not wait, and the operation by which the result is asked for.

use vestibule_core::{
    fault::{Fault, FaultCode},
    job::{JobId, JobState},
    tree::{NodeId, Tree},
};

use super::answer;
use crate::xml::write::lossy;

/// The namespace of tickets, and of the operation `GetResult`.
pub const JOBS_NAMESPACE: &str = "urn:vestibule:jobs:1";

/// The name of the operation, and of its request's element.
pub(super) const GET_RESULT: &str = "GetResult";

/// The schema of tickets and of `GetResult`. Every service that gives tickets describes it.
pub const JOBS_SCHEMA: &str = r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:vestibule:jobs:1" elementFormDefault="qualified">
      <xs:element name="TicketResponse">
        <xs:complexType>
          <xs:sequence>
            <xs:element name="Ticket" type="xs:string"/>
            <xs:element name="State" type="xs:string"/>
          </xs:sequence>
        </xs:complexType>
      </xs:element>
      <xs:element name="GetResult">
        <xs:complexType>
          <xs:sequence>
            <xs:element name="Ticket" type="xs:string"/>
          </xs:sequence>
        </xs:complexType>
      </xs:element>
      <xs:element name="GetResultResponse">
        <xs:complexType>
          <xs:sequence>
            <xs:element name="Ticket" type="xs:string"/>
            <xs:element name="State" type="xs:string"/>
            <xs:element name="Outcome" type="xs:string" minOccurs="0"/>
            <xs:element name="Result" minOccurs="0">
              <xs:complexType>
                <xs:sequence>
                  <xs:any processContents="lax" minOccurs="0"/>
                </xs:sequence>
              </xs:complexType>
            </xs:element>
            <xs:element name="Cause" type="xs:string" minOccurs="0"/>
            <xs:element name="Detail" minOccurs="0">
              <xs:complexType>
                <xs:sequence>
                  <xs:any processContents="lax" minOccurs="0"/>
                </xs:sequence>
              </xs:complexType>
            </xs:element>
          </xs:sequence>
        </xs:complexType>
      </xs:element>
    </xs:schema>"#;

/// True for the request of `GetResult`.
pub(super) fn is_question(tree: &Tree<'_>, payload: NodeId) -> bool {
    tree.name(payload) == GET_RESULT && tree.namespace(payload) == JOBS_NAMESPACE
}

/// The ticket that is asked about.
pub(super) fn asked(tree: &Tree<'_>, payload: NodeId) -> Result<JobId, Fault> {
    let is_ticket =
        |it: &NodeId| tree.name(*it) == "Ticket" && matches!(tree.namespace(*it), JOBS_NAMESPACE | "");
    let mut tickets = tree.children(payload).filter(is_ticket);
    let (Some(ticket), None) = (tickets.next(), tickets.next()) else { return Err(unknown()) };
    JobId::parse(tree.text(ticket).trim()).ok_or_else(unknown)
}

/// There is no such job, or it is another service's: the difference is nobody's business.
pub(super) fn unknown() -> Fault {
    Fault::new(FaultCode::NotFound, "this service has no job with this ticket")
}

/// The Body of a reply that is a ticket.
pub(super) fn ticket(ticket: JobId) -> String {
    let mut out = opened("TicketResponse", ticket);
    element(&mut out, "State", "queued");
    out + "</j:TicketResponse>"
}

/// The Body of what `GetResult` answers. `document` is the result as XML, where there is one.
pub(super) fn result(ticket: JobId, state: &JobState, document: Option<&[u8]>) -> Vec<u8> {
    let mut out = opened("GetResultResponse", ticket);
    element(&mut out, "State", state.word());
    if let Some(reply) = state.reply() {
        element(&mut out, "Outcome", reply.outcome.word());
    }
    let mut out = out.into_bytes();
    if let Some(document) = document {
        out.extend_from_slice(b"<j:Result>");
        out.extend_from_slice(answer::without_declaration(document));
        out.extend_from_slice(b"</j:Result>");
    }
    let why = match (state, state.reply()) {
        (JobState::Dead { cause, findings }, _) => {
            let (code, message) = cause.split_once(": ").unwrap_or(("", cause));
            Some((cause.clone(), findings, code.to_owned(), message.to_owned()))
        }
        (_, Some(reply)) if document.is_none() => {
            let fault = answer::refusal(&reply.findings);
            let code = fault.code.code().to_owned();
            Some((fault.to_string(), &reply.findings, code, fault.message))
        }
        _ => None,
    };
    let mut rest = String::new();
    if let Some((cause, findings, code, message)) = why {
        element(&mut rest, "Cause", &cause);
        rest.push_str("<j:Detail>");
        answer::validation_fault(&mut rest, &code, &message, Some(&ticket.to_string()), findings);
        rest.push_str("</j:Detail>");
    }
    rest.push_str("</j:GetResultResponse>");
    out.extend_from_slice(rest.as_bytes());
    out
}

fn opened(name: &str, ticket: JobId) -> String {
    let mut out = format!("<j:{name} xmlns:j=\"{JOBS_NAMESPACE}\">");
    element(&mut out, "Ticket", &ticket.to_string());
    out
}

fn element(out: &mut String, name: &str, text: &str) {
    out.push_str("<j:");
    out.push_str(name);
    out.push('>');
    lossy(out, text);
    out.push_str("</j:");
    out.push_str(name);
    out.push('>');
}
