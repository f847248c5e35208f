//! Tickets, `GetResult`, and answers to an address of one's own.

use jiff::Timestamp;
use vestibule_core::{
    document::Document,
    job::{Delivery, Job, JobState},
    mapping::plan::{Durability, Faults, Return},
    ports::Understood,
};

use super::*;

const OF_1_0: &str = "http://www.w3.org/2005/08/addressing";
const OF_2004: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
const ELSEWHERE: &str = "https://client.example/answers";
const TICKET: &str = "0192f0c1-2c4e-7cc1-8a5b-6f1de1a0b0c1";

fn job(flow: &str, state: JobState) -> Job {
    Job {
        id: JobId::parse(TICKET).unwrap(),
        flow: flow.into(),
        document: Document::new("", "text/xml", Timestamp::UNIX_EPOCH),
        state,
        accepted: Timestamp::UNIX_EPOCH,
        changed: Timestamp::UNIX_EPOCH,
        order: None,
        return_to: None,
        delivery: Delivery::Nothing,
        decisions: Vec::new(),
    }
}

fn remark() -> Remark {
    Remark {
        code: "G101".into(),
        check: "required".into(),
        outcome: Outcome::Reject,
        field: "claim_no".into(),
        xpath: None,
        expected: "a value".into(),
        found: None,
        say: None,
    }
}

fn old() -> CallContext {
    CallContext { version: "1.1".into(), ..CallContext::default() }
}

/// The Body of an envelope of SOAP 1.1.
fn body(reply: &WireReply) -> String {
    let text = text(reply);
    let (_, inside) = text.split_once("<s:Body>").unwrap();
    inside.strip_suffix("</s:Body></s:Envelope>").unwrap().to_owned()
}

fn question(ticket: &str) -> String {
    envelope(NS11, "", &format!("<j:GetResult xmlns:j='urn:vestibule:jobs:1'>{ticket}</j:GetResult>"))
}

fn asked(service: &Arc<dyn Service>, message: &str) -> Result<String, String> {
    match service.accept(&request(None, None, message.to_owned())) {
        Ok(Understood::GetResult(context, id)) => {
            assert_eq!((&*context.operation, &*context.version), ("GetResult", "1.1"));
            Ok(id.to_string())
        }
        Ok(Understood::Call(call)) => Err(format!("call of {}", call.context.operation)),
        Err(reply) => Err(text(&reply)),
    }
}

#[test]
fn the_result_is_asked_for_by_its_ticket() {
    let one = format!("<j:Ticket> {TICKET}\n</j:Ticket>");
    assert_eq!(asked(&service(), &question(&one)).as_deref(), Ok(TICKET));
    for wrong in ["", "<j:Ticket/>", "<j:Ticket>C1</j:Ticket>", "<x:Ticket xmlns:x='u'/>", &one.repeat(2)] {
        let fault = asked(&service(), &question(wrong)).unwrap_err();
        assert!(fault.contains("V007") && fault.contains("s:Client"), "{wrong}: {fault}");
    }
    let header = address(OF_1_0, "ReplyTo", ELSEWHERE, "") + &message_id(OF_1_0);
    let message = question(&one).replace("<e:Body>", &format!("<e:Header>{header}</e:Header><e:Body>"));
    assert!(asked(&service(), &message).unwrap_err().contains("on the connection alone"));
}

#[test]
fn a_service_without_tickets_or_with_an_operation_of_that_name_does_not_offer_it() {
    let plain = |name: &str| {
        mapping("m", &[("service", "S"), ("operation", name)], None, vec![field("a", "Ticket")], None)
    };
    let own = service_of(vec![plain("GetResult")]).unwrap();
    let ticket = format!("<j:Ticket>{TICKET}</j:Ticket>");
    assert_eq!(asked(&own, &question(&ticket)), Err("call of GetResult".into()));
    let (mut never, mut lost) = (claims(), claims());
    never.handling.tickets = Tickets::Never;
    lost.durability = Durability::None;
    for mapping in [never, lost] {
        let service = service_of(vec![mapping]).unwrap();
        assert!(asked(&service, &question(&ticket)).unwrap_err().contains("V003"));
        assert!(!text(&service.describe("http://h/")).contains("jobs:1"));
    }
    // A contract's own operation of that name, though no mapping serves it.
    let own = "<wsdl:operation name=\"GetResult\"><wsdl:input message=\"tns:SubmitClaimRequest\"/></wsdl:operation>";
    let first = "<wsdl:operation name=\"SubmitClaim\">";
    let contract = CLAIMS.replace(first, &format!("{own}{first}"));
    let contract = WsdlContract::read("c.wsdl", &Memory::of(&[("c.wsdl", &contract)])).unwrap();
    assert_eq!(vestibule_core::ports::Contract::operations(&contract), ["GetResult", "SubmitClaim"]);
    let mut taken = claims();
    taken.source.contract = Some(Arc::new(contract));
    let taken = service_of(vec![taken]).unwrap();
    assert!(asked(&taken, &question(&ticket)).unwrap_err().contains("V003"));
    assert!(!text(&taken.describe("http://h/")).contains("jobs:1"));
}

#[test]
fn what_is_said_of_a_job_depends_on_where_it_stands() {
    let said = |inside: &str| {
        format!(
            "<j:GetResultResponse xmlns:j=\"urn:vestibule:jobs:1\"><j:Ticket>{TICKET}</j:Ticket>{inside}</j:GetResultResponse>"
        )
    };
    let good = written("\u{FEFF}<?xml version='1.0'?><r xmlns='u'>1</r>");
    let refused = Reply {
        outcome: Outcome::Reject,
        body: ReplyBody::Refused,
        findings: vec![remark()],
        ..good.clone()
    };
    let json = Reply {
        body: ReplyBody::Written { media_type: "application/json".into(), bytes: "{\"a\":\"<\"}".into() },
        ..good.clone()
    };
    let finding = "<v:finding><v:code>G101</v:code><v:field>claim_no</v:field><v:expected>a value</v:expected></v:finding>";
    let detail = |code: &str, message: &str| {
        format!(
            "<j:Detail><v:ValidationFault xmlns:v=\"urn:vestibule:fault:1\"><v:code>{code}</v:code><v:message>{message}</v:message>\
             <v:ticket>{TICKET}</v:ticket>{finding}</v:ValidationFault></j:Detail>"
        )
    };
    let queued = JobState::Queued { attempt: 0, not_before: Timestamp::UNIX_EPOCH };
    let in_review = JobState::InReview { reply: good.clone(), until: None, hold: None };
    let dead = JobState::Dead { cause: "V009: no <answer>".into(), findings: vec![remark()] };
    for (state, expected) in [
        (queued, "<j:State>queued</j:State>".to_owned()),
        (JobState::Leased { attempt: 1 }, "<j:State>leased</j:State>".into()),
        (in_review, "<j:State>in-review</j:State>".into()),
        (
            JobState::Answered { reply: good.clone() },
            "<j:State>answered</j:State><j:Outcome>pass</j:Outcome><j:Result><r xmlns='u'>1</r></j:Result>".into(),
        ),
        (
            JobState::Returned { reply: json },
            "<j:State>returned</j:State><j:Outcome>pass</j:Outcome><j:Result><SubmitClaimResponse xmlns=\"urn:vestibule:ClaimService\">\
             <Result>{&quot;a&quot;:&quot;&lt;&quot;}</Result></SubmitClaimResponse></j:Result>"
                .into(),
        ),
        (
            JobState::Answered { reply: refused },
            format!(
                "<j:State>answered</j:State><j:Outcome>reject</j:Outcome><j:Cause>V005: the record was refused: 1 finding</j:Cause>{}",
                detail("V005", "the record was refused: 1 finding")
            ),
        ),
        (
            dead,
            format!(
                "<j:State>dead</j:State><j:Cause>V009: no &lt;answer&gt;</j:Cause>{}",
                detail("V009", "no &lt;answer&gt;")
            ),
        ),
    ] {
        let reply = service().result(&old(), Some(&job("claims", state)));
        assert_eq!((reply.status, body(&reply)), (200, said(&expected)));
    }
}

#[test]
fn a_job_of_another_service_is_none_of_this_one() {
    let other = job("others", JobState::Answered { reply: written("<secret/>") });
    for job in [None, Some(&other)] {
        let text = text(&service().result(&old(), job));
        assert!(text.contains("V007") && !text.contains("secret"), "{text}");
    }
}

#[test]
fn a_ticket_is_in_the_mappings_form_or_in_ours() {
    let id = JobId::parse(TICKET).unwrap();
    let own = ReplyBody::Written { media_type: "application/xml".into(), bytes: "<Later/>".into() };
    assert_eq!(body(&service().ticket(&old(), id, Some(&own))), "<Later/>");
    for written in [None, Some(&ReplyBody::Refused)] {
        assert_eq!(
            body(&service().ticket(&old(), id, written)),
            format!(
                "<j:TicketResponse xmlns:j=\"urn:vestibule:jobs:1\"><j:Ticket>{TICKET}</j:Ticket><j:State>queued</j:State></j:TicketResponse>"
            )
        );
    }
}

#[test]
fn a_fault_about_a_job_carries_its_ticket() {
    let fault = Fault::new(FaultCode::Deadline, "later").about(JobId::parse(TICKET).unwrap());
    for version in ["1.1", "1.2"] {
        let context = CallContext { version: version.into(), ..CallContext::default() };
        let text = text(&service().fault(&context, &fault));
        assert!(
            text.contains(&format!("<v:message>later</v:message><v:ticket>{TICKET}</v:ticket>")),
            "{text}"
        );
    }
}

fn address(namespace: &str, header: &str, address: &str, more: &str) -> String {
    format!("<a:{header} xmlns:a='{namespace}' {more}><a:Address> {address} </a:Address></a:{header}>")
}

fn message_id(namespace: &str) -> String {
    format!("<a:MessageID xmlns:a='{namespace}'>urn:1</a:MessageID>")
}

fn reply_to(header: &str) -> Result<Option<String>, String> {
    let header = format!("<e:Header>{header}</e:Header>");
    let call = accept(&request(None, None, envelope(NS11, &header, CLAIM))).map_err(|it| it.2)?;
    Ok(call.context.reply_to.map(|it| it.to_string()))
}

#[test]
fn an_answer_goes_where_the_caller_wants_it() {
    let id = message_id(OF_1_0);
    let to = |header: &str, url: &str| address(OF_1_0, header, url, "");
    let both = to("ReplyTo", ELSEWHERE) + &to("FaultTo", ELSEWHERE);
    for (header, expected) in [
        (
            address(
                OF_1_0,
                "ReplyTo",
                "http://www.w3.org/2005/08/addressing/anonymous",
                "e:mustUnderstand='1'",
            ),
            None,
        ),
        (to("ReplyTo", "http://www.w3.org/2005/08/addressing/none"), None),
        (
            address(
                OF_2004,
                "FaultTo",
                "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous",
                "",
            ),
            None,
        ),
        (to("ReplyTo", ""), None),
        (address(OF_1_0, "ReplyTo", ELSEWHERE, "e:actor='urn:other'"), None),
        (to("From", ELSEWHERE), None),
        (to("ReplyTo", ELSEWHERE) + &id, Some(ELSEWHERE)),
        (id.clone() + &both, Some(ELSEWHERE)),
        (
            address(OF_2004, "ReplyTo", ELSEWHERE, "e:mustUnderstand='1'") + &message_id(OF_2004),
            Some(ELSEWHERE),
        ),
        (
            to("ReplyTo", ELSEWHERE).replace("</a:ReplyTo>", "<a:ReferenceParameters/></a:ReplyTo>") + &id,
            Some(ELSEWHERE),
        ),
    ] {
        assert_eq!(reply_to(&header), Ok(expected.map(str::to_owned)), "{header}");
    }
}

#[test]
fn an_answer_that_would_not_arrive_is_refused() {
    let id = message_id(OF_1_0);
    let to = |header: &str, url: &str| address(OF_1_0, header, url, "");
    let parameters = "<a:ReferenceParameters><x xmlns='u'>1</x></a:ReferenceParameters></a:ReplyTo>";
    for (header, expected) in [
        (to("ReplyTo", ELSEWHERE), "needs a MessageID"),
        (to("ReplyTo", ELSEWHERE) + &message_id(OF_2004), "needs a MessageID"),
        (to("FaultTo", ELSEWHERE) + &id, "they go where replies go"),
        (
            to("ReplyTo", ELSEWHERE) + &to("FaultTo", "https://other.example/") + &id,
            "they go where replies go",
        ),
        (
            to("ReplyTo", ELSEWHERE) + &to("FaultTo", "http://www.w3.org/2005/08/addressing/anonymous") + &id,
            "they go where replies go",
        ),
        (to("ReplyTo", ELSEWHERE) + &to("ReplyTo", "https://other.example/") + &id, "two headers"),
        (to("ReplyTo", &format!("https://{}", "x".repeat(2048))) + &id, "too long"),
        (to("ReplyTo", ELSEWHERE).replace("</a:ReplyTo>", parameters) + &id, "reference parameters"),
    ] {
        let fault = reply_to(&header).unwrap_err();
        assert!(fault.contains(expected) && fault.contains("V003"), "{header}: {fault}");
        assert!(!fault.contains(".example"), "{fault}");
    }
    let mut never = claims();
    never.handling.tickets = Tickets::Never;
    let header = format!("<e:Header>{}{id}</e:Header>", to("ReplyTo", ELSEWHERE));
    let refused =
        service_of(vec![never]).unwrap().accept(&request(None, None, envelope(NS11, &header, CLAIM)));
    assert!(text(&refused.map(drop).unwrap_err()).contains("on the connection alone"));
}

#[test]
fn an_answer_to_an_address_says_what_it_is_and_what_it_answers() {
    let id = JobId::parse(TICKET).unwrap();
    for (version, namespace, fault_action) in [
        ("1.1 wsa 1.0", OF_1_0, "http://www.w3.org/2005/08/addressing/soap/fault"),
        ("1.2 wsa 2004", OF_2004, "http://schemas.xmlsoap.org/ws/2004/08/addressing/fault"),
    ] {
        let context = CallContext {
            version: version.into(),
            operation: "SubmitClaim".into(),
            message_id: Some("urn:1".into()),
            reply_to: Some(ELSEWHERE.into()),
        };
        let block = |name: &str, text: &str| format!("<a:{name} xmlns:a=\"{namespace}\">{text}</a:{name}>");
        let headers = |action: &str| {
            let ticket = block("MessageID", &format!("urn:uuid:{TICKET}"));
            let (action, to) = (block("Action", action), block("To", ELSEWHERE));
            format!("<s:Header>{action}{to}{ticket}{}</s:Header>", block("RelatesTo", "urn:1"))
        };
        let reply = text(&service().reply(&context, &written("<r xmlns='u'/>"), id));
        let expected = headers("http://acme.example/claims/2009/SubmitClaimResponse");
        assert!(reply.contains(&expected), "{reply}\n{expected}");
        let refused = Reply { body: ReplyBody::Refused, ..written("") };
        let fault = text(&service().reply(&context, &refused, id));
        assert!(fault.contains(&headers(fault_action)), "{fault}");
        let dead = Fault::new(FaultCode::Cancelled, "cancelled").about(id);
        let dead = text(&service().fault(&context, &dead));
        assert!(dead.contains(&headers(fault_action)), "{dead}");
        // The connection itself says only that the message was taken.
        let taken = service().ticket(&context, id, None);
        assert_eq!((taken.status, taken.body.len()), (202, 0));
    }
}

fn described(service: &Arc<dyn Service>) -> (String, WsdlContract) {
    let text = text(&service.describe("http://host:1/soap/ClaimService?a&b"));
    let contract = WsdlContract::read("g.wsdl", &Memory::of(&[("g.wsdl", &text)])).unwrap();
    (text, contract)
}

fn reply_of(contract: &WsdlContract, operation: &str) -> String {
    let reply = contract.message(Some(operation), Direction::Reply).unwrap();
    format!("{{{}}}{}", reply.name.namespace, reply.name.local)
}

#[test]
fn a_contract_gets_a_port_of_its_own_and_stays_as_it_is() {
    let (text, contract) = described(&service());
    let operations = vestibule_core::ports::Contract::operations(&contract);
    assert!(operations.contains(&"SubmitClaim".to_owned()) && operations.contains(&"GetResult".to_owned()));
    assert_eq!(reply_of(&contract, "GetResult"), "{urn:vestibule:jobs:1}GetResultResponse");
    assert!(contract.element("TicketResponse").is_some());
    // Every line of the contract is still there, in its order, but for the address.
    let mut rest = text.as_str();
    for line in CLAIMS.lines().filter(|it| !it.contains("localhost:8080")) {
        let (_, after) = rest.split_once(line.trim()).unwrap_or_else(|| panic!("lost: {line}"));
        rest = after;
    }
    same_as_file(&text, "contract");
}

/// The described contract, against the file beside this one; `UPDATE=1` writes it.
fn same_as_file(text: &str, name: &str) {
    let path = format!("{}/src/soap/tests/{name}.wsdl", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "UPDATE=1 writes {path}");
}

#[test]
fn contracts_of_any_shape_take_the_port() {
    let without_types = "<d:definitions xmlns:d='http://schemas.xmlsoap.org/wsdl/' targetNamespace='urn:&lt;t' xmlns:t='urn:&lt;t' xmlns:s='http://schemas.xmlsoap.org/wsdl/soap/'>\
        <d:message name='I'><d:part name='p' element='t:A'/></d:message>\
        <d:portType name='P'><d:operation name='A'><d:input message='t:I'/></d:operation></d:portType>\
        <d:binding name='B' type='t:P'><s:binding transport='x'/><d:operation name='A'><s:operation soapAction=''/><d:input><s:body use='literal'/></d:input></d:operation></d:binding>\
        <d:service name='Other'><d:port name='O' binding='t:B'><s:address location='http://o/'/></d:port></d:service>\
        <d:service name='ClaimService'><d:port name='X' binding='t:B'><s:address location='http://x/'/></d:port></d:service></d:definitions>";
    for contract in [
        without_types.to_owned(),
        without_types.replace("<d:message", "<d:types/><d:message"),
        without_types.replace("<d:message", "<d:types></d:types><d:message"),
        without_types
            .replace("<d:port name='X' binding='t:B'><s:address location='http://x/'/></d:port>", ""),
    ] {
        let read = WsdlContract::read("c.wsdl", &Memory::of(&[("c.wsdl", &contract)])).unwrap();
        let channel = [("service", "ClaimService"), ("operation", "A")];
        let mapping = mapping("claims", &channel, Some(Arc::new(read)), vec![field("a", "B")], None);
        let (text, read) = described(&service_of(vec![mapping]).unwrap());
        assert_eq!(reply_of(&read, "GetResult"), "{urn:vestibule:jobs:1}GetResultResponse", "{text}");
        let (_, own) = text.split_once("name='ClaimService'").unwrap();
        assert!(own.contains("VestibuleJobsSoap11") && !own.contains("VestibuleJobsSoap12"), "{text}");
    }
    // Without a service there is no place for a port, and a name that is taken is left alone.
    for contract in [
        without_types.replace("d:service", "d:documentation"),
        without_types.replace("name='P'", "name='VestibuleJobs'").replace("t:P", "t:VestibuleJobs"),
    ] {
        let read = WsdlContract::read("c.wsdl", &Memory::of(&[("c.wsdl", &contract)])).unwrap();
        let channel = [("service", "ClaimService"), ("operation", "A")];
        let mapping = mapping("claims", &channel, Some(Arc::new(read)), vec![field("a", "B")], None);
        let (text, _) = described(&service_of(vec![mapping]).unwrap());
        assert!(!text.contains("GetResult"), "{text}");
    }
}

#[test]
fn where_a_contract_promises_a_reply_nobody_gets_a_ticket_that_it_does_not_know() {
    for (tickets, pending, expected) in [
        (Tickets::Always, false, "its callers get a ticket that the contract does not know"),
        (Tickets::Always, true, ""),
        // A caller who asks for a ticket knows it, and one who comes too late would have had a fault.
        (Tickets::Asked, false, ""),
        (Tickets::Late, false, ""),
    ] {
        let mut mapping = claims();
        mapping.handling.tickets = tickets;
        mapping.handling.pending = pending.then(|| Return {
            into: "SubmitClaimResponse".into(),
            faults: Faults::Reject,
            write: vec![write("Result/StatusCd")],
        });
        let problem = service_of(vec![mapping]).err().unwrap_or_default();
        assert_eq!(problem, expected, "{tickets:?} {pending}");
    }
}

#[test]
fn a_described_service_answers_with_what_its_callers_get() {
    for (tickets, pending, expected) in [
        (Tickets::Asked, None, "{urn:vestibule:ClaimService}SubmitClaimResponse"),
        (Tickets::Late, Some("SubmitClaimLater"), "{urn:vestibule:ClaimService}SubmitClaimResponse"),
        (Tickets::Always, None, "{urn:vestibule:jobs:1}TicketResponse"),
        (Tickets::Always, Some("SubmitClaimLater"), "{urn:vestibule:ClaimService}SubmitClaimLater"),
    ] {
        let mut mapping = without_contract();
        mapping.handling.tickets = tickets;
        mapping.handling.pending = pending.map(|into| Return {
            into: into.into(),
            faults: Faults::Reject,
            write: vec![write("No")],
        });
        let (text, contract) = described(&service_of(vec![mapping]).unwrap());
        assert_eq!(reply_of(&contract, "SubmitClaim"), expected, "{text}");
        assert_eq!(contract.element("SubmitClaimLater").is_some(), pending.is_some());
        assert!(contract.element("SubmitClaimResponse").is_some(), "the result is described in any case");
        assert_eq!(reply_of(&contract, "GetResult"), "{urn:vestibule:jobs:1}GetResultResponse");
        if tickets == Tickets::Always && pending.is_none() {
            same_as_file(&text, "generated");
        }
    }
}
